"""Figures of a factorial design: its effects as rows, and a panel for each pair of factors."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.metric import Metric, apart
from lab.studies.comparison.factorial import Grid
from lab.studies.figures.dots import Column, Row, draw_rows
from lab.studies.figures.lattice import Side, make_lattice, room_for
from lab.studies.figures.names import fit, plain
from lab.studies.figures.scales import is_wide, log_name, scale, spaced
from lab.studies.figures.style import (
    CROSSED,
    DASHES,
    LEVELS,
    MAIN,
    MARKERS,
    MOST_PANELS,
    NARROW,
    STYLE,
    WIDE,
    axis_label,
    keep_in_bounds,
    place_legend,
)
from lab.studies.figures.tuning_curves import is_ordered
from lab.studies.select.selectors import canonical, short_keys, show
from lab.studies.statistics.estimate import Estimate, estimate

LEVEL_SIZE = 8.5
"""Points of the names of levels."""


def draw_effects(grid: Grid, metric: Metric, narrow: bool = False) -> Figure | None:
    """A row for each main effect and each interaction (the first 60), a dot a seed, with a line at zero."""
    rows = [
        Row(effect.label, effect.values, effect.center, color)
        for color, effects in ((MAIN, grid.main), (CROSSED, grid.interactions))
        for effect in effects
    ]
    bounds = apart(metric.difference_bounds)  # of interactions, which are differences of differences
    return draw_rows([Column(f"effect on {axis_label(metric)}", rows, bounds, zero=True)], narrow)


def factor_pairs(grid: Grid) -> list[tuple[str, str]]:
    """The pairs of factors that have a panel: the one on the axis, and the one whose levels are drawn in it.

    The first 6, of those in which shapes tell the levels of the smaller factor apart, the larger on the axis; a single
    pair both ways round, where that goes. Of a grid whose factors are all too large, the first pair.
    """
    size = {key: len(levels) for key, levels in grid.factors.items()}
    pairs = [(a, b) if size[a] >= size[b] else (b, a) for a, b in itertools.combinations(grid.factors, 2)]
    small = [pair for pair in pairs if size[pair[1]] <= len(LEVELS)]
    if len(pairs) == 1 and small and size[pairs[0][0]] <= len(LEVELS):
        return [pairs[0], (pairs[0][1], pairs[0][0])]
    return small[:MOST_PANELS] or pairs[:1]


@rc_context(STYLE)
def draw_interactions(grid: Grid, metric: Metric, narrow: bool = False) -> Figure | None:
    """A panel for each of `factor_pairs`, with a symbol for each level of one factor at each level of the other.

    Each symbol is the mean over the seeds and the other factors with its 95 % interval; dots are the seeds. A factor of
    numbers lies on the horizontal axis, and lines join its levels, parallel where the factors do not interact. Names
    have no order: they are rows.
    """
    pairs = factor_pairs(grid)
    if len(grid.factors[pairs[0][1]]) > len(LEVELS):
        return draw_trellis(grid, metric, *pairs[0], narrow)
    num_columns = 1 if narrow or len(pairs) == 1 else 2
    rows = [pairs[start : start + num_columns] for start in range(0, len(pairs), num_columns)]
    heights = [max(panel_height(grid, *pair) for pair in row) for row in rows]
    figure = Figure(figsize=(NARROW if narrow else WIDE, sum(heights)), layout="constrained")
    axes = list(figure.subplots(len(rows), num_columns, squeeze=False, height_ratios=heights).flat)
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    log = is_wide([value for cells in grid.scores.values() for value in cells.values()])
    for axis, (along, across) in zip(axes, pairs, strict=False):
        draw_pair(axis, grid, along, across, metric, log, figure.get_figwidth() / num_columns - 0.9)
    return figure


def panel_height(grid: Grid, along: str, across: str) -> float:
    """Inches of a panel with its legend above it."""
    lines = len(grid.factors[across])
    legend = 0.17 * (1 + lines)
    if is_ordered(grid.factors[along]):
        return 2.7 + legend
    return 0.8 + legend + len(grid.factors[along]) * row_height(lines)


def row_height(lines: int) -> float:
    """Inches of a row with so many symbols below each other, and of a name of two lines."""
    return max(0.34, 0.13 * lines + 0.1)


def draw_pair(axis: Axes, grid: Grid, along: str, across: str, metric: Metric, log: bool, inches: float) -> None:
    """The levels of `along` side by side or below each other, a symbol for each level of `across`, a little apart."""
    ordered = is_ordered(grid.factors[along])
    levels, lines = sort_levels(grid.factors[along]), sort_levels(grid.factors[across])
    scale(axis, "y" if ordered else "x", log, 5)
    handles = []
    for index, line in enumerate(lines):
        share = (index - (len(lines) - 1) / 2) / max(1, len(lines))
        places = [place + share * (0.4 if ordered else 0.7) for place in range(len(levels))]
        style = {"color": LEVELS[index], "linestyle": DASHES[index % len(DASHES)] if ordered else ""}
        cells = level_cells(grid, metric, along, across, levels, line)
        handles.append(draw_level(axis, places, cells, {**style, "marker": MARKERS[index]}, ordered))
    short = short_keys(grid.factors)
    draw_ticks(axis, levels, plain(short[along]), log_name(axis_label(metric), log), inches if ordered else None)
    if not log:
        keep_in_bounds(axis, metric.bounds, across=not ordered)
    # Above the panel, as the best place within it may hide points all the same.
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    legend = axis.legend(
        handles,
        [""] * len(lines),
        title=plain(short[across]),
        fontsize=LEVEL_SIZE,
        title_fontsize=LEVEL_SIZE,
        alignment="left",
        **place,
    )
    room = inches - 0.1 if ordered else inches - 1.2  # it begins where the panel does, right of the names
    place_legend(legend, fit(map(show, lines), min(2.5, room), LEVEL_SIZE, 1))


def level_cells(
    grid: Grid, metric: Metric, along: str, across: str, levels: Sequence[Any], line: Any
) -> list[tuple[list[float], Estimate]]:
    """At each level of `along` the scores of a level of `across`, one a seed, and their mean."""
    means = grid.means([along, across])
    columns = [means[(canonical(level), canonical(line))] for level in levels]
    found = [(column, estimate(column, metric.bounds)) for column in columns]
    return [(column, center) for column, center in found if center]


def draw_level(
    axis: Axes,
    places: Sequence[float],
    cells: Sequence[tuple[list[float], Estimate]],
    style: dict[str, Any],
    upright: bool,
) -> Line2D:
    """Symbols, intervals and seeds of a level; the places are on the horizontal axis where it is `upright`.

    Returns:
        The line of the symbols.
    """

    def draw(points: Sequence[tuple[float, float]], **more: Any) -> Line2D:
        along, scores = zip(*points, strict=True)
        (line,) = axis.plot(*((along, scores) if upright else (scores, along)), color=style["color"], **more)
        return line

    rows = list(zip(places, cells, strict=True))
    edges = [(at, end) for at, (_, one) in rows if one.interval for end in (*one.interval, math.nan)]
    if edges:
        draw(edges, linewidth=1.2, zorder=3)
    dots = {"markersize": 2.5, "alpha": 0.45, "markeredgewidth": 0, "zorder": 2}
    draw([(at, value) for at, (column, _) in rows for value in column], linestyle="", marker="o", **dots)
    edge = {"markeredgecolor": "#FFFFFF", "markeredgewidth": 0.6, "markersize": 5.5, "marker": style["marker"]}
    return draw(
        [(at, one.value) for at, (_, one) in rows], linestyle=style["linestyle"], linewidth=1.4, zorder=4, **edge
    )


def draw_ticks(axis: Axes, levels: Sequence[Any], name: str, metric: str, inches: float | None) -> None:
    """The levels as ticks, all of them, and the names of both axes.

    Args:
        inches: the room of numbers beneath the axis; None for names at its left.
    """
    if inches is None:
        axis.set_yticks(range(len(levels)), fit(map(show, levels), 1.3, LEVEL_SIZE, 2), fontsize=LEVEL_SIZE)
        axis.set_ylim(len(levels) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(metric)
        axis.set_ylabel(name)
        axis.grid(True, axis="x")
        return
    texts = [plain(show(level)) for level in levels]
    flat = len(spaced([(i + 0.5) / len(levels) for i in range(len(levels))], texts, inches, LEVEL_SIZE)) == len(levels)
    axis.set_xticks(range(len(levels)), texts, fontsize=LEVEL_SIZE, rotation=0 if flat else 90)
    axis.set_xlim(-0.5, len(levels) - 0.5)
    axis.set_xlabel(name)
    axis.set_ylabel(metric)
    axis.grid(True, axis="y")


def draw_trellis(grid: Grid, metric: Metric, along: str, across: str, narrow: bool) -> Figure:
    """A small panel for each level of `across`, a row in it for each level of `along`: of factors of many levels."""
    levels, lines = sort_levels(grid.factors[along]), sort_levels(grid.factors[across])
    short = short_keys(grid.factors)
    values = [value for column in grid.means([along, across]).values() for value in column]
    log = is_wide(values)
    score = Side(axis_label(metric), *room_for(min(values), max(values), metric.bounds, log), log)
    names = fit(map(show, levels), 1.3, 8.0, 1)
    rows = Side(plain(short[along]), len(levels) - 0.4, -0.6, ticks=range(len(levels)), texts=names)
    titles = [f"{short[across]} {show(line)}" for line in lines]
    figure, cells = make_lattice(titles, [score], rows, narrow, height=0.16 * len(levels) + 0.1)
    for cell, line in zip(cells, lines, strict=True):
        found = level_cells(grid, metric, along, across, levels, line)
        edges = [(end, row) for row, (_, one) in enumerate(found) if one.interval for end in (*one.interval, math.nan)]
        if edges:
            xs, ys = zip(*edges, strict=True)
            cell.plot(xs, ys, color=LEVELS[0], linewidth=1.2, zorder=3)
        cell.plot([one.value for _, one in found], range(len(levels)), "o", color=LEVELS[0], markersize=4, zorder=4)
    return figure


def sort_levels(levels: list[Any]) -> list[Any]:
    """Numbers by value, anything else as it comes."""
    return sorted(levels) if is_ordered(levels) else levels
