"""Python values as the overrides that stand for them on the command line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.literals import split
from lab.validation import all_keys


def spelled(overrides: Any, over: Mapping[str, Any] | None = None) -> list[str]:
    """`"model=resnet"`, `{"optimizer.lr": 0.1}` and lists of such as words of the command line.

    Args:
        overrides: texts stay as they are; of a dict, a text is a value as it would be typed, and any other value is
            one value, a list too.
        over: keys with the values that they run through, a list each.

    Raises:
        UserError: something is none of these.
    """
    return [*_words(overrides), *(f"{key}={','.join(_sweep(key, values))}" for key, values in (over or {}).items())]


def _words(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        for key, value in given.items():
            yield from _pair(key, value)
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _words(one)
    else:
        raise UserError(f"{given!r:.80} is no override; give texts, as 'optimizer.lr=0.1', or a dict of keys to values")


def _pair(key: Any, value: Any) -> Iterator[str]:
    if not isinstance(key, str):
        raise UserError(f"{key!r:.80} is no key; a key is a text, as 'optimizer.lr'")
    if isinstance(value, Mapping) and key not in all_keys():  # a section, as {"model": {"depth": 3}}
        for name, inner in value.items():
            yield from _pair(f"{key}.{name}", inner)
    else:
        yield f"{key}={_text(key, value)}"


def _sweep(key: str, values: Any) -> list[str]:
    """The texts that `key` runs through, each as it can be typed beside a comma."""
    if isinstance(values, str):
        return [values]
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, Iterable) or isinstance(values, Mapping | set | frozenset):
        raise UserError(f"over: {key}={values!r:.80} is no list of values, as {{{key!r}: [0.1, 0.01]}}")
    texts = [_text(key, value) for value in values]
    if not texts:
        raise UserError(f"over: {key} has no values")
    return [text if _is_one(text) else json.dumps(text, ensure_ascii=False) for text in texts]


def _is_one(text: str) -> bool:
    """Whether `text` stays one value beside a comma."""
    try:
        return len(split(text)) == 1
    except ValueError:
        return False


def _text(key: str, value: Any) -> str:
    """One value as it would be typed."""
    return value if isinstance(value, str) else _literal(key, value)


def _literal(key: str, value: Any) -> str:
    """A value that is no text, or that lies within a list or dict, where text has quotes."""
    if hasattr(value, "tolist"):  # of numpy or torch
        value = value.tolist()
    if isinstance(value, str):
        text = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(key, str(k))}: {_literal(key, one)}' for k, one in value.items())}}}"
    if isinstance(value, list | tuple | range):
        return f"[{', '.join(_literal(key, one) for one in value)}]"
    allowed = "a text, a number, True, False, None, a path, or lists and dicts of them"
    raise UserError(f"{key}={value!r:.80} is no value of an override; allowed: {allowed}")
