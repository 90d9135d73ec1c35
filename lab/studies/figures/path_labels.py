"""Where the names of paths stand: beside their own, off the others, and off one another."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.studies.figures.names import width

SAMPLES = 400
"""Points along each path, evenly spaced, of which a label keeps off."""

ANCHORS = 40
"""Points along each path that its label may stand beside."""

GAP = 0.07
"""Inches between a path and its label."""

SIGN = 0.05
"""Half the size of a sign, in inches."""

AROUND = [(math.cos(turn), math.sin(turn)) for turn in np.linspace(0, 2 * math.pi, 16, endpoint=False)]
"""Directions in which a label may stand."""


def place_labels(
    paths: Sequence[Any],
    names: Sequence[str],
    limits: tuple[tuple[float, float], tuple[float, float]],
    size: tuple[float, float],
    points: float,
    signs: Sequence[tuple[float, float]] = (),
) -> list[tuple[float, float]]:
    """The center of each label, in the units of the paths.

    Args:
        paths: x and y of each, (n, 2).
        names: their labels, of one line each.
        limits: least and greatest x, and y, that the panel shows.
        size: of the panel in inches.
        points: size of the text.
        signs: where else nothing should stand, in the units of the paths.
    """
    low = np.array([limits[0][0], limits[1][0]])
    unit = np.array(size) / (np.array([limits[0][1], limits[1][1]]) - low)  # inches of one unit
    samples = [even((path - low) * unit, SAMPLES) for path in paths]
    boxes = [((np.array(sign) - low) * unit, np.full(2, SIGN)) for sign in signs]
    for number, name in enumerate(names):
        half = np.array([width(name, points) / 2 + 0.02, points / 72 * 0.6])
        others = np.concatenate([one for place, one in enumerate(samples) if place != number] or [np.zeros((0, 2))])
        spots = even((paths[number] - low) * unit, ANCHORS)
        centers = np.concatenate([spots + (half + GAP) * np.array(way) for way in AROUND])
        middle = np.array(size) / 2
        outside = [bool((abs(center - middle) > middle - half).any()) for center in centers]
        cost = [
            crowding(center, half, samples[number], others, boxes) + 1e6 * out
            for center, out in zip(centers, outside, strict=True)
        ]
        boxes.append((centers[int(np.argmin(cost))], half))
    return [tuple((center / unit + low).tolist()) for center, _ in boxes[len(signs) :]]


def crowding(center: Any, half: Any, own: Any, others: Any, boxes: Sequence[tuple[Any, Any]]) -> float:
    """How bad a place is: other labels and paths beneath it, and other paths as near as its own."""
    overlaps = sum(bool((abs(center - there) < half + theirs + 0.02).all()) for there, theirs in boxes)
    covered, own_covered = (int((abs(path - center) < half + 0.02).all(1).sum()) for path in (others, own))
    distance = np.linalg.norm(np.maximum(abs(others - center) - half, 0), axis=1).min() if len(others) else 1.0
    own_distance = float(np.linalg.norm(np.maximum(abs(own - center) - half, 0), axis=1).min())
    return 1e4 * overlaps + 20 * covered + 10 * own_covered + 20 * max(0.0, 0.35 - distance) + 40 * own_distance


def even(path: Any, number: int) -> Any:
    """`number` points along `path`, (number, 2), evenly spaced by its length."""
    lengths = np.concatenate([[0.0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()])
    places = np.linspace(0, lengths[-1], number)
    return np.stack([np.interp(places, lengths, path[:, which]) for which in (0, 1)], 1)
