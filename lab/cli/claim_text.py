"""A claim as it is typed, `after > before by 0.01`, as a configuration has it."""

import re
from collections.abc import Sequence
from typing import Any

from lab.errors import UserError, nearest
from lab.literals import literal

FORMS = "'A > B [by 0.01]', 'A < B [by 0.01]', 'A > B > C [by 0.01]', 'A = B within 0.01'"

NUMBER = r"\s+([+-]?[\d.]+(?:[eE][+-]?\d+)?)"


def read_claim(text: str, arms: Sequence[str]) -> dict[str, Any]:
    """The claim `text` as an entry of `study.claims`.

    Args:
        text: sides with spaces around the sign between them, then the margin.
        arms: the names of arms, each of which may be a side; any other side is `key=value`, or several.

    Raises:
        UserError: it has none of the `FORMS`, or a side is neither an arm nor a key with a value.
    """
    shown = f"--claim '{text}'"
    body, word, margin = split_margin(" ".join(text.split()))
    parts = re.split(r"\s([<>=])\s", body)
    sides, signs = parts[::2], parts[1::2]
    fits = signs and all(side.strip() for side in sides) and len({*signs}) == 1 and (len(signs) == 1 or signs[0] != "=")
    if not fits:
        raise UserError(f"{shown}: allowed: {FORMS}, with spaces around the sign")
    if (word == "within") != (signs[0] == "=") or (signs[0] == "=" and margin is None):
        raise UserError(f"{shown}: '=' needs 'within' and a margin, '>' and '<' take 'by'; allowed: {FORMS}")
    if signs[0] == "<" and len(signs) > 1:
        sides, signs = sides[::-1], [">"] * len(signs)
    read = [read_side(side, arms, shown) for side in sides]
    more = {} if margin is None else {word: margin}
    by = f" by more than {margin:g}" if word == "by" else ""
    if signs[0] == "=":
        return {"say": f"{sides[0]} and {sides[1]} end alike (within {margin:g})", "same": read, **more}
    if len(sides) > 2:
        chain = ", then ".join(sides)
        each = f", each{by}" if by else ""
        return {"say": f"from the highest: {chain}{each}", "ordered": read, **more}
    kind = "higher" if signs[0] == ">" else "lower"
    return {"say": f"{sides[0]} ends {kind} than {sides[1]}{by}", kind: read[0], "than": read[1], **more}


def split_margin(text: str) -> tuple[str, str, float | None]:
    """What is before `by 0.01` or `within 0.01` at the end of `text`, that word, and the number."""
    found = re.search(rf"\s(by|within){NUMBER}$", text)
    if not found:
        return text, "", None
    try:
        return text[: found.start()], found[1], float(found[2])
    except ValueError:
        return text, "", None


def read_side(side: str, arms: Sequence[str], shown: str) -> Any:
    """The name of an arm, or a selector."""
    if side in arms:
        return side
    words = side.split()
    if not all(re.fullmatch(r"[\w.]+=\S+", word) for word in words):
        there = f"; there are: {', '.join(arms)}" if arms else ""
        raise UserError(f"{shown}: '{side}' is no arm{nearest(side, arms)}{there}, and no KEY=VALUE")
    return {key: read_value(value) for key, _, value in (word.partition("=") for word in words)}


def read_value(text: str) -> Any:
    """A value of a selector, which may be written in any way."""
    try:
        value = literal(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) or value is None else text
