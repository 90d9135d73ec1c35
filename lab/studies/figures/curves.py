"""The figure of the metric over the steps, the epochs or the seconds of training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab.metric import Metric
from lab.records.results import Run
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.means import is_finite, mean_series, trained_runs
from lab.studies.figures.style import (
    NARROW,
    OTHERS,
    STYLE,
    WIDE,
    add_legend,
    axis_label,
    keep_in_bounds,
    panel_key,
    panels,
    series_styles,
    split,
)

AXES = {"step": "optimizer steps", "epoch": "epochs", "seconds": "seconds of training"}
"""What a curve can be drawn over: the coordinates of a logged row, and their names on the axis."""

MOST_SEED_LINES = 100
"""Thin lines in a figure, beyond which each arm shows only its first seeds."""


@dataclass(frozen=True)
class Curve:
    """One arm's mean, and what is needed to draw it over each coordinate."""

    arm: Arm
    means: list[float]
    """At the steps that all runs logged."""
    lows: list[float]
    highs: list[float]
    places: dict[str, list[float]]
    """Where these steps lie on each axis: the mean over the seeds."""
    seeds: list[tuple[dict[str, list[float]], list[float], bool]]
    """For each run its coordinates, its values, and whether it diverged after the last."""
    trained: list[bool]
    """Whether each run trained; where some did, the mean is of those."""


@dataclass(frozen=True)
class Curves:
    """What `read_curves` finds: enough for figures over all axes, with the intervals computed once."""

    metric: Metric
    """What is drawn: the last value of a tag."""
    threshold: float | None
    """What the compared metric wants to be reached, if it is a time."""
    curves: list[Curve]
    panel_key: str | None
    axes: list[str]
    """Those of `AXES` that all runs logged."""
    num_seeds: int | None
    """How many seeds of each arm are drawn; None for all."""


