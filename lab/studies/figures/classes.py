"""Accuracy by class: of each arm, and arm minus reference."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.studies.comparison.answers import APART, FEWEST_SEEDS, SHARE, Answers
from lab.studies.figures.names import fit, width
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
    names = fit([answers.classes[k] for k in classes], 1.1, STYLE["font.size"], 1)
    tall = len(classes) * (0.1 + 0.085 * len(answers.arms))
    figure, axes = place_panels(1 + several, tall, names, legend_height(styles, narrow), narrow)
    draw_points(axes[0], [100 * one.accuracy[:, classes] for one in answers.arms], list(styles.values()), SHARE)
    axes[0].set_xlabel("right, % of the class's images")
    if several:
        rows = [None if one is None else 100 * one[:, classes] for one in apart]
        axes[1].axvline(0, color="#555555", linewidth=1, zorder=1)
        draw_points(axes[1], rows, list(styles.values()), APART)
        axes[1].set_xlabel("difference to the reference, points")
    for number, axis in enumerate(axes):
        axis.set_yticks(range(len(classes)), names if narrow or not number else [""] * len(names))
        axis.set_ylim(len(classes) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(True, axis="x")
    add_legend(figure, styles, outside=False)
    return figure


def place_panels(
    number: int, tall: float, names: Sequence[str], head: float, narrow: bool
) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side, below each other where `narrow`: placed in inches, as to find it takes long.

    Args:
        number: of panels.
        tall: inches of each.
        names: at the left of the rows.
        head: inches above them.
        narrow: whether it is for a phone.
    """
    total, below, gap = NARROW if narrow else WIDE, 0.45, 0.25
    left = 0.12 + max(width(name, STYLE["font.size"]) for name in names)
    rows, columns = (number, 1) if narrow else (1, number)
    high = head + 0.12 + rows * (tall + below)
    wide = (total - left - 0.15 - gap * (columns - 1)) / columns
    figure, axes = Figure(figsize=(total, high)), list[Axes]()
    for index in range(number):
        row, column = divmod(index, columns)
        x, y = left + column * (wide + gap), high - head - 0.12 - (row + 1) * tall - row * below
        axes.append(figure.add_axes((x / total, y / high, wide / total, tall / high)))
    return figure, axes


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
