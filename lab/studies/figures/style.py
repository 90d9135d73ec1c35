"""The style of all figures: fonts, colours, and how arms become panels and lines."""

import math
import re
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab.metric import Metric
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.select.selectors import canonical, label, short_keys, show

# Okabe and Ito 2008, told apart with all kinds of colour vision; their yellow is left out, as it fades on white, and
# their black is a dark grey, as matplotlib writes no colour for black, so that a dark page could not change it.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#111111")
DASHES = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (6, 1.5, 1.4, 1.5)))
OTHERS = "#B4B4B4"
MOST_SERIES = 14
MOST_PANELS = 6

WIDE, NARROW = 7.4, 3.7
"""Widths of figures in inches: of files and of pages on a screen or on paper, and of pages on a phone."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8C8C8C",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.labelcolor": "#333333",
    "text.color": "#333333",
    "xtick.color": "#8C8C8C",
    "ytick.color": "#8C8C8C",
    "xtick.labelcolor": "#333333",
    "ytick.labelcolor": "#333333",
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    # Text stays text, and the same runs give the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "lab",
}

WORDS = {"train": "training", "val": "validation", "test": "test"}


def panel_key(comparison: Comparison, arms: Sequence[Arm]) -> str | None:
    """The key to cut a figure by: of those that claims restrict (of all, for many arms) the one with fewest values."""
    if len(comparison.keys) < 2:
        return None
    num_values = {key: len({canonical(arm.keys[key]) for arm in arms}) for key in comparison.keys}
    candidates = [key for key in comparison.where_keys if key in num_values]
    if not candidates and len(arms) > 6:
        candidates = comparison.keys
    candidates = [key for key in candidates if 1 < num_values[key] <= MOST_PANELS]
    return min(candidates, key=num_values.__getitem__) if candidates else None


def split(arms: Sequence[Arm], key: str | None) -> tuple[dict[str, list[Arm]], dict[str, str]]:
    """The arms of each panel by its title, and for each arm's label the name of its line, which panels share."""
    panels: dict[str, list[Arm]] = {}
    series = {}
    for arm in arms:
        title = f"{short_keys(arm.keys)[key]} {show(arm.keys[key])}" if key else ""
        panels.setdefault(title, []).append(arm)
        series[arm.label] = label({k: v for k, v in arm.keys.items() if k != key}) if key else arm.label
    return panels, series


def series_styles(series: dict[str, str], arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """Colour and dashes by name of line; where there are too many to tell apart, all but the first are grey."""
    names = list(dict.fromkeys(series[arm.label] for arm in arms))
    shown = names if len(names) <= MOST_SERIES else names[: MOST_SERIES - 1]
    styles = {
        # Seven colours and four dashes have no common divisor, so 28 lines are all unlike.
        name: {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i % len(DASHES)]}
        for i, name in enumerate(shown)
    }
    return styles | {name: {"color": OTHERS, "linestyle": "-"} for name in names[len(shown) :]}


def arm_colors(comparison: Comparison, arms: Sequence[Arm]) -> dict[str, str]:
    """The colour of each of `arms` by its label, the same in every figure of the comparison."""
    _, series = split(arms, panel_key(comparison, arms))
    styles = series_styles(series, arms)
    return {arm.label: styles[series[arm.label]]["color"] for arm in arms}


def wrap(text: str, most: int) -> str:
    """`text` in lines of at most `most` characters: broken after commas, else at spaces, else after - and _."""
    lines = [text]
    for piece in (r"[^,]+,*\s*", r"\S+\s*", r"[^-_]+[-_]*|[-_]+"):
        lines = [
            part for line in lines for part in (packed(re.findall(piece, line), most) if len(line) > most else [line])
        ]
    return "\n".join(lines)


def packed(parts: Sequence[str], most: int) -> list[str]:
    """`parts` joined into lines of at most `most` characters each, but for parts that are longer."""
    lines = [""]
    for part in parts:
        if lines[-1] and len((lines[-1] + part).rstrip()) > most:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def panels(number: int, columns: int, height: float, narrow: bool, sharex: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure `height` inches high with `number` panels in rows of `columns`, which share their vertical axis."""
    figure = Figure(figsize=(NARROW if narrow else WIDE, height), layout="constrained")
    rows = math.ceil(number / columns)
    axes = list(figure.subplots(rows, columns, sharex=sharex, sharey=True, squeeze=False).flat)
    for axis in axes[number:]:
        axis.set_visible(False)
    return figure, axes[:number]


def add_legend(figure: Figure, styles: dict[str, dict[str, Any]]) -> None:
    """A legend above the panels, where it hides nothing."""
    shown = {name: style for name, style in styles.items() if style["color"] != OTHERS}
    if len(styles) == 1:
        return
    lines = [Line2D([], [], linewidth=2, **style) for style in shown.values()]
    names = list(shown)
    if len(shown) < len(styles):
        lines.append(Line2D([], [], linewidth=2, color=OTHERS))
        names.append(f"{len(styles) - len(shown)} others")
    # About 13 characters an inch at this size; the sample of a line takes the room of 7.
    room = int(figure.get_figwidth() * 13)
    names = [wrap(name, room - 7) for name in names]
    num_columns = max(1, int(room / (max(len(line) for name in names for line in name.split("\n")) + 7)))
    figure.legend(lines, names, loc="outside upper left", ncols=min(num_columns, len(names)), handlelength=2.6)


def axis_label(metric: Metric) -> str:
    """`validation accuracy`, `steps to val/accuracy >= 0.8`."""
    if metric.is_time_to:
        return metric.text.replace("_to(", " to ").removesuffix(")")
    if metric.is_share:
        return f"share of runs with {metric.condition}"
    part, _, name = metric.text.partition("/")
    return f"{WORDS.get(part, part)} {name.replace('_', ' ')}" if name else metric.text.replace("_", " ")


def keep_in_bounds(axis: Axes, bounds: tuple[float, float], across: bool = False) -> None:
    """Lets an axis, the vertical one or that `across`, end where values can be, and room for half a dot beyond."""
    low, high = axis.get_xlim() if across else axis.get_ylim()
    room = 0.02 * (high - low)
    limits = max(low, bounds[0] - room), min(high, bounds[1] + room)
    (axis.set_xlim if across else axis.set_ylim)(*limits)
