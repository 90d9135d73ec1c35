"""Values as people type them: numbers in any spelling, truth values, null, quoted text, lists and mappings."""

from collections.abc import Iterator
from typing import Any

QUOTES = "\"'"
PAIRS = {"[": "]", "{": "}", "(": ")"}
DEEP = 30
"""Brackets inside brackets that a value may have."""


def literal(text: str) -> Any:
    """What `text` stands for: `null`, `.001`, `[16, 32]`, `{model.act: tanh}`, `"a, b"`; text where it is nothing else.

    Raises:
        ValueError: a bracket or a quote has no partner, a value is missing; says which.
    """
    text = text.strip()
    if text[:1] in ("[", "{", *QUOTES):
        if [place for place, _ in outside(text)] != [0]:
            raise ValueError(f"more follows what {text[0]} opens")
        if text[0] in QUOTES:
            return unquoted(text)
        inner = text[1:-1]
        parts = split(inner) if inner.strip() else []
        return [literal(part) for part in parts] if text[0] == "[" else _mapping(parts)
    truths = {"null": None, "true": True, "false": False}
    if text.lower() in truths:
        return truths[text.lower()]
    return text if (found := number(text)) is None or "_" in text else found


def number(text: str) -> int | float | None:
    """The number that `text` is, as `3`, `1_000`, `.001`, `1e-3`, `inf`; None for any other text."""
    if not text.isascii():
        return None
    for kind in (int, float):
        try:
            return kind(text.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            continue
    return None


def split(text: str) -> list[str]:
    """The parts of `text` between its commas, those within brackets and quotes aside, without spaces around them.

    Raises:
        ValueError: a bracket or a quote has no partner, or a part is empty where there are several.
    """
    cuts = [place for place, char in outside(text) if char == ","]
    parts = [text[a:b].strip() for a, b in zip([0, *(c + 1 for c in cuts)], [*cuts, len(text)], strict=True)]
    if len(parts) > 1 and "" in parts:
        raise ValueError("a value is missing beside a comma")
    return parts


def unquoted(text: str) -> str:
    """`text` without the quotes around the whole of it, if it has them."""
    try:
        whole = text[:1] in QUOTES and [place for place, _ in outside(text)] == [0]
    except ValueError:  # what is no quoted text is text as it is
        whole = False
    return text[1:-1].replace(f"\\{text[0]}", text[0]).replace("\\\\", "\\") if whole and text else text


def outside(text: str) -> Iterator[tuple[int, str]]:
    """Place and character of all in `text` that is in no bracket and no quote; of those only what opens them.

    A quote opens where a value begins: the one in `it's` is a letter.

    Raises:
        ValueError: a bracket or a quote has no partner.
    """
    closers: list[str] = []
    place, before = 0, ","
    while place < len(text):
        char = text[place]
        opens = char in QUOTES and before in ",:[{("
        if not closers and char not in PAIRS.values():
            yield place, char
        if opens:
            place = _closing(text, place)
        elif char in PAIRS:
            closers.append(PAIRS[char])
        elif char in PAIRS.values() and (not closers or closers.pop() != char):
            raise ValueError(f"'{char}' closes nothing")
        if len(closers) > DEEP:
            raise ValueError(f"more than {DEEP} brackets inside one another")
        before = before if char.isspace() else char
        place += 1
    if closers:
        raise ValueError(f"'{closers[-1]}' is missing")


def _closing(text: str, start: int) -> int:
    """The place of the quote that ends what the one at `start` opens; a backslash before a quote makes it a letter."""
    place = start + 1
    while place < len(text):
        if text[place] == text[start]:
            return place
        place += 2 if text[place] == "\\" else 1
    raise ValueError(f"a second {text[start]} is missing")


def _mapping(parts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        place = next((place for place, char in outside(part) if char == ":"), 0)
        key = unquoted(part[:place].strip())
        if not key:
            raise ValueError(f"{part} is no key with a value, as model.act: tanh")
        if key in found:
            raise ValueError(f"{key} is there twice")
        found[key] = literal(part[place + 1 :])
    return found
