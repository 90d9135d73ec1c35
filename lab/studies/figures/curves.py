"""The figure of the metric over the steps, the epochs or the seconds of training."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.metric import Metric
from lab.records.results import Run
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.means import is_finite, mean_series, trained_runs
from lab.studies.figures.lattice import Cell, Side, make_lattice, room_for
from lab.studies.figures.names import fit
from lab.studies.figures.scales import is_wide, log_name, scale, zero_place, zero_ticks
from lab.studies.figures.style import (
    FAINT,
    MOST_ROWS,
    STYLE,
    Cut,
    add_legend,
    axis_label,
    cut,
    keep_in_bounds,
    legend_height,
    panels,
    place_legend,
    stripes,
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

    def drawn(self) -> list[float]:
        """All values of means and seeds."""
        return [*self.means, *(value for _, values, _ in self.seeds for value in values)]


@dataclass(frozen=True)
class Curves:
    """What `read_curves` finds: enough for figures over all axes, with the intervals computed once."""

    metric: Metric
    """What is drawn: the last value of a tag."""
    threshold: float | None
    """What the compared metric wants to be reached, if it is a time."""
    curves: list[Curve]
    cut: Cut
    axes: list[str]
    """Those of `AXES` that all runs logged."""
    num_seeds: int | None
    """How many seeds of each arm are drawn; None for all."""
    zero: float | None = None
    """Where the axis is logarithmic and a curve reaches exactly 0, the height at which 0 stands, below all others."""

    def log(self) -> bool:
        """Whether the values are so far apart that the axis is logarithmic."""
        return is_wide([value for curve in self.curves for value in curve.drawn()])


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
    zero = zero_place([value for curve in curves for value in curve.drawn()])
    curves = curves if zero is None else [raised(curve, zero) for curve in curves]
    return Curves(drawn, threshold, curves, cut(comparison), axes, None if few else most, zero)


def raised(curve: Curve, zero: float) -> Curve:
    """`curve` with its exact zeros at the height `zero`."""
    seeds = [(places, [value or zero for value in values], diverged) for places, values, diverged in curve.seeds]
    return replace(curve, means=[value or zero for value in curve.means], seeds=seeds)


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

    Arms that differ in several keys are spread over panels, by a key that the claims restrict. Of more arms than
    colours tell apart each has a small panel (the first 60), where its reference is a grey line.

    Args:
        found: result of `read_curves`.
        along: the horizontal axis, a key of `AXES`. Over seconds the mean stands at the seeds' mean time.
        narrow: whether it is for a phone, panels below each other.
    """
    if found.cut.crowded:
        return draw_small(found, along, narrow)
    curve_of = {curve.arm.label: curve for curve in found.curves}
    cells, log = found.cut.panels([curve.arm for curve in found.curves]), found.log()
    styles = found.cut.named([curve.arm for curve in found.curves])
    num_columns = 1 if narrow else 2 if len(cells) in (2, 4) else min(len(cells), 3)
    num_rows = math.ceil(len(cells) / num_columns)
    height = (2.5 if narrow else 2.9) * num_rows + 0.3 + legend_height(styles, narrow)
    figure, axes = panels(len(cells), num_columns, height, narrow, sharex=True)
    for axis in axes:
        scale(axis, "x", False, 4 if num_columns > 1 or narrow else 6)
        scale(axis, "y", log)
    names = fit(cells, figure.get_figwidth() / num_columns - 0.4, 10, 2)
    values = [value for curve in found.curves for value in curve.drawn()]
    for index, (axis, members) in enumerate(zip(axes, cells.values(), strict=True)):
        shown = {arm.label: curve_of[arm.label] for arm in members}
        places = {name: dict(zip(one.places[along], one.means, strict=True)) for name, one in shown.items()}
        dashes = stripes(places, max(values) - min(values))
        for arm in members:
            style = found.cut.style(arm) | ({"linestyle": dashes[arm.label]} if arm.label in dashes else {})
            draw_curve(Cell(axis), shown[arm.label], along, style, len(members) > 3, found)
        axis.set_title(names[index])
        axis.grid(True)
        if index + num_columns >= len(cells):
            axis.set_xlabel(AXES[along])
            axis.tick_params(labelbottom=True)
        if found.threshold is not None:
            axis.axhline(found.threshold, color="#555555", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    # Not before all is drawn: a limit that is set stays, whatever a longer run in another panel needs.
    axes[0].set_xlim(left=0)
    if log:  # whatever an interval that reaches below 0 would ask for
        low, high = room_for(min(values), max(values), found.metric.bounds, True)
        axes[0].set_ylim(low, high)
        if found.zero is not None:
            axes[0].set_yticks(*zero_ticks(found.zero, high, 6))
    else:
        keep_in_bounds(axes[0], found.metric.bounds)
    for axis in axes[::num_columns]:
        axis.set_ylabel(log_name(axis_label(found.metric), log))
    add_legend(figure, {name: {**style, "marker": ""} for name, style in styles.items()})
    return figure


def draw_small(found: Curves, along: str, narrow: bool) -> Figure:
    """A small panel for each arm, with the mean of its reference in grey."""
    curves, log = found.curves[:MOST_ROWS], found.log()
    values = [value for curve in found.curves for value in curve.drawn()]
    values += [] if found.threshold is None or (log and found.threshold <= 0) else [found.threshold]
    last = max(xs[along][-1] for curve in curves for xs, points, _ in curve.seeds if points)
    across = Side(AXES[along], 0.0, 1.03 * last)
    low, high = room_for(min(values), max(values), found.metric.bounds, log)
    ticks = ((), ()) if found.zero is None else zero_ticks(found.zero, high, 3)
    up = Side(axis_label(found.metric), low, high, log, *ticks)
    references = {curve.arm.label: curve for curve in found.curves}
    titles = [curve.arm.label for curve in curves]
    figure, cells = make_lattice(titles, [across], up, narrow, head=True)
    for cell, curve in zip(cells, curves, strict=True):
        reference = references.get(curve.arm.reference)
        if reference is not None and reference is not curve:
            cell.plot(reference.places[along], reference.means, color=FAINT, linewidth=1.2, zorder=2)
        if found.threshold is not None:
            ends, level = [across.low, across.high], [found.threshold] * 2
            cell.plot(ends, level, color="#555555", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        draw_curve(cell, curve, along, found.cut.style(curve.arm), False, found)
    styles = ({"color": found.cut.style(curves[0].arm)["color"], "linewidth": 1.8}, {"color": FAINT, "linewidth": 1.2})
    legend = figure.legend([Line2D([], [], **style) for style in styles], ["", ""], loc="upper left", ncols=2)
    place_legend(legend, ["the arm", "its reference"])
    return figure


def draw_curve(cell: Cell, curve: Curve, along: str, style: dict[str, Any], crowded: bool, found: Curves) -> None:
    """One arm: mean, band, seeds, crosses; paler in a crowded panel. Of a single value, a dot; of exact zeros on a
    logarithmic axis, triangles."""
    color, places = style["color"], curve.places[along]
    dot = {"marker": style["marker"], "markersize": 5} if len(places) == 1 else {}
    cell.plot(places, curve.means, color=color, linestyle=style["linestyle"], linewidth=1.8, zorder=4, **dot)
    cell.fill(places, curve.lows, curve.highs, color=color, alpha=0.07 if crowded else 0.15, linewidth=0, zorder=3)
    for (xs, values, _), trained in list(zip(curve.seeds, curve.trained, strict=True))[: found.num_seeds]:
        if values and len(curve.seeds) > 1:
            width, dots = (0.6, "-") if trained else (0.9, (0, (1, 1.5)))
            faint = 0.15 if crowded else 0.35 if trained else 0.6
            cell.plot(xs[along], values, color=color, linewidth=width, linestyle=dots, alpha=faint, zorder=3)
    zeros = [(x, mean) for x, mean in zip(places, curve.means, strict=True) if mean == found.zero]
    if zeros:
        xs, heights = zip(*zeros, strict=True)
        cell.plot(xs, heights, "v", color=color, markersize=5, zorder=5)
    for xs, values, diverged in curve.seeds:
        if values and diverged:
            cell.plot([xs[along][-1]], [values[-1]], "x", color=color, markersize=6, markeredgewidth=1.6, zorder=5)
