"""Many small panels drawn as one: as real ones they would cost ten times the time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.scale import LogTransform
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import (
    Affine2D,
    Bbox,
    BboxBase,
    BlendedGenericTransform,
    IdentityTransform,
    Transform,
    TransformedBbox,
)

from lab.studies.figures.names import fit, width
from lab.studies.figures.scales import log_name, log_ticks, number_texts, spaced
from lab.studies.figures.style import NARROW, STYLE, WIDE

SIZE = 8.0
"""Points of the text in it."""
LINE = 0.135
"""Inches of a line of text."""
GAP = 0.14
"""Inches between two panels."""
FRAME, GRID = "#8C8C8C", "#E4E4E4"


@dataclass(frozen=True)
class Side:
    """One of the two axes that all panels share."""

    name: str
    low: float
    high: float
    log: bool = False
    ticks: Sequence[float] = ()
    """Where they are; found if empty."""
    texts: Sequence[str] = ()
    """What they say; their numbers if empty."""
    are_words: bool = False
    """Whether the ticks are names, of which none may be left out."""

    def share(self, value: float) -> float:
        """Where a value is between the ends."""
        low, high = self.ends()
        return ((math.log10(value) if self.log else value) - low) / (high - low)

    def at(self, share: float) -> float:
        """The value at a share of it."""
        low, high = self.ends()
        found = low + share * (high - low)
        return 10**found if self.log else found

    def ends(self) -> tuple[float, float]:
        """Its ends, of a logarithmic axis their logarithms."""
        return (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)

    def is_upright(self, inches: float) -> bool:
        """Whether its words have no room side by side."""
        shares = [self.share(value) for value in self.ticks]
        return self.are_words and len(spaced(shares, self.texts, inches, SIZE)) < len(shares)

    def labelled(self, most: int) -> tuple[list[float], list[str]]:
        """Its ticks and what they say."""
        if self.ticks:
            return list(self.ticks), [*self.texts] or number_texts(self.ticks)
        if self.log:
            found = log_ticks(self.low, self.high, most)
        else:
            found = [float(value) for value in MaxNLocator(most).tick_values(self.low, self.high)]
        room = 1e-9 * abs(self.high - self.low)
        found = [value for value in found if self.low - room <= value <= self.high + room]
        return found, number_texts(found)


@dataclass(frozen=True)
class Cell:
    """A panel to draw into: axes as matplotlib has them, or a part of such axes."""

    axis: Axes
    transform: Transform | None = None
    """From data to the screen, where it is a part."""
    box: BboxBase | None = None
    """What nothing is drawn beyond."""

    def place(self) -> dict[str, Any]:
        """Arguments of what is drawn."""
        return {} if self.transform is None else {"transform": self.transform}

    def plot(self, xs: Sequence[float], ys: Sequence[float], *shape: str, **style: Any) -> None:
        """A line."""
        (line,) = self.axis.plot(xs, ys, *shape, **{**self.place(), **style})
        if self.box:
            line.set_clip_box(self.box)

    def fill(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], **style: Any) -> None:
        """A band."""
        band = self.axis.fill_between(xs, lows, highs, **{**self.place(), **style})
        if self.box:
            band.set_clip_box(self.box)


def room_for(low: float, high: float, bounds: tuple[float, float], log: bool = False) -> tuple[float, float]:
    """The ends of an axis for values from `low` to `high`: a little beyond, yet not far beyond what can be."""
    if log:
        more = (high / low) ** 0.05 if high > low else 2.0
        return low / more, high * more
    more = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    half = 0.02 * (high - low + 2 * more)
    return max(low - more, min(low, bounds[0] - half)), min(high + more, max(high, bounds[1] + half))


def make_lattice(
    titles: Sequence[str], across: Sequence[Side], up: Side, narrow: bool, height: float = 0.95, head: bool = False
) -> tuple[Figure, list[Cell]]:
    """A figure of empty panels with frames, grids, ticks and `titles`.

    Args:
        titles: one a panel.
        across: the horizontal axis of all panels; where there are several, of those of each column.
        up: the vertical one.
        narrow: whether it is for a phone.
        height: inches of a panel.
        head: whether there is a line above all, for a legend.
    """
    total, columns = (NARROW, 2) if narrow else (WIDE, 4)
    words = max((len(side.ticks) for side in across if side.are_words), default=0)
    columns = max(1, min(columns, len(titles), int((total - 0.7) / (LINE * words + GAP))))
    columns = len(across) if len(across) > 1 else columns
    rows = math.ceil(len(titles) / columns)
    ticks = up.labelled(5)
    left = 0.32 + min(max((width(line, SIZE) for text in ticks[1] for line in text.split("\n")), default=0.0), 1.4)
    wide = (total - left - 0.12 - GAP * (columns - 1)) / columns
    names = fit(titles, 0.88 * wide, SIZE)  # the font of a browser may be wider
    heads = [
        LINE * max(name.count("\n") + 1 for name in names[row * columns : (row + 1) * columns]) + 0.14
        for row in range(rows)
    ]
    top, bottom = 0.3 if head else 0.0, 0.3 + max(tick_height(side, wide) for side in across)
    tall = top + sum(heads) + height * rows + bottom
    figure = Figure(figsize=(total, tall))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set_xlim(0, total)
    axis.set_ylim(0, tall)
    cells = []
    for index, name in enumerate(names):
        row, column = divmod(index, columns)
        x, y = left + column * (wide + GAP), tall - top - sum(heads[: row + 1]) - height * (row + 1)
        panel = Panel(across[column % len(across)], up, x, y, wide, height)
        cells.append(panel.cell(axis))
        panel.draw_frame(axis, ticks[0])
        axis.text(x, y + height + 0.04, name, fontsize=SIZE, va="bottom", linespacing=1.1)
        if not column:
            panel.label_up(axis, *ticks)
        if index + columns >= len(names):
            panel.label_across(axis)
    (name,) = fit([log_name(up.name, up.log)], tall - top - bottom, STYLE["font.size"], 2)
    axis.text(0.03, bottom + (tall - top - bottom) / 2, name, ha="left", va="center", rotation=90)
    for column, side in enumerate(across):
        middle = left + (column * (wide + GAP) + wide / 2 if len(across) > 1 else (total - left) / 2)
        axis.text(middle, 0.05, log_name(side.name, side.log), ha="center", va="bottom")
    return figure, cells


def tick_height(side: Side, wide: float) -> float:
    """Inches that the ticks of a horizontal axis take beneath a panel: of words that do not fit, upright."""
    return max((width(text, SIZE) for text in side.texts), default=0.0) + 0.1 if side.is_upright(wide) else 0.2


@dataclass(frozen=True)
class Panel:
    """Where a panel is in a lattice, in inches, and what its axes are."""

    across: Side
    up: Side
    x: float
    y: float
    wide: float
    tall: float

    def cell(self, axis: Axes) -> Cell:
        """What is drawn into."""
        box = Bbox.from_bounds(self.x - 0.03, self.y - 0.03, self.wide + 0.06, self.tall + 0.06)
        return Cell(axis, self.inches() + axis.transData, TransformedBbox(box, axis.transData))

    def inches(self) -> Transform:
        """From data to the inches of the figure."""
        (x0, x1), (y0, y1) = self.across.ends(), self.up.ends()
        affine = Affine2D().translate(-x0, -y0).scale(self.wide / (x1 - x0), self.tall / (y1 - y0))
        affine = affine.translate(self.x, self.y)
        if not (self.across.log or self.up.log):
            return affine
        logs = [LogTransform(10) if side.log else IdentityTransform() for side in (self.across, self.up)]
        return BlendedGenericTransform(*logs) + affine

    def draw_frame(self, axis: Axes, ticks: Sequence[float]) -> None:
        """Left and lower edge, and the grid."""
        grid = []
        for value in self.across.labelled(4)[0]:
            place = self.x + self.across.share(value) * self.wide
            grid += [(place, self.y), (place, self.y + self.tall), (math.nan, math.nan)]
        for value in ticks:
            place = self.y + self.up.share(value) * self.tall
            grid += [(self.x, place), (self.x + self.wide, place), (math.nan, math.nan)]
        if grid:
            axis.plot(*zip(*grid, strict=True), color=GRID, linewidth=0.7, zorder=0)
        xs, ys = [self.x, self.x, self.x + self.wide], [self.y + self.tall, self.y, self.y]
        axis.plot(xs, ys, color=FRAME, linewidth=0.8, zorder=1)

    def label_up(self, axis: Axes, values: Sequence[float], texts: Sequence[str]) -> None:
        """The ticks of the vertical axis at its left."""
        for value, text in zip(values, texts, strict=True):
            place = self.y + self.up.share(value) * self.tall
            axis.text(self.x - 0.05, place, text, fontsize=SIZE, va="center", ha="right", linespacing=1)

    def label_across(self, axis: Axes) -> None:
        """The ticks of the horizontal axis beneath it, those that have room: words stand upright if need be."""
        values, texts = self.across.labelled(4)
        shares = [self.across.share(value) for value in values]
        upright = self.across.is_upright(self.wide)
        every = math.ceil(LINE * len(values) / self.wide)
        kept = range(0, len(values), every) if upright else spaced(shares, texts, self.wide, SIZE)
        for index in kept:
            place, turn = self.x + shares[index] * self.wide, 90 if upright else 0
            axis.text(place, self.y - 0.05, texts[index], fontsize=SIZE, va="top", ha="center", rotation=turn)