def read_curves(comparison: Comparison) -> Curves | None:
    """The curves of the comparison's metric, or None where it was not logged at two steps or more.

    Where the metric is the time to a threshold, the curve is of what has to reach it.
    """
    tag = comparison.metric.curve_tag
    found = [(arm, [logged(run, tag) for run in arm.runs]) for arm in comparison.arms]
    found = [(arm, rows) for arm, rows in found if any(len(one) > 1 for one in rows)]
    if not found:
        return None
    arms = [arm for arm, _ in found]
    points = [row for _, rows in found for one in rows for row in one]
    axes = [axis for axis in AXES if all(is_finite(row.get(axis)) for row in points)]
    curves = [read_curve(arm, rows, tag, axes, comparison.untrained) for arm, rows in found]
    most = max(1, MOST_SEED_LINES // len(arms))
    few = all(len(arm.runs) <= most for arm in arms)
    drawn = Metric(tag, "last", (tag,))
    threshold = comparison.metric.threshold
    return Curves(drawn, threshold, curves, panel_key(comparison, arms), axes, None if few else most)


def read_curve(
    arm: Arm, histories: list[list[dict[str, Any]]], tag: str, axes: list[str], untrained: frozenset[Path]
) -> Curve:
    """The mean curve of one arm, and its seeds, whose rows with a finite `tag` are given."""
    averaged = trained_runs(arm.runs, untrained)
    paths = {run.path for run in averaged}
    points = mean_series(averaged, [tag]).get(tag, [])
    steps, means, lows, highs = (list(column) for column in zip(*points, strict=True)) if points else ([], [], [], [])
    rows = [{row["step"]: row for row in one} for one in histories]
    among = [one for one, run in zip(rows, arm.runs, strict=True) if run.path in paths]
    places = {axis: [math.fsum(run[step][axis] for run in among) / len(among) for step in steps] for axis in axes}
    seeds = [
        ({axis: [row[axis] for row in one.values()] for axis in axes}, [row[tag] for row in one.values()], diverged)
        for one, diverged in zip(rows, (run.status == "diverged" for run in arm.runs), strict=True)
    ]
    return Curve(arm, means, lows, highs, places, seeds, [run.path not in untrained for run in arm.runs])


def logged(run: Run, tag: str) -> list[dict[str, Any]]:
    """The rows of a run's history that have a finite `tag`."""
    return [row for row in run.history if is_finite(row.get(tag))]


@rc_context(STYLE)
def draw_curves(found: Curves, along: str = "step", narrow: bool = False) -> Figure:
    """Mean and 95 % interval of each arm, seeds as thin lines, a cross where one diverged, a line for a threshold.

    Arms that differ in several keys are spread over panels, by a key that the claims restrict.

    Args:
        found: result of `read_curves`.
        along: the horizontal axis, a key of `AXES`. Over seconds the mean stands at the seeds' mean time.
        narrow: whether it is for a phone, panels below each other.
    """
    arms = [curve.arm for curve in found.curves]
    curve_of = {id(curve.arm): curve for curve in found.curves}
    cells, series = split(arms, found.panel_key)
    styles = series_styles(series, arms)
    num_columns = 1 if narrow else 2 if len(cells) in (2, 4) else min(len(cells), 3)
    num_rows = math.ceil(len(cells) / num_columns)
    legend_rows = math.ceil(
        len(styles) / max(1, int((NARROW if narrow else WIDE) / (0.6 + 0.08 * max(map(len, styles)))))
    )
    height = (2.5 if narrow else 2.9) * num_rows + 0.3 + 0.2 * legend_rows
    figure, axes = panels(len(cells), num_columns, height, narrow, sharex=True)
    for index, (axis, (title, members)) in enumerate(zip(axes, cells.items(), strict=True)):
        shown = [(curve_of[id(arm)], styles[series[arm.label]]) for arm in members]
        draw_others(axis, [curve for curve, style in shown if style["color"] == OTHERS], along)
        for curve, style in shown:
            if style["color"] != OTHERS:
                draw_curve(axis, curve, along, style, len(members) > 3, found.num_seeds)
        axis.set_title(title)
        axis.grid(True)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=along == "step"))
        if index + num_columns >= len(cells):
            axis.set_xlabel(AXES[along])
            axis.tick_params(labelbottom=True)
        if found.threshold is not None:
            axis.axhline(found.threshold, color="#555555", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    # Not before all is drawn: a limit that is set stays, whatever a longer run in another panel needs.
    axes[0].set_xlim(left=0)
    keep_in_bounds(axes[0], found.metric.bounds)
    for axis in axes[::num_columns]:
        axis.set_ylabel(axis_label(found.metric))
    add_legend(figure, styles)
    return figure


def draw_others(axis: Axes, curves: Sequence[Curve], along: str) -> None:
    """The means alone of arms that no colour is left for, as one line: each costs the time of many points."""
    xs = [x for curve in curves for x in (*curve.places[along], math.nan)]
    ys = [mean for curve in curves for mean in (*curve.means, math.nan)]
    if curves:
        axis.plot(xs, ys, color=OTHERS, linewidth=0.8, zorder=2)


def draw_curve(
    axis: Axes, curve: Curve, along: str, style: dict[str, Any], crowded: bool, num_seeds: int | None
) -> None:
    """One arm: mean, band, seeds, crosses; paler in a crowded panel."""
    color, places = style["color"], curve.places[along]
    axis.plot(places, curve.means, color=color, linestyle=style["linestyle"], linewidth=1.8, zorder=4)
    axis.fill_between(
        places, curve.lows, curve.highs, color=color, alpha=0.07 if crowded else 0.15, linewidth=0, zorder=3
    )
    for (xs, values, _), trained in list(zip(curve.seeds, curve.trained, strict=True))[:num_seeds]:
        if values and len(curve.seeds) > 1:
            width, dots = (0.6, "-") if trained else (0.9, (0, (1, 1.5)))
            faint = 0.15 if crowded else 0.35 if trained else 0.6
            axis.plot(xs[along], values, color=color, linewidth=width, linestyle=dots, alpha=faint, zorder=3)
    for xs, values, diverged in curve.seeds:
        if values and diverged:
            axis.plot(xs[along][-1], values[-1], "x", color=color, markersize=6, markeredgewidth=1.6, zorder=5)
