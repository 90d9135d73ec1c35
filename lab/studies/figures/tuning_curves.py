"""The figure of a tuning: the metric over what was tuned, an arm a line."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.metric import Metric, parse_metric
from lab.ranges import read_range
from lab.records.tuning import Tried, TunedArm, Tuning
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.tuned import mean_score
from lab.studies.figures.lattice import Cell, Side, make_lattice, room_for
from lab.studies.figures.names import fit, plain, width
from lab.studies.figures.scales import is_wide, log_name, log_ticks, number_texts, scale, spaced
from lab.studies.figures.style import (
    MOST_ROWS,
    STYLE,
    Cut,
    add_legend,
    axis_label,
    cut,
    keep_in_bounds,
    legend_height,
    panels,
    stripes,
)
from lab.studies.select.selectors import canonical, is_number, show

TICK_SIZE = 8.5
"""Points of the names of values."""

MOST_DOTS = 40
"""Dots side by side in a panel."""

RING: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgewidth": 1.8}
"""The symbol of the value picked."""


@rc_context(STYLE)
def draw_tuning(comparison: Comparison, narrow: bool = False) -> Figure | None:
    """The metric over each tuned key, a line an arm: means over the seeds, these as dots, the picked value ringed.

    Of several keys, each value shows its best point of the grid. Tuning trials that diverged or failed are crosses at
    the worse end of the axis. Lines join numbers alone. Arms, colours and panels are those of the curves.

    Returns:
        The figure, or None where nothing was tuned.
    """
    tuning = comparison.tuning
    arms = [arm for arm in comparison.arms if tuning and tuned_arms(tuning, arm)]
    if tuning is None or not arms:
        return None
    found, metric = cut(comparison), parse_metric(tuning.metric)
    words = max((len(v) for v in (tried_values(tuning, key) for key in tuning.keys) if not is_ordered(v)), default=0)
    if found.crowded or words * len(arms) > MOST_DOTS:
        return draw_small(tuning, arms[:MOST_ROWS], found, metric, narrow)
    groups, styles = found.panels(arms), found.named(arms)
    cells = [(members, key) for members in groups.values() for key in tuning.keys]
    titles = fit([title for title in groups for _ in tuning.keys], 2.2, 10, 2)
    num_columns = 1 if narrow else len(tuning.keys) if len(tuning.keys) > 1 else min(len(groups), 3)
    height = (2.5 if narrow else 2.9) * math.ceil(len(cells) / num_columns) + legend_height([*styles, "picked"], narrow)
    figure, axes = panels(len(cells), num_columns, height, narrow)
    log = is_wide(all_scores(tuning))
    scale(axes[0], "y", log, 6)
    for axis, (members, key), title in zip(axes, cells, titles, strict=True):
        values = tried_values(tuning, key)
        places, along = key_places(tuning, key)
        if along:
            axis.set_xscale("log")
        draw_members(Cell(axis), tuning, members, key, found, metric)
        inches = figure.get_figwidth() / num_columns - 0.9
        if key in tuning.ranges:  # as many values as points
            scale(axis, "x", along, max(3, int(inches / 0.6)))
        else:
            draw_ticks(axis, values, places, along, inches)
        axis.set_title(title)
        axis.grid(True)
        axis.set_xlabel(log_name(plain(key), along))
    for axis in axes[::num_columns]:
        axis.set_ylabel(log_name(axis_label(metric), log))
    if not log:
        keep_in_bounds(axes[0], metric.bounds)
    add_legend(figure, {**styles, "picked": {"color": "#555555", "linestyle": "", **RING}})
    return figure


def tuned_arms(tuning: Tuning, arm: Arm) -> list[TunedArm]:
    """The tunings of an arm of the comparison."""
    return [one for one in tuning.arms if one.arm_id in arm.arm_ids]


def all_scores(tuning: Tuning) -> list[float]:
    """The scores of all tuning trials that have one, and the means of all points."""
    points, metric = [one for arm in tuning.arms for one in arm.tried], parse_metric(tuning.metric)
    scores = [score for one in points for score in one.scores if score is not None]
    return [value for value in (*scores, *(mean_of(one, metric) for one in points)) if math.isfinite(value)]


def draw_ticks(axis: Axes, values: Sequence[Any], places: Mapping[str, float], log: bool, inches: float) -> None:
    """Names of values beneath an axis: of numbers those that there is room for, of words all, upright if need be."""
    at = [places[canonical(value)] for value in values]
    low, high = (math.log10(min(at)), math.log10(max(at))) if log else (min(at), max(at))
    room = 0.08 * (high - low) or 0.5
    room = room if is_ordered(values) else 0.6
    low, high = low - room, high + room
    shares = [((math.log10(x) if log else x) - low) / (high - low) for x in at]
    axis.set_xlim(10**low if log else low, 10**high if log else high)
    axis.minorticks_off()
    if is_ordered(values):
        texts = number_texts([float(value) for value in values])
        kept = spaced(shares, texts, inches, TICK_SIZE)
        axis.set_xticks([at[i] for i in kept], [texts[i] for i in kept], fontsize=TICK_SIZE)
        return
    each = inches / (len(values) + 0.2) - 0.08
    texts = fit(map(show, values), each, TICK_SIZE, 2) if each > 0.4 else []
    flat = texts and all(width(line, TICK_SIZE) <= each for text in texts for line in text.split("\n"))
    texts = texts if flat else fit(map(show, values), 1.1, TICK_SIZE, 1)
    every = 1 if flat else math.ceil(0.14 * len(values) / inches)
    axis.set_xticks(at[::every], texts[::every], fontsize=TICK_SIZE, rotation=0 if flat else 90)


def draw_small(tuning: Tuning, arms: Sequence[Arm], found: Cut, metric: Metric, narrow: bool) -> Figure:
    """A small panel for each arm and key."""
    scores = all_scores(tuning) or [0.0]
    log = is_wide(scores)
    up = Side(axis_label(metric), *room_for(min(scores), max(scores), metric.bounds, log), log)
    across = [key_side(tuning, key) for key in tuning.keys]
    wanted = [(arm, key) for arm in arms for key in tuning.keys]
    figure, cells = make_lattice([arm.label for arm, _ in wanted], across, up, narrow)
    for cell, (arm, key) in zip(cells, wanted, strict=True):
        draw_members(cell, tuning, [arm], key, found, metric, up)
    return figure


def key_side(tuning: Tuning, key: str) -> Side:
    """The axis of a tuned key."""
    values = tried_values(tuning, key)
    places, log = key_places(tuning, key)
    at = [places[canonical(value)] for value in values]
    low, high = room_for(min(at), max(at), (-math.inf, math.inf), log)
    if key in tuning.ranges:
        at = log_ticks(low, high, 3) if log else [min(at), max(at)]
        return Side(plain(key), low, high, log, at, number_texts(at))
    if is_ordered(values):
        texts = number_texts([float(value) for value in values])
        return Side(plain(key), low, high, log, at, texts)
    return Side(plain(key), low - 0.5, high + 0.5, False, at, fit(map(show, values), 1.1, TICK_SIZE, 1), True)


def draw_members(
    cell: Cell,
    tuning: Tuning,
    arms: Sequence[Arm],
    key: str,
    found: Cut,
    metric: Metric,
    up: Side | None = None,
) -> None:
    """The lines of the arms of a panel: those that agree take turns."""
    places, _ = key_places(tuning, key)
    ordered = is_ordered(tried_values(tuning, key))
    joined = ordered and not (tuning.ranges and len(tuning.keys) > 1)  # neighbours there differ in other keys as well
    lines = {one.base_id: best_points(one, key, places, metric) for arm in arms for one in tuned_arms(tuning, arm)}
    means = {name: {x: mean_of(point, metric) for x, point in points} for name, points in lines.items()}
    scores = [value for line in means.values() for value in line.values() if math.isfinite(value)] or [0.0]
    dashes = stripes(means, max(scores) - min(scores))
    for number, arm in enumerate(arms):
        for one in tuned_arms(tuning, arm):
            style = {**found.style(arm)}
            style["linestyle"] = dashes.get(one.base_id, style["linestyle"]) if joined else ""
            # Words are a little apart, so that no dot hides another.
            shift = 0.0 if ordered else 0.5 * (number - (len(arms) - 1) / 2) / len(arms)
            draw_arm(cell, one, [(x + shift, point) for x, point in lines[one.base_id]], metric, style, up)


def mean_of(point: Tried, metric: Metric) -> float:
    """The mean score of a point; NaN where no tuning trial of it ended well."""
    return mean_score(point, metric) if "finished" in point.statuses else math.nan


def best_points(arm: TunedArm, key: str, places: Mapping[str, float], metric: Metric) -> list[tuple[float, Tried]]:
    """At each value of `key` the best point of the others, in the order of the axis."""
    best: dict[str, Tried] = {}
    sign = 1 if metric.lower_is_better else -1
    for point in arm.tried:
        place = canonical(point.values[key])
        if place not in best or sign * mean_score(point, metric) < sign * mean_score(best[place], metric):
            best[place] = point
    return sorted(((places[place], point) for place, point in best.items()), key=lambda pair: pair[0])


def draw_arm(
    cell: Cell,
    arm: TunedArm,
    points: Sequence[tuple[float, Tried]],
    metric: Metric,
    style: dict[str, Any],
    up: Side | None,
) -> None:
    """One arm's line, dots, ring and crosses, these at the worse end of the axis `up`."""
    color = style["color"]
    xs, means = [x for x, _ in points], [mean_of(point, metric) for _, point in points]
    mark = {"marker": style["marker"], "markersize": 4.5, "markeredgecolor": "#FFFFFF", "markeredgewidth": 0.5}
    cell.plot(xs, means, color=color, linestyle=style["linestyle"], linewidth=1.8, zorder=4, **mark)
    ended = [
        (x, score if status == "finished" else None)
        for x, point in points
        for score, status in zip(point.scores, point.statuses, strict=True)
    ]
    dots = [(x, score) for x, score in ended if score is not None]
    failed = [x for x, score in ended if score is None]
    if dots and any(len(point.scores) > 1 for _, point in points):
        places, scores = zip(*dots, strict=True)
        cell.plot(places, scores, "o", color=color, markersize=4, alpha=0.45, markeredgewidth=0, zorder=3)
    if failed:
        top = 0.97 if metric.lower_is_better else 0.03
        cross = {"color": color, "markersize": 6, "markeredgewidth": 1.6, "zorder": 5}
        if up is None:
            cross |= {"transform": cell.axis.get_xaxis_transform()}
        cell.plot(failed, [top if up is None else up.at(top)] * len(failed), "x", **cross)
    for x, mean, (_, point) in zip(xs, means, points, strict=True):
        if point.values == arm.picked and math.isfinite(mean):
            cell.plot([x], [mean], color=color, zorder=6, **RING)


def tried_values(tuning: Tuning, key: str) -> list[Any]:
    """All values of `key` that any arm tried: numbers in order, others as they were given."""
    values = list(
        {canonical(point.values[key]): point.values[key] for arm in tuning.arms for point in arm.tried}.values()
    )
    return sorted(values) if is_ordered(values) else values


def key_places(tuning: Tuning, key: str) -> tuple[dict[str, float], bool]:
    """Where each value of a tuned key stands on an axis, and whether that is logarithmic: a range says so itself."""
    values = tried_values(tuning, key)
    if key not in tuning.ranges:
        return value_places(values)
    return {canonical(value): float(value) for value in values}, read_range(tuning.ranges[key]).kind == "log"


def is_ordered(values: Sequence[Any]) -> bool:
    """Whether values are numbers, which alone a line may join."""
    return all(map(is_number, values))


def value_places(values: Sequence[Any]) -> tuple[dict[str, float], bool]:
    """Where each value stands on an axis, and whether that is logarithmic: where their ratios are more even than their
    distances. Words stand side by side, and so do numbers with a 0 among powers."""
    if is_ordered(values):
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
