"""The figure of a learning-rate range test."""

import math

from matplotlib import rc_context
from matplotlib.figure import Figure

from lab.studies.figures.lattice import room_for
from lab.studies.figures.scales import is_wide, log_name, scale
from lab.studies.figures.style import COLORS, OTHERS, STYLE, WIDE
from lab.studies.statistics.estimate import UNBOUNDED


@rc_context(STYLE)
def draw_range(
    rates: list[float],
    losses: list[float],
    smoothed: list[float],
    suggestion: float | None,
    points: dict[str, int],
) -> Figure:
    """The loss over the rate, on a logarithmic axis: each step, the running mean, and what the suggestion rests on.

    Args:
        rates: learning rate of each step.
        losses: loss of each step; may run away at the end, where the axis does not follow.
        smoothed: their running mean.
        suggestion: the suggested rate, a dashed line; none if None.
        points: names of steps to show on the running mean.
    """
    figure = Figure(figsize=(WIDE, 3.8), layout="constrained")
    axis = figure.subplots()
    axis.plot(rates, losses, color=OTHERS, linewidth=0.8, label="each step", zorder=2)
    axis.plot(rates, smoothed, color=COLORS[0], linewidth=1.8, label="running mean", zorder=3)
    for (name, step), color, marker in zip(points.items(), COLORS[2:], "ovs", strict=False):
        style = {"color": color, "marker": marker, "markersize": 7, "markeredgecolor": "white", "linestyle": ""}
        axis.plot(rates[step], smoothed[step], label=name, zorder=5, **style)
    if suggestion is not None:
        line = {"color": COLORS[1], "linewidth": 1.5, "linestyle": (0, (5, 1.6))}
        axis.axvline(suggestion, label=f"suggested: {suggestion:.2g}", zorder=4, **line)
    scale(axis, "x", True, 8)
    shown = [loss for loss in losses[: len(losses) // 2 + 1] if math.isfinite(loss)]
    log = is_wide(shown)
    scale(axis, "y", log)
    if shown:
        low, high = min(loss for loss in losses if math.isfinite(loss)), max(shown)
        low, high = room_for(low, high, UNBOUNDED, log and low > 0)
        axis.set_ylim(low, high + 0.15 * (high - low))
    axis.set_xlabel(log_name("learning rate", True))
    axis.set_ylabel(log_name("training loss", log))
    axis.grid(True)
    figure.legend(loc="outside upper left", ncols=5, handlelength=1.8, columnspacing=1.3, handletextpad=0.6)
    return figure
