"""Accuracy by class: of each arm, and arm minus reference."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.studies.comparison.answers import APART, FEWEST_SEEDS, SHARE, Answers
from lab.studies.figures.names import fit
from lab.studies.figures.style import COLORS, MARKERS, NARROW, STYLE, WIDE, add_legend, legend_height
from lab.studies.statistics.estimate import mean_intervals

MOST_CLASSES = 30
"""Classes that are shown; of more those of the lowest accuracy."""


def shown_classes(answers: Answers) -> list[int]:
    """The classes with test images; of more than 30 the hardest, the hardest first."""
    means = np.nanmean([np.nanmean(one.accuracy[:, answers.present], 0) for one in answers.arms], 0)
    if len(answers.present) <= MOST_CLASSES:
        return answers.present
    return [answers.present[place] for place in np.argsort(means, kind="stable")[:MOST_CLASSES]]


@rc_context(STYLE)
def draw_classes(answers: Answers | None, narrow: bool = False) -> Figure | None:
    """A row a class: the mean of each arm with its interval, and beside it (below it where `narrow`) its difference."""
    if answers is None or not answers.present:
        return None
    classes = shown_classes(answers)
    apart = [answers.paired(one, "accuracy") for one in answers.arms]
    several = any(rows is not None for rows in apart)
    styles = {
        one.arm.label: {"color": COLORS[number], "marker": MARKERS[number], "linestyle": "none", "markersize": 4.5}
        for number, one in enumerate(answers.arms)
    }
    head = legend_height(styles, narrow)
    tall = len(classes) * (0.1 + 0.085 * len(answers.arms)) + 0.5
    panels = 1 + several
    figure = Figure(
        figsize=(NARROW if narrow else WIDE, tall * (panels if narrow else 1) + head + 0.1), layout="constrained"
    )
    axes = figure.subplots(*((panels, 1) if narrow else (1, panels)), squeeze=False, sharey=True).flat
    names = fit([answers.classes[k] for k in classes], 1.1, STYLE["font.size"], 1)
    draw_points(axes[0], [100 * one.accuracy[:, classes] for one in answers.arms], list(styles.values()), SHARE)
    axes[0].set_xlabel("right, % of the class's images")
    if several:
        rows = [None if one is None else 100 * one[:, classes] for one in apart]
        axes[1].axvline(0, color="#555555", linewidth=1, zorder=1)
        draw_points(axes[1], rows, list(styles.values()), APART)
        axes[1].set_xlabel("difference to the reference, points")
    for axis in axes:
        axis.set_yticks(range(len(classes)), names)
        axis.set_ylim(len(classes) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(True, axis="x")
    add_legend(figure, styles)
    return figure


def draw_points(
    axis: Axes, rows: Sequence[np.ndarray | None], styles: Sequence[dict], bounds: tuple[float, float]
) -> None:
    """The mean and the interval of each arm in each class, the arms below each other within the class.

    Args:
        axis: to draw on.
        rows: of each arm percents, (seeds, classes); None where it has none.
        styles: of each arm.
        bounds: what a share, or a difference, can be.
    """
    step = 0.8 / len(rows)
    num_classes = max(one.shape[1] for one in rows if one is not None)
    for height in range(1, num_classes):
        axis.axhline(height - 0.5, color="#F0F0F0", linewidth=0.8, zorder=0)
    for number, (values, style) in enumerate(zip(rows, styles, strict=True)):
        if values is None:
            continue
        heights = np.arange(num_classes) + step * (number - (len(rows) - 1) / 2)
        there = np.isfinite(values).all(0)
        if len(values) >= FEWEST_SEEDS and there.any():
            low, high = mean_intervals(values[:, there], (100 * bounds[0], 100 * bounds[1]))
            xs = np.stack([low, high, np.full(len(low), np.nan)], 1).ravel()
            ys = np.repeat(heights[there], 3)
            axis.plot(xs, ys, color=style["color"], linewidth=1.3)
        axis.plot(values[:, there].mean(0), heights[there], markeredgewidth=0, **style)
