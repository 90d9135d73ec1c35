"""Figures of rows: in each the seeds as dots, and their mean with its interval; a forest plot where zero is marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab.studies.comparison.compare import Comparison
from lab.studies.figures.style import NARROW, STYLE, WIDE, arm_colors, axis_label, keep_in_bounds, wrap
from lab.studies.statistics.estimate import Estimate

MOST_ROWS = 60


@dataclass(frozen=True)
class Row:
    """A line of such a figure."""

    label: str
    values: Sequence[float]
    """One a seed, or a pair of runs; may be infinite."""
    center: Estimate | None
    color: str
    hollow: Sequence[float] = ()
    """Further values, of which the mean is not."""


def seed_rows(comparison: Comparison) -> list[Row]:
    """A row an arm, of the scores of its runs."""
    arms = [arm for arm in comparison.arms if arm.values]
    colors = arm_colors(comparison, arms)
    return [
        Row(
            arm.label,
            [value for value, trained in zip(arm.values, arm.trained, strict=True) if trained],
            arm.score,
            colors[arm.label],
            [value for value, trained in zip(arm.values, arm.trained, strict=True) if not trained],
        )
        for arm in arms
    ]


def draw_seeds(comparison: Comparison, narrow: bool = False) -> Figure | None:
    """A row an arm (the first 60): the scores as dots, their mean and 95 % interval beneath, infinite ones counted.

    Returns:
        The figure, or None without a run that counts.
    """
    infinite = "never" if comparison.metric.is_time_to else "infinite"
    metric = comparison.metric
    return draw_rows(seed_rows(comparison), axis_label(metric), metric.bounds, narrow, infinite=infinite)


@rc_context(STYLE)
def draw_rows(
    rows: Sequence[Row],
    axis_name: str,
    bounds: tuple[float, float],
    narrow: bool = False,
    zero: bool = False,
    infinite: str = "infinite",
) -> Figure | None:
    """The first 60 of `rows` below each other, each labelled at its left, or above it where `narrow`.

    Args:
        axis_name: what the horizontal axis shows.
        bounds: the least and the greatest value there can be.
        narrow: whether it is for a phone.
        zero: whether the values are differences, so that 0 deserves a line.
        infinite: what an infinite value is called.

    Returns:
        The figure, or None without rows.
    """
    rows = rows[:MOST_ROWS]
    if not rows:
        return None
    labels = [wrap(row.label, 46 if narrow else 40) for row in rows]
    num_lines = 1 + max(label.count("\n") for label in labels)
    height = 0.42 + 0.14 * num_lines if narrow else max(0.4, 0.16 * num_lines)
    figure = Figure(figsize=(NARROW if narrow else WIDE, height * len(rows) + 0.85), layout="constrained")
    axis = figure.subplots()
    if zero:
        axis.axvline(0, color="#555555", linewidth=1, zorder=1)
    heights = [index + (0.12 if narrow else 0) for index in range(len(rows))]
    draw_dots(axis, heights, rows)
    for height, row in zip(heights, rows, strict=True):
        values = [*row.values, *row.hollow]
        num_infinite = len(values) - sum(map(math.isfinite, values))
        if num_infinite:
            text, place = f"{num_infinite} of {len(values)} {infinite}", axis.get_yaxis_transform()
            axis.text(1.01, height, text, transform=place, va="center", fontsize=8.5)
    for index, text in enumerate(labels if narrow else ()):
        place, blank = axis.get_yaxis_transform(), {"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 0.8}
        axis.text(0, index - 0.3, text, transform=place, va="center", fontsize=8.5, bbox=blank, zorder=5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_yticks(range(len(rows)), [""] * len(rows) if narrow else labels)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(True, axis="x")
    axis.xaxis.set_major_locator(MaxNLocator(5 if narrow else 8))
    axis.margins(x=0.04)
    keep_in_bounds(axis, bounds, across=True)
    axis.set_xlabel(axis_name)
    return figure


def draw_dots(axis: Axes, heights: Sequence[float], rows: Sequence[Row]) -> None:
    """Dots, means and intervals of all rows: the rows of a colour are one line, as each costs the time of many dots."""
    # A point that is none parts what stands in two rows.
    below = [(x, height + 0.5) for height in heights for x in (0, 1, math.nan)]
    place = axis.get_yaxis_transform()
    axis.plot(*zip(*below, strict=True), color="#F0F0F0", linewidth=0.8, zorder=0, transform=place)
    for color in dict.fromkeys(row.color for row in rows):
        own = [(height, row) for height, row in zip(heights, rows, strict=True) if row.color == color]
        means = [(height + 0.16, row.center) for height, row in own if row.center and math.isfinite(row.center.value)]
        dots = [(value, height - 0.1) for height, row in own for value in row.values if math.isfinite(value)]
        rings = [(value, height - 0.1) for height, row in own for value in row.hollow if math.isfinite(value)]
        edges = [(x, height) for height, mean in means if mean.interval for x in (*mean.interval, math.nan)]
        centers = [(mean.value, height) for height, mean in means]
        for points, shape, style in (
            (dots, "o", {"markersize": 4.5, "markeredgewidth": 0, "alpha": 0.5}),
            (rings, "o", {"markersize": 4, "markerfacecolor": "none", "markeredgewidth": 0.9, "alpha": 0.8}),
            (edges, "|-", {"markersize": 6, "linewidth": 1.6}),
            (centers, "D", {"markersize": 4.5, "markeredgewidth": 0}),
        ):
            if points:
                axis.plot(*zip(*points, strict=True), shape, color=color, **style)
