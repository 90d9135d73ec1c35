"""The style of all figures: fonts, colours, and how arms become panels and lines."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from lab.metric import Metric
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.figures.names import FONTS, fit, plain, width
from lab.studies.select.selectors import canonical, label, short_keys, show

# Okabe and Ito 2008, told apart with all kinds of colour vision; their yellow is left out, as it fades on white, and
# their black is a dark grey, as matplotlib writes no colour for black, so that a dark page could not change it.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#111111")
DASHES = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (6, 1.5, 1.4, 1.5)))
MARKERS = "osD^vPX"
OTHERS = "#B4B4B4"
LEVELS = ("#8B68C6", "#8A7A00", "#2A8C8C", "#C8577A", "#A2683A", "#6A83A6", "#5B9238")
"""Of the levels of factors, which are no arms: unlike all of `COLORS`, and of a lightness that stands out from white
and from a dark page alike."""
MAIN, CROSSED = "#555555", "#8C8C8C"
"""Of main effects and of interactions, which are neither."""

FAINT = "#8C8C8C"
"""Of what an arm is compared with."""

MOST_SERIES = len(COLORS)
"""Lines that colours tell apart; of more each has a panel or a row with its name, and all have one colour."""
MOST_PANELS = 6
MOST_ROWS = 60
"""Arms that a figure shows; of more the first."""

WIDE, NARROW = 7.4, 3.7
"""Widths of figures in inches: of files and of pages on a screen or on paper, and of pages on a phone."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
    # Names are no formulas.
    "text.parse_math": False,
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


