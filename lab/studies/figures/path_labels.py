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
        others = [one for place, one in enumerate(samples) if place != number]
        spots = even((paths[number] - low) * unit, ANCHORS)
        centers = np.concatenate([spots + (half + GAP) * np.array(way) for way in AROUND])
        middle = np.array(size) / 2
        outside = (abs(centers - middle) > middle - half).any(1)
        cost = crowding(centers, half, samples[number], others, boxes) + 1e6 * outside
        boxes.append((centers[int(np.argmin(cost))], half))
    return [tuple((center / unit + low).tolist()) for center, _ in boxes[len(signs) :]]


def crowding(centers: Any, half: Any, own: Any, others: Sequence[Any], boxes: Sequence[tuple[Any, Any]]) -> Any:
    """How bad each of `centers` (n, 2) is, (n,): labels and paths beneath it, and other paths as near as its own."""
    overlaps = np.zeros(len(centers))
    for there, theirs in boxes:
        overlaps += (abs(centers - there) < half + theirs + 0.02).all(1)
    own_covered, own_distance = beneath(centers, half, own)
    covered, distance = np.zeros(len(centers)), np.full(len(centers), 1.0)
    for path in others:
        more, near = beneath(centers, half, path)
        covered, distance = covered + more, np.minimum(distance, near)
    return 1e4 * overlaps + 20 * covered + 10 * own_covered + 20 * np.maximum(0, 0.35 - distance) + 40 * own_distance


def beneath(centers: Any, half: Any, path: Any) -> tuple[Any, Any]:
    """For a label at each of `centers` (n, 2): how many points of `path` (k, 2) it covers, and inches to the next."""
    across, down = (abs(path[:, way] - centers[:, way, None]) - half[way] for way in (0, 1))  # (n, k), from its border
    covered = ((across < 0.02) & (down < 0.02)).sum(1)
    return covered, (np.maximum(across, 0) ** 2 + np.maximum(down, 0) ** 2).min(1) ** 0.5


def even(path: Any, number: int) -> Any:
    """`number` points along `path`, (number, 2), evenly spaced by its length."""
    lengths = np.concatenate([[0.0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()])
    places = np.linspace(0, lengths[-1], number)
    return np.stack([np.interp(places, lengths, path[:, which]) for which in (0, 1)], 1)
