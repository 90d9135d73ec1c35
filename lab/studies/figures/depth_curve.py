"""The figure of a quantity over the depth of a net: predictions as lines, measurements as dots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.studies.figures.scales import log_name, scale
from lab.studies.figures.style import COLORS, MARKERS, MOST_SERIES, STYLE, WIDE, legend_height, legend_names

DODGE = 0.5
"""Layers over which the dots of all series at one layer are spread, so that their bars do not hide one another."""


@dataclass(frozen=True)
class DepthSeries:
    """One net, layer after layer."""

    name: str
    predicted: Sequence[float | None]
    """None where there is no prediction."""
    measured: Sequence[Sequence[float]]
    """For each layer the values of all draws."""
    starts: Sequence[object]
    """What the prediction of each layer starts from: the line is broken where that changes."""


@rc_context(STYLE)
def draw_depth(panels: dict[str, list[DepthSeries]]) -> Figure:
    """A panel for each quantity, on logarithmic axes; values that are not above 0 are left out.

    Args:
        panels: by the title of the panel the nets, the same in each; of more than seven the first.
    """
    panels = {title: nets[:MOST_SERIES] for title, nets in panels.items()}
    names = [net.name for net in next(iter(panels.values()))]
    styles = [{"color": color, "marker": marker} for color, marker in zip(COLORS, MARKERS, strict=True)]
    number = max((len(draws) for net in next(iter(panels.values())) for draws in net.measured), default=1)
    meaning = {
        "predicted": {"color": "#555555"},
        f"measured, mean and range of {number} draws": {"color": "#555555", "linestyle": "", "marker": "o"},
    }
    legend: dict[str, dict[str, Any]] = dict(zip(names, styles, strict=False)) if len(names) > 1 else {}
    legend |= meaning
    figure = Figure(figsize=(WIDE, 3.1 + legend_height(legend, False)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for axis, (title, nets) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        for place, (net, style) in enumerate(zip(nets, styles, strict=False)):
            draw_net(axis, net, style, DODGE * ((place + 0.5) / len(nets) - 0.5) * (len(nets) > 1))
        scale(axis, "y", True, 7)
        scale(axis, "x", False, 8)
        axis.set_xlabel("layer with weights")
        axis.set_ylabel(log_name("mean square", True))
        axis.grid(True)
    lines = [Line2D([], [], **{"linewidth": 1.6, "markersize": 4, **style}) for style in legend.values()]
    shown, columns = legend_names(legend, WIDE)
    figure.legend(lines, shown, loc="outside upper left", ncols=columns, handlelength=2.2)
    return figure


def draw_net(axis: Axes, net: DepthSeries, style: dict[str, Any], shift: float) -> None:
    """A net's line, broken where its prediction starts anew, and its dots with bars from the least to the most."""
    line: list[tuple[int, float]] = []
    start: object = None
    for layer, (value, origin) in enumerate(zip(net.predicted, net.starts, strict=True), 1):
        if not value or not 0 < value < math.inf or origin != start:
            stroke(axis, line, style)
            line = []
        if value and 0 < value < math.inf:
            line.append((layer, value))
            start = origin
    stroke(axis, line, style)
    dots = [
        (layer, draws)
        for layer, draws in enumerate(net.measured, 1)
        if draws and min(draws) > 0 and max(draws) < math.inf
    ]
    if dots:
        means = [sum(draws) / len(draws) for _, draws in dots]
        low = [mean - min(draws) for mean, (_, draws) in zip(means, dots, strict=True)]
        high = [max(draws) - mean for mean, (_, draws) in zip(means, dots, strict=True)]
        look = {"markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.4, "elinewidth": 0.9, "linestyle": ""}
        axis.errorbar([layer + shift for layer, _ in dots], means, [low, high], zorder=3, **look, **style)


def stroke(axis: Axes, line: list[tuple[int, float]], style: dict[str, Any]) -> None:
    """A piece of a line; a short bar where it has one point."""
    if len(line) == 1:
        layer, value = line[0]
        line = [(layer - 0.3, value), (layer + 0.3, value)]  # pyright: ignore[reportAssignmentType]
    if line:
        axis.plot([x for x, _ in line], [y for _, y in line], color=style["color"], linewidth=1.3, zorder=2)
