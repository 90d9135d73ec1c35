"""Typed values, each as the field of its key in `lab.config` holds it: text stays text, whatever it may resemble."""

from typing import Any, get_args, get_origin

from lab.errors import UserError
from lab.knob import LARGEST
from lab.literals import literal, number, split, unquoted
from lab.validation import Key, all_keys

TRUTHS = {**dict.fromkeys(("true", "yes", "on", "1"), True), **dict.fromkeys(("false", "no", "off", "0"), False)}

LONG = 80
"""Characters of a typed word that a message repeats."""


def typed(key: str, text: str) -> Any:
    """`text` as the field of `key` holds it; null for those that may be null.

    Raises:
        UserError: it is none of its kind; says what is allowed.
    """
    known = all_keys()[key]
    try:
        return read(known, text)
    except ValueError as error:
        raise UserError(f"{short_word(f'{key}={text}')} {error}") from None


def read(key: Key, text: str) -> Any:
    """`typed`, whose `ValueError` ends the sentence that begins with the override."""
    if key.kind is str:
        return unquoted(text)
    try:
        return _valued(key, text)
    except BracketError as error:
        raise ValueError(f"is not complete: {error}") from None


class BracketError(ValueError):
    """A bracket or a quote without its partner."""


def _valued(key: Key, text: str) -> Any:
    if key.kind is Any or key.kind == list[Any]:
        found = _opened(literal, text)
        if key.kind is not Any and not isinstance(found, list):
            raise ValueError(f"is no list; allowed: {key.allowed()}, in brackets")
        return found
    if key.optional and text.strip().lower() in ("null", "none"):
        return None
    if get_origin(key.kind) is not list:
        return _single(key, key.kind, _opened(unquoted, text).strip())
    (kind,) = get_args(key.kind)
    whole = text.strip()
    if not (whole.startswith("[") and whole.endswith("]")):
        allowed = "[ship, truck]" if kind is str else "[16, 32]" if kind is int else "[0.5, 0.75]"
        raise ValueError(f"is no list; allowed: a list, as {allowed}")
    _opened(literal, whole)
    inner = whole[1:-1]
    return [_single(key, kind, unquoted(part)) for part in _opened(split, inner)] if inner.strip() else []


def _opened(function: Any, text: str) -> Any:
    try:
        return function(text)
    except ValueError as error:
        raise BracketError(str(error)) from None


def _single(key: Key, kind: Any, text: str) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in TRUTHS:
            raise ValueError("is neither true nor false")
        return TRUTHS[text.lower()]
    found = number(text)
    if found is None:
        raise ValueError(f"is not a {'whole ' * (kind is int)}number; allowed: {key.allowed()}")
    if kind is float:
        return float(str(found))  # infinity, where it is too large
    if isinstance(found, float) and not found.is_integer():
        raise ValueError(f"is not a whole number; allowed: {key.allowed()}")
    if abs(found) > LARGEST:
        raise ValueError(f"is too large; allowed: {key.allowed()}, up to {LARGEST}")
    return int(found)


def short_word(word: str) -> str:
    """`word` as a message repeats it: what is long by its begin and length."""
    return word if len(word) <= LONG else f"{word[:LONG]}... ({len(word)} characters)"
