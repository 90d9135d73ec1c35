"""The figure of the scores, seed by seed."""

import math
from typing import TYPE_CHECKING

from lab.studies.comparison import Arm, Comparison
from lab.studies.metrics import parse_mark
from lab.studies.plots import STYLE, axis_label, panel_key, series_styles, split

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 60


def draw_seeds(comparison: Comparison) -> "Figure | None":
    """A row an arm (the first 60): the scores as dots, their mean and 95 % interval beneath, infinite ones counted.

    Returns:
        The figure, or None without a run that counts.
    """
    import matplotlib
    from matplotlib.figure import Figure

    arms = [arm for arm in comparison.arms if arm.values][:MOST_ROWS]
    if not arms:
        return None
    _, series = split(arms, panel_key(comparison, arms))
    styles = series_styles(series, arms)
    infinite = "never" if parse_mark(comparison.metric) else "infinite"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 0.42 * len(arms) + 0.95), layout="constrained")
        axis = figure.subplots()
        for row, arm in enumerate(arms):
            draw_row(axis, row, arm, styles[series[arm.label]]["color"], infinite)
        axis.set_ylim(len(arms) - 0.4, -0.6)
        axis.set_yticks(range(len(arms)), [arm.label for arm in arms])
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(True, axis="x")
        axis.margins(x=0.04)
        axis.set_xlabel(axis_label(comparison.metric))
    return figure


def draw_row(axis: "Axes", row: int, arm: Arm, color: str, infinite: str) -> None:
    """One arm's dots, with mean and interval a little below them."""
    finite = [value for value in arm.values if math.isfinite(value)]
    axis.axhline(row + 0.5, color="#F0F0F0", linewidth=0.8, zorder=0)
    axis.plot(finite, [row - 0.13] * len(finite), "o", color=color, markersize=5, alpha=0.55, markeredgewidth=0)
    if arm.score and math.isfinite(arm.score.value):
        if arm.score.interval:
            axis.plot(arm.score.interval, [row + 0.16] * 2, "|-", color=color, linewidth=1.5, markersize=6)
        axis.plot(arm.score.value, row + 0.16, "D", color=color, markersize=4, markeredgewidth=0)
    num_infinite = len(arm.values) - len(finite)
    if num_infinite:
        text, place = f"{num_infinite} of {len(arm.values)} {infinite}", axis.get_yaxis_transform()
        axis.text(1.01, row, text, transform=place, va="center", color=color, fontsize=8.5)
