"""The figure of a learning-rate range test."""

from matplotlib import rc_context
from matplotlib.figure import Figure

from lab.studies.figures.style import COLORS, OTHERS, STYLE


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
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.plot(rates, losses, color=OTHERS, linewidth=0.8, label="each step", zorder=2)
    axis.plot(rates, smoothed, color=COLORS[0], linewidth=1.8, label="running mean", zorder=3)
    for (name, step), color, marker in zip(points.items(), COLORS[2:], "ovs", strict=False):
        style = {"color": color, "marker": marker, "markersize": 7, "markeredgecolor": "white", "linestyle": ""}
        axis.plot(rates[step], smoothed[step], label=name, zorder=5, **style)
    if suggestion is not None:
        line = {"color": COLORS[1], "linewidth": 1.5, "linestyle": (0, (5, 1.6))}
        axis.axvline(suggestion, label=f"suggested: {suggestion:.2g}", zorder=4, **line)
    axis.set_xscale("log")
    if smoothed:
        low, high = min(losses), max(losses[: len(losses) // 2 + 1])
        room = 0.08 * (high - low) or 0.1
        axis.set_ylim(low - room, high + 3 * room)
    axis.set_xlabel("learning rate")
    axis.set_ylabel("training loss")
    axis.grid(True)
    figure.legend(loc="outside upper left", ncols=5, handlelength=1.8, columnspacing=1.3, handletextpad=0.6)
    return figure
