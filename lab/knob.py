"""What a key of the configuration may be: a range, names, or the reason why anything goes; metadata of its field."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**63 - 1
"""The largest whole number that torch takes."""


@dataclass(frozen=True, kw_only=True)
class Knob:
    """What one key admits; of a list, what each element may be."""

    above: float | None = None
    low: float | None = None
    below: float | None = None
    high: float | None = None
    """The range: greater than `above` or at least `low`, less than `below` or at most `high`."""

    infinite: bool = False
    """Whether a range without an upper end admits infinity."""

    zero: str = ""
    """What 0 stands for, where that is not a number like the others: `off`."""

    unit: str = ""
    """Unit of the number."""

    choices: tuple[str, ...] = ()
    """Names that are in no table. With a range besides, the value is one of them or a number, as text."""

    tables: tuple[str, ...] = ()
    """Kinds of `lab.tables` whose names it takes."""

    own: bool = False
    """Whether it takes a user's own part, `package.module:attribute`."""

    like: str = ""
    """A further form, with 0 for any number: `cuda:0`."""

    words: bool = False
    """Whether it takes several names, joined by dashes."""

    free: str = ""
    """What it takes instead, where neither a range nor names can tell; `a path` completes to files."""

    @property
    def bounded(self) -> bool:
        """Whether it has a range."""
        return any(end is not None for end in (self.above, self.low, self.below, self.high))

    def admits(self, number: float) -> bool:
        """Whether `number` is in range; nan never is, nor a whole number that is no index (`LARGEST`)."""
        if isinstance(number, int) and abs(number) > LARGEST:
            return False
        return (
            (self.infinite or math.isfinite(number))
            and (self.above is None or number > self.above)
            and (self.low is None or number >= self.low)
            and (self.below is None or number < self.below)
            and (self.high is None or number <= self.high)
        )

    def range(self) -> str:
        """The range in words: `at least 0 and below 1 (share of the run)`."""
        if self.low is not None and self.high is not None:
            text = f"{self.low:g}{f' ({self.zero})' if self.zero else ''} to {self.high:,.10g}"
        elif self.low is not None and self.below is None:
            text = f"{self.low:g}{f' ({self.zero})' if self.zero else ''} or more"
        else:
            ends = (("above", self.above), ("at least", self.low), ("below", self.below), ("at most", self.high))
            text = " and ".join(f"{word} {end:,.10g}" for word, end in ends if end is not None)
        return f"{text} ({self.unit})" if self.unit else text


def knob(default: Any, *, table: str | Sequence[str] = (), own: bool | None = None, **limits: Any) -> Any:
    """A field of the configuration with its default and what it admits, as `lr: float = knob(1e-3, above=0)`.

    Args:
        default: a list is copied for each configuration.
        table: the kind, or kinds, whose names it takes.
        own: whether it takes a user's own part; as a rule a key with a table does.
        limits: the other fields of `Knob`.
    """
    tables = (table,) if isinstance(table, str) else tuple(table)
    metadata = {"knob": Knob(tables=tables, own=bool(tables) if own is None else own, **limits)}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)
