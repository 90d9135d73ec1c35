"""The figure of a tuning: the metric over what was tuned, an arm a line."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.metric import Metric, parse_metric
from lab.records.tuning import Tried, TunedArm, Tuning
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.tuned import mean_score
from lab.studies.figures.style import (
    STYLE,
    add_legend,
    axis_label,
    keep_in_bounds,
    panel_key,
    panels,
    series_styles,
    split,
)
from lab.studies.select.selectors import canonical, is_number, show

MOST_TICKS = 9
"""Values that an axis names; of more it names every second, or third."""

RING: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.8}
"""The symbol of the value picked."""


@rc_context(STYLE)
def draw_tuning(comparison: Comparison, narrow: bool = False) -> Figure | None:
    """The metric over each tuned key, a line an arm: means over the seeds, these as dots, the picked value ringed.

    Of several keys, each value shows its best point of the grid. Tuning trials that diverged or failed are crosses at
    the worse end of the axis. Arms, colours and panels are those of the curves.

    Returns:
        The figure, or None where nothing was tuned.
    """
    tuning = comparison.tuning
    arms = [arm for arm in comparison.arms if tuning and any(one.arm_id in arm.arm_ids for one in tuning.arms)]
    if tuning is None or not arms:
        return None
    metric = parse_metric(tuning.metric)
    groups, series = split(arms, panel_key(comparison, arms))
    styles = series_styles(series, arms)
    cells = [(title, members, key) for title, members in groups.items() for key in tuning.keys]
    num_columns = 1 if narrow else len(tuning.keys) if len(tuning.keys) > 1 else min(len(groups), 3)
    height = (2.5 if narrow else 2.9) * math.ceil(len(cells) / num_columns) + 0.5
    figure, axes = panels(len(cells), num_columns, height, narrow)
    for axis, (title, members, key) in zip(axes, cells, strict=True):
        values = tried_values(tuning, key)
        places, log = value_places(values)
        for arm in members:
            for one in (one for one in tuning.arms if one.arm_id in arm.arm_ids):
                draw_arm(axis, one, key, places, metric, styles[series[arm.label]])
        if log:
            axis.set_xscale("log")
        step = math.ceil(len(values) / (MOST_TICKS - 3 if narrow else MOST_TICKS))
        axis.set_xticks([places[canonical(value)] for value in values[::step]], [*map(show, values[::step])])
        axis.minorticks_off()
        axis.set_title(title)
        axis.grid(True)
        axis.set_xlabel(key)
        axis.margins(x=0.08)
    for axis in axes[::num_columns]:
        axis.set_ylabel(axis_label(metric))
    keep_in_bounds(axes[0], metric.bounds)
    add_legend(figure, {**styles, "picked": {"color": "#555555", "linestyle": "", **RING}})
    return figure


def draw_arm(
    axis: Axes, arm: TunedArm, key: str, places: dict[str, float], metric: Metric, style: dict[str, Any]
) -> None:
    """One arm's line, dots, ring and crosses."""
    color = style["color"]
    # Of several keys, the best of the others at each value of this one.
    best: dict[str, Tried] = {}
    sign = 1 if metric.lower_is_better else -1
    for point in arm.tried:
        place = canonical(point.values[key])
        if place not in best or sign * mean_score(point, metric) < sign * mean_score(best[place], metric):
            best[place] = point
    points = sorted(((places[place], point) for place, point in best.items()), key=lambda pair: pair[0])
    xs = [x for x, _ in points]
    means = [mean_score(point, metric) if "finished" in point.statuses else math.nan for _, point in points]
    axis.plot(xs, means, marker="o", markersize=3.5, linewidth=1.8, zorder=4, **style)
    for x, point in points:
        for score, status in zip(point.scores, point.statuses, strict=True):
            if status == "finished" and score is not None:
                if len(point.scores) > 1:
                    dot = {"markersize": 4.5, "alpha": 0.5, "markeredgewidth": 0, "zorder": 3}
                    axis.plot(x, score, "o", color=color, **dot)
            else:
                end = axis.get_xaxis_transform()
                top = 0.97 if sign > 0 else 0.03
                axis.plot(x, top, "x", color=color, markersize=6, markeredgewidth=1.6, transform=end, zorder=5)
    for x, mean, (_, point) in zip(xs, means, points, strict=True):
        if point.values == arm.picked and math.isfinite(mean):
            axis.plot(x, mean, color=color, zorder=6, **RING)


def tried_values(tuning: Tuning, key: str) -> list[Any]:
    """All values of `key` that any arm tried: numbers in order, others as they were given."""
    values = list(
        {canonical(point.values[key]): point.values[key] for arm in tuning.arms for point in arm.tried}.values()
    )
    return sorted(values) if all(map(is_number, values)) else values


def value_places(values: Sequence[Any]) -> tuple[dict[str, float], bool]:
    """Where each value stands on an axis, and whether that is logarithmic: where their ratios are more even than their
    distances. Words stand side by side, and so do numbers with a 0 among powers."""
    if all(map(is_number, values)):
        positive = [value for value in values if value > 0]
        log = is_geometric(positive)
        if not log or len(positive) == len(values):
            return {canonical(value): float(value) for value in values}, log
    return {canonical(value): float(index) for index, value in enumerate(values)}, False


def is_geometric(values: Sequence[float]) -> bool:
    """Whether numbers above 0, in order, are spread by ratios rather than by distances; of two, if they are 5-fold."""
    if len(values) < 3:
        return len(values) == 2 and values[1] >= 5 * values[0]
    ratios = [math.log(b / a) for a, b in pairwise(values)]
    gaps = [b - a for a, b in pairwise(values)]
    return max(ratios) / min(ratios) < max(gaps) / min(gaps)
