"""What quality costs: parameters, speed, seconds of training, and seconds until a level was reached."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.metric import lower_is_better
from lab.studies.comparison.compare import Arm, Comparison
from lab.studies.comparison.means import curve_tag
from lab.studies.figures.style import NARROW, STYLE, WIDE, add_legend, axis_label, series_styles
from lab.studies.select.scores import parse_mark, scores
from lab.studies.statistics.paired import Estimate, estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP"
"""Shapes of the arms' means, beside their seven colours: 42 arms are all unlike."""


@dataclass(frozen=True)
class Cost:
    """What one arm took."""

    arm: Arm
    num_params: int | None
    images_per_second: float | None
    train_seconds: float | None
    """Mean over the runs."""
    to_target: Estimate | None
    """Seconds of training until the target was reached; the median where some runs never did."""


def target(comparison: Comparison) -> str | None:
    """The level to time: `seconds_to(val/accuracy >= 0.913)`, or None where the metric was not logged as a curve.

    It is that of the metric, or else of the first claim, that names one (`steps_to(...)`); otherwise where the worst
    run of the reference ended, with three digits, so that all of its runs get there.
    """
    for metric in (comparison.metric, *(verdict.metric for verdict in comparison.verdicts)):
        if mark := parse_mark(metric):
            return f"seconds_to({mark[1]} {mark[2]} {mark[3]:g})"
    tag = curve_tag(comparison.metric)
    reference = next((arm for arm in comparison.arms if arm.is_reference and arm.runs), None)
    if reference is None:
        return None
    ends = [
        next((row[tag] for row in reversed(run.history) if row.get(tag) is not None), None) for run in reference.runs
    ]
    finite = [end for end in ends if end is not None and math.isfinite(end)]
    if not finite:
        return None
    lower = lower_is_better(tag)
    worst = max(finite) if lower else min(finite)
    places = 2 - math.floor(math.log10(abs(worst))) if worst else 3
    unit = 10.0**-places
    # Rounded towards the easier side.
    level = (math.ceil(worst / unit) if lower else math.floor(worst / unit)) * unit
    return f"seconds_to({tag} {'<=' if lower else '>='} {level:.{max(places, 0)}f})"


def costs(comparison: Comparison, metric: str | None) -> list[Cost]:
    """The cost of each arm that has runs.

    Args:
        metric: result of `target`.
    """
    return [cost(arm, metric) for arm in comparison.arms if arm.runs]


def cost(arm: Arm, metric: str | None) -> Cost:
    """The cost of one arm."""
    seconds = [run.result["train_seconds"] for run in arm.runs if run.result.get("train_seconds")]
    timed = bool(metric) and all("seconds" in row for run in arm.runs for row in run.history)
    reached = scores(arm.runs, metric) if metric and timed and has_tag(arm, metric) else []
    mean = math.fsum(seconds) / len(seconds) if seconds else None
    return Cost(arm, arm.num_params, arm.images_per_second, mean, estimate(reached))


def has_tag(arm: Arm, metric: str) -> bool:
    mark = parse_mark(metric)
    return mark is not None and any(mark[1] in run.result["metrics"] for run in arm.runs)


def draw_cost(comparison: Comparison, narrow: bool = False) -> "Figure | None":
    """Scores over seconds of training, and over parameters where arms differ in these: seeds as dots, means as shapes.

    Returns:
        The figure, or None without finite scores, or for a single arm.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    arms = [arm for arm in comparison.arms if any(map(math.isfinite, arm.values))]
    panels = [("train_seconds", "seconds of training")]
    panels += [("num_params", "parameters")] * (len({arm.num_params for arm in arms} - {None}) > 1)
    panels = [(key, name) for key, name in panels if all(run.result.get(key) for arm in arms for run in arm.runs)]
    if len(arms) < 2 or not panels:
        return None
    styles = series_styles({arm.label: arm.label for arm in arms}, arms)
    shapes = {arm.label: MARKERS[i % len(MARKERS)] for i, arm in enumerate(arms)}
    alike: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        alike.setdefault((styles[arm.label]["color"], shapes[arm.label]), []).append(arm)
    with matplotlib.rc_context(STYLE):
        rows, columns = (len(panels), 1) if narrow else (1, len(panels))
        size = (NARROW if narrow else WIDE, 2.7 * rows + 0.25 * math.ceil(min(len(arms), 14) / (1 if narrow else 3)))
        figure = Figure(figsize=size, layout="constrained")
        axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        for axis, (key, name) in zip(axes, panels, strict=True):
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
        lines = {
            name: {"color": style["color"], "linestyle": "", "marker": shapes[name]} for name, style in styles.items()
        }
        add_legend(figure, lines)
    return figure


def draw_arms(axis: "Axes", arms: Sequence[Arm], key: str, color: str, marker: str) -> None:
    """The dots of arms that look alike, and for each the mean of its finite ones where they are."""
    points = [
        [(run.result[key], value) for run, value in zip(arm.runs, arm.values, strict=True) if math.isfinite(value)]
        for arm in arms
    ]
    xs, ys = zip(*(point for own in points for point in own), strict=True)
    axis.plot(xs, ys, "o", color=color, markersize=3.5, alpha=0.45, markeredgewidth=0, zorder=3)
    xs, ys = zip(*([mean(column) for column in zip(*own, strict=True)] for own in points), strict=True)
    axis.plot(xs, ys, marker, color=color, markersize=7.5, markeredgecolor="#FFFFFF", zorder=4)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
