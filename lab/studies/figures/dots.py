"""Figures of rows: in each the seeds as dots, and their mean with its interval; a forest plot where zero is marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.studies.comparison.compare import Comparison
from lab.studies.figures.names import fit
from lab.studies.figures.scales import is_wide, log_name, scale
from lab.studies.figures.style import MOST_ROWS, NARROW, STYLE, WIDE, axis_label, cut, keep_in_bounds
from lab.studies.statistics.estimate import UNBOUNDED, Estimate


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


@dataclass(frozen=True)
class Column:
    """What is drawn of all rows over one horizontal axis."""

    name: str
    """Of the axis."""
    rows: Sequence[Row]
    bounds: tuple[float, float] = UNBOUNDED
    """The least and the greatest value there can be."""
    zero: bool = False
    """Whether the values are differences, so that 0 deserves a line."""
    infinite: str = "infinite"
    """What an infinite value is called."""

    def log(self) -> bool:
        """Whether the axis is logarithmic."""
        values = [value for row in self.rows for value in (*row.values, *row.hollow)]
        return not self.zero and is_wide(values)


def seed_rows(comparison: Comparison) -> list[Row]:
    """A row an arm, of the scores of its runs."""
    found = cut(comparison)
    return [
        Row(
            arm.label,
            [value for value, trained in zip(arm.values, arm.trained, strict=True) if trained],
            arm.score,
            found.style(arm)["color"],
            [value for value, trained in zip(arm.values, arm.trained, strict=True) if not trained],
        )
        for arm in comparison.arms
        if arm.values
    ]


def draw_seeds(comparison: Comparison, narrow: bool = False) -> Figure | None:
    """A row an arm (the first 60): the scores as dots, their mean and 95 % interval beneath, infinite ones counted.

    Returns:
        The figure, or None without a run that counts.
    """
    infinite = "never" if comparison.metric.is_time_to else "infinite"
    metric = comparison.metric
    return draw_rows([Column(axis_label(metric), seed_rows(comparison), metric.bounds, infinite=infinite)], narrow)


@rc_context(STYLE)
def draw_rows(columns: Sequence[Column], narrow: bool = False) -> Figure | None:
    """The first 60 rows below each other, each labelled at its left, or above it where `narrow`.

    Args:
        columns: of the same rows; side by side.
        narrow: whether it is for a phone.

    Returns:
        The figure, or None without rows.
    """
    columns = [Column(**{**vars(one), "rows": one.rows[:MOST_ROWS]}) for one in columns]
    rows = columns[0].rows
    if not rows:
        return None
    total, size = (NARROW, 8.5) if narrow else (WIDE, STYLE["font.size"])
    labels = fit([row.label for row in rows], NARROW - 0.4 if narrow else 3.1 if len(columns) == 1 else 2.3, size)
    num_lines = 1 + max(label.count("\n") for label in labels)
    height = 0.42 + 0.14 * num_lines if narrow else max(0.4, 0.16 * num_lines + 0.06)
    figure = Figure(figsize=(total, height * len(rows) + 0.85), layout="constrained")
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    # A label above its row stands in its upper part, and the dots in its lower one.
    part = (0.14 * num_lines + 0.04) / height if narrow else 0.0
    heights = [index + part / 2 for index in range(len(rows))]
    for axis, column in zip(axes, columns, strict=True):
        draw_column(axis, column, heights, (5 if narrow else 8) // len(columns) + 1, total / len(columns) - 0.25)
    for index, text in enumerate(labels if narrow else ()):
        place, blank = axes[0].get_yaxis_transform(), {"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 0.8}
        name = axes[0].text(
            0, index - 0.5 + part / 2, text, transform=place, va="center", fontsize=size, bbox=blank, zorder=5
        )
        name.set_in_layout(False)  # it may reach over the other columns
    axes[0].set_zorder(1)  # else the next column would hide the names
    axes[0].patch.set_visible(False)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0].set_yticks(range(len(rows)), [""] * len(rows) if narrow else labels)
    return figure


def draw_column(axis: Axes, column: Column, heights: Sequence[float], most_ticks: int, inches: float) -> None:
    """The dots of all rows at their heights, and the axis beneath them, whose name has so many inches."""
    rows, log = column.rows, column.log()
    if column.zero:
        axis.axvline(0, color="#555555", linewidth=1, zorder=1)
    scale(axis, "x", log, most_ticks)
    draw_dots(axis, heights, rows)
    for height, row in zip(heights, rows, strict=True):
        values = [*row.values, *row.hollow]
        num_infinite = len(values) - sum(map(math.isfinite, values))
        if num_infinite:
            text, place = f"{num_infinite} of {len(values)} {column.infinite}", axis.get_yaxis_transform()
            axis.text(1.01, height, text, transform=place, va="center", fontsize=8.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(True, axis="x")
    axis.margins(x=0.04)
    if not log:
        keep_in_bounds(axis, column.bounds, across=True)
    (name,) = fit([log_name(column.name, log)], inches, STYLE["font.size"], 2)
    axis.set_xlabel(name)


def draw_dots(axis: Axes, heights: Sequence[float], rows: Sequence[Row]) -> None:
    """Dots, means and intervals of all rows: the rows of a colour are one line, as each costs the time of many dots."""
    # A point that is none parts what stands in two rows.
    below = [(x, index + 0.5) for index in range(len(rows)) for x in (0, 1, math.nan)]
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
