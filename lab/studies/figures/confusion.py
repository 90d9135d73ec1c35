"""Confusion matrices: what the images of each class are taken for, by arm, and arm minus reference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lab.studies.comparison.answers import MOST_CLASSES, Answers
from lab.studies.figures.names import fit, width
from lab.studies.figures.sheet import sheet, titles
from lab.studies.figures.style import COLORS, FAINT, NARROW, STYLE, WIDE

MOST_WRITTEN = 12
"""Classes up to which each has its name, and each cell its number."""

MANY = 30
"""Classes above which panels are larger, two in a row."""

LEAST = 0.5
"""Percent below which a cell has no number."""

SIZE = 7.5
"""Points of names and numbers."""

DARK = 0.75
"""Opacity of a cell from which its number is written in the colour of the page: either contrasts there in both of its
themes."""


@dataclass(frozen=True)
class Matrix:
    """What one panel shows."""

    title: str
    values: np.ndarray
    """Percent of a true class's images (rows) taken for each class, or differences in points, (k, k)."""


def share_matrices(answers: Answers) -> list[Matrix]:
    """Of each arm: the mean over its seeds."""
    found = [(one.arm.label, one.confusion) for one in answers.arms]
    return [Matrix(label, 100 * mean_rows(rows)) for label, rows in found]


def difference_matrices(answers: Answers) -> list[Matrix]:
    """Of each arm minus its reference: the mean over the seeds of both."""
    found = [(f"{one.arm.label} minus {one.arm.reference}", answers.paired(one, "confusion")) for one in answers.arms]
    return [Matrix(title, 100 * mean_rows(rows)) for title, rows in found if rows is not None]


def mean_rows(rows: np.ndarray) -> np.ndarray:
    """The mean over seeds; NaN of a class that has no image."""
    return rows.mean(0)


def draw_confusion(answers: Answers | None, narrow: bool = False) -> Figure | None:
    """A panel an arm; None without predictions, and of more than 200 classes."""
    if answers is None or len(answers.classes) > MOST_CLASSES:
        return None
    return draw_matrices(share_matrices(answers), answers.classes, narrow, apart=False)


def draw_confusion_difference(answers: Answers | None, narrow: bool = False) -> Figure | None:
    """A panel for each arm that has a reference; None where none has, and of more than 200 classes."""
    if answers is None or len(answers.classes) > MOST_CLASSES:
        return None
    found = difference_matrices(answers)
    return draw_matrices(found, answers.classes, narrow, apart=True) if found else None


def deepest(matrices: Sequence[Matrix], apart: bool) -> float:
    """The value of the strongest colour, the diagonal of shares aside."""
    parts = [one.values if apart else one.values[~np.eye(len(one.values), dtype=bool)] for one in matrices]
    found = np.concatenate([abs(part).ravel() for part in parts])
    found = found[np.isfinite(found)]
    return float(found.max(initial=0.0))


@rc_context(STYLE)
def draw_matrices(matrices: Sequence[Matrix], classes: Sequence[str], narrow: bool, apart: bool) -> Figure:
    """Panels side by side, in rows: errors, or differences, the stronger the more, on one scale."""
    total = NARROW if narrow else WIDE
    columns = 1 if narrow else min(3 if len(classes) <= MANY else 2, len(matrices))
    written = len(classes) <= MOST_WRITTEN
    names = fit(classes, 0.75, SIZE, 1)
    left = 0.32 + max(width(name, SIZE) for name in names)
    below = 0.2 + (0.14 if written and upright(names) is False else max(width(name, SIZE) for name in names)) + 0.08
    side = min(3.2, (total - left - 0.1) / columns - 0.12)
    left += (total - left - 0.1 - columns * (side + 0.12)) / 2  # in the middle, where there is room
    heads, heights = titles([one.title for one in matrices], side, STYLE["font.size"], columns)
    figure, axis = sheet(sum(heights) + len(heights) * (side + below), narrow)
    top, most = figure.get_figheight(), deepest(matrices, apart)
    for index, one in enumerate(matrices):
        row, column = divmod(index, columns)
        x = left + column * (side + 0.12)
        y = top - sum(heights[: row + 1]) - row * (side + below) - side
        axis.text(x, y + side + 0.05, heads[index], va="bottom", fontsize=STYLE["font.size"], linespacing=1.1)
        draw_panel(axis, one.values, (x, y, side), most, apart)
        label_sides(axis, names, (x, y, side), first=column == 0)
    return figure


