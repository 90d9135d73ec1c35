"""The lab's own `seeds=`: how many seeds, further ones, or as many as are needed."""

from collections.abc import Sequence
from pathlib import Path

from lab.errors import UserError, nearest
from lab.overrides.typed import short_word, typed
from lab.records.interim import read_interim

AUTO = "auto"
"""The `seeds=` with which the lab finds the number of seeds by itself."""

DIGITS = 9
"""Digits of a number of seeds, at most."""


def take_seeds(words: list[str]) -> tuple[list[str], str]:
    """Takes `seeds=10`, `seeds=+5` or `seeds=auto` out of the overrides; an empty text if there is none.

    Raises:
        UserError: it is given twice or beside `seed=`, or is no whole number above 0.
    """
    plain = [text.strip().lstrip("+") for text in words]
    found = [text.partition("=")[2].strip() for text in plain if text.startswith("seeds=")]
    if not found:
        return words, ""
    rest = [text for text, one in zip(words, plain, strict=True) if not one.startswith("seeds=")]
    asked, beside = found[-1], any(text.startswith("seed=") for text in plain)
    if len(found) > 1:
        raise UserError(f"seeds is given {len(found)} times: {', '.join(map(short_word, found))}; once is enough")
    if asked == AUTO and beside:
        raise UserError(f"seeds={AUTO} takes the seeds 0, 1, 2, ... as they are needed; leave seed= out")
    number = asked.removeprefix("+")
    if asked != AUTO and not (number.isascii() and number.isdecimal() and 0 < len(number) <= DIGITS and int(number)):
        allowed = f"a number of 1 or more, as 10, or further ones, as +5, or {AUTO}"
        shown = short_word(f"seeds={asked}")
        raise UserError(f"{shown} is out of range; allowed: {allowed}{nearest(asked[:DIGITS], [AUTO])}")
    if not asked.startswith("+") and beside:
        raise UserError(f"seeds={asked} says how many seeds and seed= which ones; give one of them")
    return rest, asked


def wants_auto(words: list[str]) -> bool:
    """Whether the overrides ask for as many seeds as are needed."""
    return take_seeds(words)[1] == AUTO


def asked_seeds(asked: str, seeds: Sequence[int], root: Path, max_seeds: int) -> Sequence[int]:
    """The seeds of an arm: `seeds`, or what `seeds=` made of them.

    `seeds=10` are 0 to 9. `seeds=+5` are those of the sweep and five new ones: after the largest of the sweep, or that
    an earlier `seeds=+5` of this experiment got to the end with. A sweep that was interrupted does not count, so that
    the same command goes on with it. `seeds=auto` may take all of 0 to `max_seeds` - 1.

    Args:
        asked: `10`, `+5`, `auto` or nothing.
        seeds: the sweep's own.
        root: the experiment's folder.
        max_seeds: of `seeds=auto`.
    """
    if asked == AUTO:
        return range(max(max_seeds, 1))  # what is out of range is told later
    if not asked.startswith("+"):
        return range(int(asked)) if asked else seeds
    last = max([*seeds, read_interim(root).last_seed or 0])
    return list(dict.fromkeys([*seeds, *range(max(seeds) + 1, last + 1 + int(asked))]))


def number_asked(asked: str, num_own: int, max_seeds: int) -> int:
    """How many seeds `asked_seeds` makes at least, without making them."""
    if asked == AUTO:
        return max_seeds
    return int(asked) + num_own * asked.startswith("+") if asked else num_own


def read_seeds(texts: Sequence[str]) -> list[int]:
    """The seeds typed as `texts`, each once."""
    return list(dict.fromkeys(typed("seed", text) for text in texts))
