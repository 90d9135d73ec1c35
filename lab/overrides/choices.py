"""The values that one override runs through: commas, `range(...)`, `choice(...)` and `glob(...)`; text has none."""

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import overload

from lab.identity import ARM
from lab.literals import QUOTES, split, unquoted
from lab.validation import all_keys

MOST = 10**9
"""Values that a range may have; what may be started at once is far less (`lab.overrides.plan`)."""

HYDRAS = ("interval", "sort", "shuffle", "tag", "extend_list", "int", "float", "str", "bool", "json_str")
"""What Hydra has besides, and the lab has not."""


class Steps(Sequence[str]):
    """`range(start, stop, step)` as texts, which are counted without being made; exact for decimal fractions."""

    def __init__(self, start: Decimal, stop: Decimal, step: Decimal):
        self.start, self.step = start, step
        ratio = (stop - start) / step
        if ratio > MOST:
            raise ValueError(f"has {ratio:.3g} values, more than {MOST:,}")
        self._number = max(0, int(ratio.to_integral_value("ROUND_CEILING")))

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._number))]
        if not 0 <= place < self._number:
            raise IndexError(place)
        value = self.start + place * self.step
        return format(value, "f") if abs(value.adjusted()) < 20 else str(value)


def choices(key: str, text: str, names: Iterable[str] = ()) -> Sequence[str]:
    """The texts that `text` runs through for `key`, of which each can be typed by itself; one if it is no sweep.

    Args:
        key: a key, or a group of files.
        text: its value, as typed.
        names: the files, of a group.

    Raises:
        ValueError: ends the sentence that begins with the override.
    """
    known = all_keys().get(key)
    if known is not None and known.knob.free == "a path" and key != "out":
        return paths(text)
    if known is not None and known.kind is str and known.knob.free and key != ARM:
        return [text]
    there = list(names) or (known.names() if known else [])
    found = [expanded(part, there) for part in parts_of(text)]
    return found[0] if len(found) == 1 else list(chain.from_iterable(found))


def expanded(part: str, names: Sequence[str]) -> Sequence[str]:
    """What one part between commas stands for."""
    called = re.fullmatch(r"(\w+)\((.*)\)", part)
    if called is None or (called[1] not in FUNCTIONS and called[1] not in HYDRAS):
        return [part]
    if called[1] in HYDRAS:
        raise ValueError("is not possible: a sweep needs single values, as a=1,2 or a=range(0,5)")
    values = FUNCTIONS[called[1]](parts_of(called[2]) if called[2].strip() else [], names)
    if not values:
        raise ValueError("has no values")
    return values


def parts_of(text: str) -> list[str]:
    """The parts between commas, with a `ValueError` that ends the sentence that begins with the override."""
    try:
        return split(text)
    except ValueError as error:
        raise ValueError(f"is not complete: {error}") from None


def ranged(words: list[str], _: Sequence[str] = ()) -> Sequence[str]:
    """`range(5)`, `range(0,5)`, `range(0,1,0.1)`; `start=`, `stop=` and `step=` as well."""
    places = {1: ("stop",), 2: ("start", "stop"), 3: ("start", "stop", "step")}.get(len(words), ())
    given = {"start": Decimal(0), "step": Decimal(1)}
    try:
        for word, place in zip(words, places, strict=True):
            name, sign, value = word.rpartition("=")
            given[name.strip() if sign else place] = Decimal(value.strip())
        good = set(given) == {"start", "stop", "step"} and all(value.is_finite() for value in given.values())
    except (ArithmeticError, ValueError):
        good = False
    if not good or not given["step"]:
        raise ValueError("is no range; allowed: range(5), range(2,5) or range(0,1,0.1)")
    return Steps(**given)


def matching(words: list[str], names: Sequence[str]) -> Sequence[str]:
    """The names that a pattern of `glob(*elu)` fits, in their order."""
    patterns = [unquoted(word.strip("[]")) for word in words if not word.startswith("exclude=")]
    found = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not found:
        raise ValueError(f"fits no name; there are: {', '.join(names)}" if names else "fits no name, as it takes none")
    return found


FUNCTIONS: dict[str, Callable[[list[str], Sequence[str]], Sequence[str]]] = {
    "range": ranged,
    "choice": lambda words, _: words,
    "glob": matching,
}


def paths(text: str) -> Sequence[str]:
    """The paths between the commas of `text`, where all are there or in quotes; else the one path that it is."""
    if exists(text):
        return [text]
    try:
        parts = split(text)
    except ValueError:
        return [text]
    if len(parts) > 1 and all(part[:1] in QUOTES and unquoted(part) != part for part in parts):
        return parts
    parts = joined(text)
    there = all(map(exists, parts))
    return [f'"{part}"' if "," in part else part for part in parts] if there and len(parts) > 1 else [text]


def joined(text: str) -> list[str]:
    """The paths that `text` has between its commas, some of which may belong to a path that is there."""
    found, begun = [], ""
    for part in text.split(","):
        begun = f"{begun},{part}" if begun else part
        if exists(begun):
            found.append(begun)
            begun = ""
    return [*found, *([begun] if begun else [])]


def exists(path: str) -> bool:
    """Whether there is such a path; a text that no system takes for one is none."""
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
