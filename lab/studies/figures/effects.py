"""Figures of a factorial design: its effects as rows, and a panel for each pair of factors."""

import itertools
import math

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.metric import Metric, apart
from lab.studies.comparison.factorial import Grid
from lab.studies.figures.dots import Row, draw_rows
from lab.studies.figures.style import (
    COLORS,
    DASHES,
    MOST_PANELS,
    OTHERS,
    STYLE,
    axis_label,
    keep_in_bounds,
    panels,
    wrap,
)
from lab.studies.select.selectors import canonical, is_number, short_keys, show
from lab.studies.statistics.estimate import estimate

MARKERS = "osD^vPX"


def draw_effects(grid: Grid, metric: Metric, narrow: bool = False) -> Figure | None:
    """A row for each main effect and each interaction (the first 60), a dot a seed, with a line at zero."""
    rows = [
        Row(effect.label, effect.values, effect.center, COLORS[index])
        for index, effects in enumerate((grid.main, grid.interactions))
        for effect in effects
    ]
    bounds = apart(metric.difference_bounds)  # of interactions, which are differences of differences
    return draw_rows(rows, f"effect on {axis_label(metric)}", bounds, narrow, zero=True)


@rc_context(STYLE)
def draw_interactions(grid: Grid, metric: Metric, narrow: bool = False) -> Figure | None:
    """A panel for each pair of factors (the first 6): a line a level, parallel where the factors do not interact.

    Each point is the mean over the seeds and the other factors with its 95 % interval; dots are the seeds. The factor
    with more levels lies on the horizontal axis; a single pair is drawn both ways round.
    """
    pairs = [
        tuple(sorted(pair, key=lambda key: -len(grid.factors[key]))) for pair in itertools.combinations(grid.factors, 2)
    ][:MOST_PANELS]
    pairs = pairs if len(pairs) > 1 else [pairs[0], pairs[0][::-1]]
    columns = 1 if narrow else 2
    most = max(len(grid.factors[across]) for _, across in pairs)
    height = (2.6 if narrow else 2.8) + 0.17 * (1 + most)  # beneath the legends
    figure, axes = panels(len(pairs), columns, height * math.ceil(len(pairs) / columns), narrow)
    for index, (axis, (along, across)) in enumerate(zip(axes, pairs, strict=True)):
        draw_pair(axis, grid, along, across, metric.bounds)
        if index % columns == 0:
            axis.set_ylabel(axis_label(metric))
    keep_in_bounds(axes[0], metric.bounds)
    return figure


def draw_pair(axis: Axes, grid: Grid, along: str, across: str, bounds: tuple[float, float]) -> None:
    """The levels of `along` side by side, a line for each level of `across`, a little apart."""
    short, means = short_keys(grid.factors), grid.means([along, across])
    levels, lines = sort_levels(grid.factors[along]), sort_levels(grid.factors[across])
    for index, line in enumerate(lines):
        color = COLORS[index] if index < len(COLORS) else OTHERS
        shift = 0.12 * (index - (len(lines) - 1) / 2) / max(1, len(lines) / 3)
        places = [place + shift for place in range(len(levels))]
        columns = [means[(canonical(level), canonical(line))] for level in levels]
        centers = [estimate(column, bounds) for column in columns]
        style = {"color": color, "linestyle": DASHES[index % len(DASHES)], "marker": MARKERS[index % len(MARKERS)]}
        axis.plot(
            places, [c.value for c in centers if c], linewidth=1.6, markersize=5.5, label=show(line), zorder=4, **style
        )
        for place, column, center in zip(places, columns, centers, strict=True):
            axis.plot(
                [place + 0.05] * len(column), column, "o", color=color, markersize=3, alpha=0.45, markeredgewidth=0
            )
            if center and center.interval:
                axis.plot([place] * 2, center.interval, "-", color=color, linewidth=1.2, zorder=3)
    axis.set_xticks(range(len(levels)), [wrap(show(level), max(8, 40 // len(levels))) for level in levels])
    axis.set_xlim(-0.4, len(levels) - 0.6)
    axis.set_xlabel(short[along])
    axis.grid(True, axis="y")
    # Above the panel, as the best place within it may hide points all the same.
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    axis.legend(title=short[across], fontsize=8.5, title_fontsize=8.5, alignment="left", **place)


def sort_levels(levels: list) -> list:
    """Numbers by value, anything else as it comes."""
    return sorted(levels) if all(map(is_number, levels)) else levels
