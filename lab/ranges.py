"""Ranges that tuning draws values from, as they are typed: `log(1e-4, 1)` and `uniform(0, 0.5)`."""

import math
import re
from dataclasses import dataclass

from lab.errors import nearest
from lab.literals import number, split

FORMS = {"log": "log(low, high)", "uniform": "uniform(low, high)"}
"""The kinds of ranges, and how each is typed."""

DIGITS = 4
"""Of the values drawn, so that people can read and type them; more where a range is narrow."""


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, evenly spread, or evenly by their logarithms."""

    kind: str
    """`log` or `uniform`."""

    low: float
    high: float

    whole: bool = False
    """Whether its values are whole numbers, both ends among them."""

    def __str__(self) -> str:
        return f"{self.kind}({end_text(self.low)}, {end_text(self.high)})"

    @property
    def size(self) -> float:
        """How many values it has."""
        return self.high - self.low + 1 if self.whole else math.inf

    def value(self, share: float) -> float:
        """The value at a `share` of the way from the lower end, in [0, 1)."""
        top = self.high + self.whole
        if self.kind == "log":
            found = math.exp(math.log(self.low) + share * (math.log(top) - math.log(self.low)))
        else:
            found = self.low + share * (top - self.low)
        if self.whole:
            return min(max(math.floor(found), int(self.low)), int(self.high))
        narrow = math.log10(max(abs(self.low), abs(self.high)) / (self.high - self.low))
        return min(max(float(f"{found:.{DIGITS + max(0, round(narrow))}g}"), self.low), self.high)

    def share(self, value: float) -> float:
        """At which share of the way from the lower end `value` lies; outside of [0, 1] beyond an end."""
        if self.kind != "log":
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else -math.inf


def end_text(value: float) -> str:
    """`0.0001`, `1`: all digits, and no needless zero."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def is_call(text: object) -> bool:
    """Whether `text` has the form of a range, `name(...`, complete or not."""
    return isinstance(text, str) and re.match(r"\s*\w+\s*\(", text) is not None


def read_range(text: str, whole: bool = False) -> Range:
    """The range that `text` stands for.

    Args:
        text: as typed (`is_call`).
        whole: whether its values are whole numbers.

    Raises:
        ValueError: ends the sentence that begins with the key and the text.
    """
    found = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text)
    if found is None:
        raise ValueError(
            "is not complete: ')' is missing; a range within braces of a file wants quotes: 'log(1e-4, 1)'"
        )
    kind, ends = found[1], [number(part) for part in split(found[2])]
    if kind not in FORMS:
        allowed = f"{' or '.join(FORMS.values())}, or a list of values"
        raise ValueError(f"is no range: {kind} is unknown{nearest(kind, FORMS)}; allowed: {allowed}")
    if len(ends) != 2 or None in ends:
        raise ValueError(f"is no range; allowed: {FORMS[kind]}, with two numbers")
    low, high = (float(end) for end in ends if end is not None)
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)):
        raise ValueError("is no range, as its ends are to be finite numbers")
    if whole and not (low.is_integer() and high.is_integer()):
        raise ValueError("is no range of whole numbers, as both ends are to be whole")
    if low >= high:
        other = f"; write {Range(kind, high, low)}" if high < low else "; allowed: a lower end below the upper one"
        raise ValueError(f"is empty{other}")
    if kind == "log" and low <= 0:
        raise ValueError(f"is not possible: a logarithmic range begins above 0; uniform({end_text(low)}, ...) may not")
    return Range(kind, low, high, whole)
