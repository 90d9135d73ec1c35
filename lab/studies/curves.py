"""The figure of the metric over the steps."""

import math
from typing import TYPE_CHECKING, Any

from lab.records.results import Run
from lab.studies.comparison import Arm, Comparison
from lab.studies.means import is_finite, mean_series
from lab.studies.metrics import parse_mark
from lab.studies.plots import OTHERS, STYLE, add_legend, axis_label, panel_key, series_styles, split

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_curves(comparison: Comparison) -> "Figure | None":
    """The metric over the steps: mean and 95 % interval of each arm, seeds as thin lines, a cross where one diverged.

    Where the metric is a time to reach a mark, the curve is of what has to reach it, and the mark a line. Arms that
    differ in several keys are spread over panels, by a key that the claims restrict.

    Returns:
        The figure, or None where the metric was not logged at two steps or more.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    mark = parse_mark(comparison.metric)
    # The test score is known at the end only; its curve is that of the validation set.
    tag = mark[1] if mark else comparison.metric.replace("test/", "val/")
    arms = [arm for arm in comparison.arms if any(len(points(run, tag)) > 1 for run in arm.runs)]
    if not arms:
        return None
    panels, series = split(arms, panel_key(comparison, arms))
    styles = series_styles(series, arms)
    num_columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    num_rows = math.ceil(len(panels) / num_columns)
    with matplotlib.rc_context(STYLE):
        size = (max(6.4, 3.7 * num_columns), 2.9 * num_rows + 0.75)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
        axes: list[Axes] = list(grid.flat)
        for index, (axis, (title, members)) in enumerate(zip(axes, panels.items(), strict=False)):
            for arm in members:
                draw_arm(axis, arm, tag, styles[series[arm.label]], crowded=len(members) > 3)
            axis.set_title(title)
            axis.grid(True)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if index + num_columns >= len(panels):
                axis.set_xlabel("optimizer steps")
                axis.tick_params(labelbottom=True)
            if mark:
                axis.axhline(mark[3], color="#555555", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        # Not before all is drawn: a limit that is set stays, whatever a longer run in another panel needs.
        axes[0].set_xlim(left=0)
        if "accuracy" in tag or "top5" in tag:
            low, high = axes[0].get_ylim()
            axes[0].set_ylim(max(low, -0.02), min(high, 1.02))
        for row in grid:
            row[0].set_ylabel(axis_label(tag))
        add_legend(figure, styles)
    return figure


def points(run: Run, tag: str) -> list[tuple[int, float]]:
    """The finite (step, value) of `tag`."""
    return [(row["step"], row[tag]) for row in run.history if is_finite(row.get(tag))]


def draw_arm(axis: "Axes", arm: Arm, tag: str, style: dict[str, Any], crowded: bool) -> None:
    """One arm: mean, band, seeds, crosses; paler in a crowded panel, and the mean alone where no colour is left."""
    color = style["color"]
    series = mean_series(arm.runs, [tag]).get(tag, [])
    steps, means, lows, highs = zip(*series, strict=True) if series else ((), (), (), ())
    if color == OTHERS:
        axis.plot(steps, means, color=color, linewidth=0.8, zorder=2)
        return
    axis.plot(steps, means, color=color, linestyle=style["linestyle"], linewidth=1.8, zorder=4)
    axis.fill_between(steps, lows, highs, color=color, alpha=0.07 if crowded else 0.15, linewidth=0, zorder=3)
    for run in arm.runs:
        logged = points(run, tag)
        if logged and len(arm.runs) > 1:
            alpha = 0.15 if crowded else 0.35
            axis.plot(*zip(*logged, strict=True), color=color, linewidth=0.6, alpha=alpha, zorder=3)
        if logged and run.status == "diverged":
            axis.plot(*logged[-1], "x", color=color, markersize=6, markeredgewidth=1.6, zorder=5)
