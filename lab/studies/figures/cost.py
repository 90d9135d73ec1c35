"""The figure of what quality costs: scores over seconds of training, and over parameters."""

import math
from collections.abc import Sequence
from statistics import fmean

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.figures.dots import Column, Row, draw_rows, seed_rows
from lab.studies.figures.scales import is_wide, log_name, scale
from lab.studies.figures.style import STYLE, Cut, add_legend, axis_label, cut, keep_in_bounds, legend_height, panels
from lab.studies.statistics.estimate import estimate

KINDS = {"train_seconds": "training time (s)", "num_params": "parameters"}

MARKER = 7.5
"""Points of the shape of a mean."""


@rc_context(STYLE)
def draw_cost(comparison: Comparison, narrow: bool = False) -> Figure | None:
    """Scores over seconds of training, and over parameters where arms differ in these: seeds as dots, means as shapes.

    Of more arms than colours tell apart each has a row: its score, its seconds, its parameters.

    Returns:
        The figure, or None without finite scores, or for a single arm.
    """
    arms = [arm for arm in comparison.arms if any(map(math.isfinite, arm.values))]
    kinds = list(KINDS)[: 1 + (len({arm.num_params for arm in arms} - {None}) > 1)]
    kinds = [key for key in kinds if all(run.result.get(key) for arm in arms for run in arm.runs)]
    if len(arms) < 2 or not kinds:
        return None
    found = cut(comparison)
    if found.crowded:
        return draw_cost_rows(comparison, arms, kinds, narrow)
    styles = arm_styles(found, arms)
    rows, columns = (len(kinds), 1) if narrow else (1, len(kinds))
    figure, axes = panels(len(kinds), columns, 2.7 * rows + legend_height(styles, narrow), narrow)
    log = is_wide([value for arm in arms for value in arm.values])
    for axis, key in zip(axes, kinds, strict=True):
        spread = [run.result[key] for arm in arms for run in arm.runs]
        over = max(spread) > 10 * min(spread)
        scale(axis, "x", over, 4)
        scale(axis, "y", log, 5)
        draw_arms(axis, arms, key, styles)
        axis.grid(True)
        axis.set_xlabel(log_name(KINDS[key], over))
    for axis in axes if narrow else axes[:1]:
        axis.set_ylabel(log_name(axis_label(comparison.metric), log))
    if not log:
        keep_in_bounds(axes[0], comparison.metric.bounds)  # which the others share
    for axis, key in zip(axes, kinds, strict=True):
        draw_means(axis, arms, key, styles)
    add_legend(figure, {name: {**style, "markersize": MARKER} for name, style in styles.items()})
    return figure


def arm_styles(found: Cut, arms: Sequence[Arm]) -> dict[str, dict[str, str]]:
    """Colour and shape of each arm by its label: arms that are a line in several panels share a colour, and differ in
    their shape."""
    titles = list(dict.fromkeys(found.titles[arm.label] for arm in arms))
    several = len(titles) > 1
    shapes = "osD^vPX"
    return {
        arm.label: {
            "color": found.style(arm)["color"],
            "marker": shapes[titles.index(found.titles[arm.label])] if several else found.style(arm)["marker"],
            "linestyle": "",
        }
        for arm in arms
    }


def draw_cost_rows(comparison: Comparison, arms: Sequence[Arm], kinds: Sequence[str], narrow: bool) -> Figure | None:
    """A row for each arm: its score, and what it cost."""
    labels = {arm.label for arm in arms}
    metric, rows = comparison.metric, [row for row in seed_rows(comparison) if row.label in labels]
    columns = [Column(axis_label(metric), rows, metric.bounds)]
    for key in kinds:
        values = [[float(run.result[key]) for run in arm.runs] for arm in arms]
        own = [
            Row(arm.label, column, estimate(column, (0.0, math.inf)), row.color)
            for arm, column, row in zip(arms, values, rows, strict=True)
        ]
        columns.append(Column(KINDS[key], own, (0.0, math.inf)))
    return draw_rows(columns, narrow)


def points_of(arm: Arm, key: str, trained: bool = False) -> list[tuple[float, float]]:
    """(cost, score) of the runs with a finite score; of those that trained, if any did and `trained` asks for it."""
    rows = zip(arm.runs, arm.values, arm.trained, strict=True)
    own = [(run.result[key], value, fine) for run, value, fine in rows if math.isfinite(value)]
    own = [one for one in own if one[2]] or own if trained else own
    return [one[:2] for one in own]


def draw_arms(axis: Axes, arms: Sequence[Arm], key: str, styles: dict[str, dict[str, str]]) -> None:
    """The dots of arms, those of a colour as one line, as each costs the time of many dots."""
    for color in dict.fromkeys(style["color"] for style in styles.values()):
        points = [one for arm in arms if styles[arm.label]["color"] == color for one in points_of(arm, key)]
        xs, ys = zip(*points, strict=True)
        axis.plot(xs, ys, "o", color=color, markersize=3.5, alpha=0.45, markeredgewidth=0, zorder=3)


def draw_means(axis: Axes, arms: Sequence[Arm], key: str, styles: dict[str, dict[str, str]]) -> None:
    """A shape for the mean of each arm; those that would hide one another stand side by side, as many points apart."""
    means = [[fmean(column) for column in zip(*points_of(arm, key, True), strict=True)] for arm in arms]
    figure = axis.get_figure(root=True)
    assert figure is not None
    inches = figure.get_figwidth() / max(1, len({ax.get_position().x0 for ax in figure.axes})), 2.0
    shares = axis.transScale.transform(means)
    ends = axis.transScale.transform(
        [(axis.get_xlim()[0], axis.get_ylim()[0]), (axis.get_xlim()[1], axis.get_ylim()[1])]
    )
    places = [tuple((point - ends[0]) / (ends[1] - ends[0]) * inches * 72) for point in shares]
    for (x, y), arm, shift in zip(means, arms, side_by_side(places, MARKER), strict=True):
        style = styles[arm.label]
        moved = axis.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
        shape = {"markersize": MARKER, "markeredgecolor": "#FFFFFF", "markeredgewidth": 0.8, "zorder": 4}
        axis.plot([x], [y], style["marker"], color=style["color"], transform=moved, **shape)


def side_by_side(places: Sequence[tuple[float, float]], size: float) -> list[float]:
    """By how many points to move shapes of a size sideways so that none hides another.

    Args:
        places: in points.
    """
    shifts: list[float] = []
    for index, (x, y) in enumerate(places):
        taken = [(x2 + shift, y2) for (x2, y2), shift in zip(places[:index], shifts, strict=True)]
        tries = [0.0, *(sign * step * size / 2 for step in range(1, 2 * len(places) + 1) for sign in (1, -1))]
        shifts.append(
            next((t for t in tries if all(math.hypot(x + t - x2, y - y2) >= 0.8 * size for x2, y2 in taken)), 0.0)
        )
    return shifts
