"""The figure of what quality costs: scores over seconds of training, and over parameters."""

import math
from collections.abc import Sequence
from statistics import fmean

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.figures.style import STYLE, add_legend, axis_label, keep_in_bounds, panels, series_styles

MARKERS = "osD^vP"
"""Shapes of the arms' means, beside their seven colours: 42 arms are all unlike."""


@rc_context(STYLE)
def draw_cost(comparison: Comparison, narrow: bool = False) -> Figure | None:
    """Scores over seconds of training, and over parameters where arms differ in these: seeds as dots, means as shapes.

    Returns:
        The figure, or None without finite scores, or for a single arm.
    """
    arms = [arm for arm in comparison.arms if any(map(math.isfinite, arm.values))]
    kinds = [("train_seconds", "seconds of training")]
    kinds += [("num_params", "parameters")] * (len({arm.num_params for arm in arms} - {None}) > 1)
    kinds = [(key, name) for key, name in kinds if all(run.result.get(key) for arm in arms for run in arm.runs)]
    if len(arms) < 2 or not kinds:
        return None
    styles = series_styles({arm.label: arm.label for arm in arms}, arms)
    shapes = {arm.label: MARKERS[i % len(MARKERS)] for i, arm in enumerate(arms)}
    alike: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        alike.setdefault((styles[arm.label]["color"], shapes[arm.label]), []).append(arm)
    rows, columns = (len(kinds), 1) if narrow else (1, len(kinds))
    height = 2.7 * rows + 0.25 * math.ceil(min(len(arms), 14) / (1 if narrow else 3))
    figure, axes = panels(len(kinds), columns, height, narrow)
    for axis, (key, name) in zip(axes, kinds, strict=True):
        for (color, marker), members in alike.items():
            draw_arms(axis, members, key, color, marker)
        spread = [run.result[key] for arm in arms for run in arm.runs]
        if max(spread) > 10 * min(spread):
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))  # plain numbers, few enough for a phone
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(True)
        axis.set_xlabel(name)
    for axis in axes if narrow else axes[:1]:
        axis.set_ylabel(axis_label(comparison.metric))
    keep_in_bounds(axes[0], comparison.metric.bounds)  # which the others share
    lines = {name: {"color": style["color"], "linestyle": "", "marker": shapes[name]} for name, style in styles.items()}
    add_legend(figure, lines)
    return figure


def draw_arms(axis: Axes, arms: Sequence[Arm], key: str, color: str, marker: str) -> None:
    """The dots of arms of one colour and shape, and for each the mean of its finite ones (that trained, if any did)."""
    points, averaged = [], []
    for arm in arms:
        rows = zip(arm.runs, arm.values, arm.trained, strict=True)
        own = [(run.result[key], value, trained) for run, value, trained in rows if math.isfinite(value)]
        among = [one for one in own if one[2]] or own
        points += [one[:2] for one in own]
        averaged.append([one[:2] for one in among])
    xs, ys = zip(*points, strict=True)
    axis.plot(xs, ys, "o", color=color, markersize=3.5, alpha=0.45, markeredgewidth=0, zorder=3)
    xs, ys = zip(*([fmean(column) for column in zip(*own, strict=True)] for own in averaged), strict=True)
    axis.plot(xs, ys, marker, color=color, markersize=7.5, markeredgecolor="#FFFFFF", zorder=4)
