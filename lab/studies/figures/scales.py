"""The scales of figures: which are logarithmic, where their ticks are, and how numbers are written on them."""

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import Formatter, LogLocator, MaxNLocator, NullLocator

from lab.studies.figures.names import width

WIDE_RANGE = 1000
"""From this ratio on between the greatest and the least value an axis is logarithmic: else the small ones are zero."""

TICK_SIZE = 9.5
"""Points of the text of ticks."""


class Numbers(Formatter):
    """Numbers as people write them: `0.25`, `10,000`, `3e6`, with as many digits as tell neighbours apart."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return number_texts([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """All ticks of an axis, in one way."""
        return number_texts(values)


def number_texts(values: Sequence[float]) -> list[str]:
    """Each of `values` as text, all of them with as few digits as give them back."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    steps = [abs(a - b) for a, b in pairwise(values) if a != b]
    if 1e-4 <= largest < 1e6 and min(steps, default=largest) >= 1e-6:
        places = next((n for n in range(10) if all(near(round(v, n), v, steps) for v in values)), 10)
        if len(steps) < 2 or max(steps) < 1.5 * min(steps):  # evenly spaced, so alike in their digits
            return [f"{value:,.{places}f}" for value in values]
    return [short_text(value, steps) for value in values]


def near(text: float, value: float, steps: Sequence[float]) -> bool:
    return abs(text - value) <= 0.01 * min([*steps, abs(value) or 1.0])


def short_text(value: float, steps: Sequence[float]) -> str:
    """`0.001`, `3e6`, `2.5e-8`."""
    text = next((t for n in range(17) if near(float(t := f"{value:.{n}e}"), value, steps)), f"{value:e}")
    if 1e-4 <= abs(value) < 1e6 or value == 0:
        return f"{float(text):,.15g}"
    mantissa, _, power = text.partition("e")
    return f"{mantissa}e{int(power)}"


def is_wide(values: Sequence[float]) -> bool:
    """Whether numbers, all above 0, are so far apart that only a logarithmic axis shows the small ones."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) >= WIDE_RANGE * min(finite)


def zero_place(values: Sequence[float]) -> float | None:
    """Where an exact 0 stands on a logarithmic axis: below all other values, by a tenth of their decades, or twofold.

    None where there is no 0, or where the others ask for no such axis.
    """
    finite = [value for value in values if math.isfinite(value)]
    positive = [value for value in finite if value > 0]
    if min(finite, default=1.0) != 0 or not is_wide(positive):
        return None
    return min(positive) / max(2.0, (max(positive) / min(positive)) ** 0.1)


def zero_ticks(zero: float, high: float, most: int) -> tuple[list[float], list[str]]:
    """Ticks of a logarithmic axis on which 0 stands at `zero`, and their texts."""
    found = [tick for tick in log_ticks(zero, high, most) if tick > 1.5 * zero]
    return [zero, *found], ["0", *(number_texts([tick])[0] for tick in found)]


def log_name(name: str, log: bool) -> str:
    """The name of an axis, and that it is logarithmic."""
    return f"{name} (log scale)" if log else name


def scale(axis: Axes, which: str, log: bool, most_ticks: int = 6) -> None:
    """Gives the axis `which`, x or y, its scale, and few ticks enough for its room."""
    if log:
        axis.set_xscale("log") if which == "x" else axis.set_yscale("log")
    own = axis.xaxis if which == "x" else axis.yaxis
    own.set_major_locator(LogTicks(most_ticks) if log else MaxNLocator(most_ticks))
    own.set_minor_locator(NullLocator())
    own.set_major_formatter(Numbers())


class LogTicks(LogLocator):
    """Powers of ten, of several decades every second or third; 1, 2 and 5 times them, or even numbers, if few fit."""

    def __init__(self, most: int):
        super().__init__(numticks=most)
        self.most = most

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Ticks between two numbers above 0."""
        return log_ticks(vmin, vmax, self.most)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` ticks, evenly spaced by their ratios as far as round numbers are, between numbers above 0."""
    low, high = min(low, high), max(low, high)
    if not 0 < low < high < math.inf:
        return [low] if low > 0 else []
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits]
        found = [value for value in found if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
        if 2 < len(found) <= most:
            return found
    if len(found) > most:
        return found[:: math.ceil(len(found) / most)]
    return [float(value) for value in MaxNLocator(most).tick_values(low, high) if low <= value <= high]


def spaced(places: Sequence[float], texts: Sequence[str], inches: float, size: float = TICK_SIZE) -> list[int]:
    """Which ticks have room for their texts beneath an axis: their indices.

    Args:
        places: where they are, as shares of the axis.
        texts: of one line each.
        inches: the length of the axis.
    """
    kept: list[int] = []
    end = -math.inf
    for index in sorted(range(len(places)), key=places.__getitem__):
        half = width(texts[index], size) / 2
        if places[index] * inches - half >= end:
            kept.append(index)
            end = places[index] * inches + half + 0.08
    return kept