@dataclass(frozen=True)
class Cut:
    """How the arms of a comparison become panels and lines: the same in all of its figures."""

    titles: dict[str, str]
    """For each arm, by its label, the title of its panel; empty where there is one panel."""
    series: dict[str, str]
    """The name of its line, which panels share."""
    styles: dict[str, dict[str, Any]]
    """Colour, dashes and marker of each line by its name; all alike where it is `crowded`."""
    crowded: bool
    """Whether there are more lines than colours, so that each arm needs a panel or a row with its name."""

    def panels(self, arms: Sequence[Arm]) -> dict[str, list[Arm]]:
        """`arms` by the title of their panel."""
        found: dict[str, list[Arm]] = {}
        for arm in arms:
            found.setdefault(self.titles[arm.label], []).append(arm)
        return found

    def style(self, arm: Arm) -> dict[str, Any]:
        """Colour, dashes and marker of an arm."""
        return self.styles[self.series[arm.label]]

    def named(self, arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
        """The styles of those lines that `arms` have."""
        return {name: self.styles[name] for name in dict.fromkeys(self.series[arm.label] for arm in arms)}


def cut(comparison: Comparison) -> Cut:
    """Panels by a key that claims restrict, as `panel_key` has it, and lines by the others."""
    arms = comparison.arms
    key = panel_key(comparison, arms)
    name = short_keys(comparison.keys)[key] if key else ""
    titles = {arm.label: f"{name} {show(arm.keys[key])}" if key else "" for arm in arms}
    series = {arm.label: label({k: v for k, v in arm.keys.items() if k != key}) if key else arm.label for arm in arms}
    lines = list(dict.fromkeys(series.values()))
    if len(lines) > MOST_SERIES:
        labels = {arm.label: arm.label for arm in arms}
        alike = {"color": COLORS[0], "linestyle": "-", "marker": "o"}
        return Cut(labels, labels, dict.fromkeys(labels, alike), True)
    # Seven colours and four dashes.
    styles = {
        one: {"color": COLORS[i], "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i]}
        for i, one in enumerate(lines)
    }
    return Cut(titles, series, styles, False)


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


def stripes(lines: Mapping[str, Mapping[float, float]], span: float) -> dict[str, Any]:
    """Dashes of lines that would hide one another: those that agree everywhere take turns.

    Args:
        lines: by name the height of each line at its places.
        span: the height of the axis; lines nearer than a two-hundredth of it agree.

    Returns:
        The dashes of such lines by name; of others nothing.
    """
    groups: list[list[str]] = []
    for name, points in lines.items():
        for group in groups:
            first = lines[group[0]]
            if points.keys() == first.keys() and all(abs(points[x] - first[x]) <= span / 200 for x in points):
                group.append(name)
                break
        else:
            groups.append([name])
    return {
        name: (5 * (len(group) - turn), (5, 5 * (len(group) - 1)))
        for group in groups
        for turn, name in enumerate(group)
        if len(group) > 1
    }


def panels(number: int, columns: int, height: float, narrow: bool, sharex: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure `height` inches high with `number` panels in rows of `columns`, which share their vertical axis."""
    figure = Figure(figsize=(NARROW if narrow else WIDE, height), layout="constrained")
    rows = math.ceil(number / columns)
    axes = list(figure.subplots(rows, columns, sharex=sharex, sharey=True, squeeze=False).flat)
    for axis in axes[number:]:
        axis.set_visible(False)
    return figure, axes[:number]


def add_legend(figure: Figure, styles: Mapping[str, Mapping[str, Any]], outside: bool = True) -> None:
    """A legend above the panels, where it hides nothing; none for a single line.

    Args:
        figure: to draw on.
        styles: of the lines, by name.
        outside: whether the figure lays out its panels by itself, below the legend.
    """
    if len(styles) == 1:
        return
    lines = [Line2D([], [], **{"linewidth": 2, **style}) for style in styles.values()]
    names, num_columns = legend_names(styles, figure.get_figwidth())
    place = "outside upper left" if outside else "upper left"
    legend = figure.legend(lines, [""] * len(names), loc=place, ncols=num_columns, handlelength=2.6)
    place_legend(legend, names)


def legend_names(styles: Iterable[str], inches: float) -> tuple[list[str], int]:
    """The names of a legend, wrapped, and in how many columns they stand."""
    size = STYLE["font.size"]
    sample = 2.6 * size / 72 + 0.3
    names = fit(styles, inches - 0.2 - sample, size, 4)
    longest = max(width(line, size) for name in names for line in name.split("\n"))
    return names, min(len(names), max(1, int(inches / (longest + sample + 0.15))))


def legend_height(styles: Sequence[str] | Mapping[str, Any], narrow: bool) -> float:
    """Inches that a legend takes."""
    if len(styles) == 1:
        return 0.0
    names, num_columns = legend_names(styles, NARROW if narrow else WIDE)
    rows = [names[row :: math.ceil(len(names) / num_columns)] for row in range(math.ceil(len(names) / num_columns))]
    return sum(0.08 + 0.15 * max(name.count("\n") + 1 for name in row) for row in rows)


def place_legend(legend: Legend, names: Sequence[str]) -> None:
    """Gives a legend its names after it is made, which would leave out those that begin with _."""
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


UNITS = {"images_per_second": "speed (images/s)", "train_seconds": "training time (s)", "num_params": "parameters"}


def axis_label(metric: Metric) -> str:
    """`validation accuracy`, `steps to val/accuracy >= 0.8`, `training time (s)`: as plain text."""
    if metric.text in UNITS:
        return UNITS[metric.text]
    if metric.is_time_to:
        return plain(metric.text.replace("_to(", " to ").removesuffix(")"))
    if metric.is_share:
        return plain(f"share of runs with {metric.condition}")
    part, _, name = metric.text.partition("/")
    return plain(f"{WORDS.get(part, part)} {name.replace('_', ' ')}" if name else metric.text.replace("_", " "))


def keep_in_bounds(axis: Axes, bounds: tuple[float, float], across: bool = False) -> None:
    """Lets an axis, the vertical one or that `across`, end where values can be, and room for half a dot beyond."""
    low, high = axis.get_xlim() if across else axis.get_ylim()
    room = 0.02 * (high - low)
    limits = max(low, bounds[0] - room), min(high, bounds[1] + room)
    (axis.set_xlim if across else axis.set_ylim)(*limits)
