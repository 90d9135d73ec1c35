"""Figures of rows: in each the seeds as dots, and their mean with its interval; a forest plot where zero is marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.studies.comparison import Comparison
from lab.studies.metrics import parse_mark
from lab.studies.plots import NARROW, STYLE, WIDE, arm_colors, axis_label, wrap
from lab.studies.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 60


@dataclass(frozen=True)
class Row:
    """A line of such a figure."""

    label: str
    values: list[float]
    """One a seed, or a pair of runs; may be infinite."""
    center: Estimate | None
    color: str


def seed_rows(comparison: Comparison) -> list[Row]:
    """A row an arm, of the scores of its runs."""
    arms = [arm for arm in comparison.arms if arm.values]
    if not arms:
        return []
    colors = arm_colors(comparison, arms)
    return [Row(arm.label, arm.values, arm.score, colors[arm.label]) for arm in arms]


def draw_seeds(comparison: Comparison, narrow: bool = False) -> "Figure | None":
    """A row an arm (the first 60): the scores as dots, their mean and 95 % interval beneath, infinite ones counted.

    Returns:
        The figure, or None without a run that counts.
    """
    rows = seed_rows(comparison)
    infinite = "never" if parse_mark(comparison.metric) else "infinite"
    return draw_rows(rows, axis_label(comparison.metric), narrow, infinite=infinite)


def draw_rows(
    rows: Sequence[Row],
    axis_name: str,
    narrow: bool = False,
    zero: bool = False,
    infinite: str = "infinite",
) -> "Figure | None":
    """The first 60 of `rows` below each other, each labelled at its left, or above it where `narrow`.

    Args:
        axis_name: what the horizontal axis shows.
        narrow: whether it is for a phone.
        zero: whether the values are differences, so that 0 deserves a line.
        infinite: what an infinite value is called.

    Returns:
        The figure, or None without rows.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = rows[:MOST_ROWS]
    if not rows:
        return None
    with matplotlib.rc_context(STYLE):
        labels = [wrap(row.label, 46 if narrow else 40) for row in rows]
        num_lines = 1 + max(label.count("\n") for label in labels)
        height = 0.42 + 0.14 * num_lines if narrow else max(0.4, 0.16 * num_lines)
        figure = Figure(figsize=(NARROW if narrow else WIDE, height * len(rows) + 0.85), layout="constrained")
        axis = figure.subplots()
        if zero:
            axis.axvline(0, color="#555555", linewidth=1, zorder=1)
        for index, (row, text) in enumerate(zip(rows, labels, strict=True)):
            draw_row(axis, index + (0.12 if narrow else 0), row, infinite)
            if narrow:
                place, blank = axis.get_yaxis_transform(), {"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 0.8}
                axis.text(0, index - 0.3, text, transform=place, va="center", fontsize=8.5, bbox=blank, zorder=5)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_yticks(range(len(rows)), [""] * len(rows) if narrow else labels)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(True, axis="x")
        axis.xaxis.set_major_locator(MaxNLocator(5 if narrow else 8))
        axis.margins(x=0.04)
        axis.set_xlabel(axis_name)
    return figure


def draw_row(axis: "Axes", height: float, row: Row, infinite: str) -> None:
    """One row's dots, with mean and interval a little below them."""
    finite, color = [value for value in row.values if math.isfinite(value)], row.color
    axis.axhline(height + 0.5, color="#F0F0F0", linewidth=0.8, zorder=0)
    axis.plot(finite, [height - 0.1] * len(finite), "o", color=color, markersize=4.5, alpha=0.5, markeredgewidth=0)
    if row.center and math.isfinite(row.center.value):
        if row.center.interval:
            axis.plot(row.center.interval, [height + 0.16] * 2, "|-", color=color, linewidth=1.6, markersize=6)
        axis.plot(row.center.value, height + 0.16, "D", color=color, markersize=4.5, markeredgewidth=0)
    num_infinite = len(row.values) - len(finite)
    if num_infinite:
        text, place = f"{num_infinite} of {len(row.values)} {infinite}", axis.get_yaxis_transform()
        axis.text(1.01, height, text, transform=place, va="center", fontsize=8.5)