def draw_panel(axis: Axes, values: np.ndarray, place: tuple[float, float, float], most: float, apart: bool) -> None:
    """The cells of a matrix in a square: (x, y, side) in inches."""
    x, y, side = place
    k = len(values)
    colours = cell_colours(values, most, apart)
    if k <= MOST_WRITTEN:
        draw_cells(axis, values, colours, place, apart)
    else:
        axis.imshow(colours, extent=(x, x + side, y, y + side), interpolation="none", aspect="auto", zorder=1)
    for row in np.flatnonzero(~np.isfinite(values).all(1)):  # a class without test images
        height = y + side * (1 - (row + 0.5) / k)
        axis.plot([x, x + side], [height, height], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    axis.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=FAINT, linewidth=0.8, zorder=3))


def cell_colours(values: np.ndarray, most: float, apart: bool) -> np.ndarray:
    """Colour and opacity of each cell, (k, k, 4): right ones grey, wrong ones blue; or more blue, less orange."""
    k = len(values)
    shown = np.nan_to_num(values)
    colours = np.zeros((k, k, 4))
    colours[..., :3] = np.where((shown < 0)[..., None], to_rgb(COLORS[1]), to_rgb(COLORS[0]))
    colours[..., 3] = np.where(np.isfinite(values), abs(shown) / most if most else 0.0, 0.0)
    if not apart:
        diagonal = np.arange(k)
        colours[diagonal, diagonal] = (*to_rgb(FAINT), 0.3)
        colours[~np.isfinite(values), 3] = 0.0
    return colours


def draw_cells(
    axis: Axes, values: np.ndarray, colours: np.ndarray, place: tuple[float, float, float], apart: bool
) -> None:
    """Cells with their numbers."""
    x, y, side = place
    k, cell = len(values), side / len(values)
    there = [(row, column) for row in range(k) for column in range(k) if colours[row, column, 3] > 0]
    corners = [(x + column * cell, y + side - (row + 1) * cell) for row, column in there]
    squares = np.array(corners).reshape(-1, 1, 2) + cell * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    axis.add_collection(
        PolyCollection(list(squares), facecolors=[tuple(colours[one]) for one in there], linewidths=0, zorder=1),
        autolim=False,
    )
    for (row, column), (left, low) in zip(there, corners, strict=True):
        value = values[row, column]
        if abs(value) < LEAST:
            continue
        dark = colours[row, column, 3] > DARK
        text = f"{value:+.0f}" if apart else f"{value:.0f}"
        size = min(SIZE, 72 * cell * 0.9 / max(1e-9, width(text, 72.0)))
        axis.text(
            left + cell / 2,
            low + cell / 2,
            text,
            fontsize=size,
            ha="center",
            va="center_baseline",
            color="#FFFFFF" if dark else "#333333",
            zorder=2,
        )


def upright(names: Sequence[str]) -> bool:
    """Whether names stand upright below a matrix: where one is longer than a digit or two."""
    return max(map(len, names)) > 2


def label_sides(axis: Axes, names: Sequence[str], place: tuple[float, float, float], first: bool) -> None:
    """The names of the classes, as many as have room, beneath a panel, and left of the first of its row."""
    x, y, side = place
    k = len(names)
    turn = upright(names) or k > MOST_WRITTEN
    every = max(1, math.ceil(0.125 * k / side))
    for index in range(0, k, every):
        middle = (index + 0.5) * side / k
        axis.text(x + middle, y - 0.05, names[index], fontsize=SIZE, ha="center", va="top", rotation=90 if turn else 0)
        if first:
            axis.text(x - 0.05, y + side - middle, names[index], fontsize=SIZE, ha="right", va="center")
    tall = max(width(name, SIZE) for name in names) if turn else 0.11
    axis.text(x + side / 2, y - 0.1 - tall, "predicted", fontsize=SIZE + 0.5, ha="center", va="top")
    if first:
        beside = x - 0.2 - max(width(name, SIZE) for name in names)
        axis.text(beside, y + side / 2, "true class", fontsize=SIZE + 0.5, ha="center", va="center", rotation=90)
