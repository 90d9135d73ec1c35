"""Selectors, `{model.init: he_normal}`: which runs they pick, and how keys and values are compared and written."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lab.errors import UserError, nearest
from lab.identity import ARM
from lab.literals import QUOTES, literal

Flat = Mapping[str, Any]


def as_selector(given: Any) -> Any:
    """`given`, or where it is text the selector of the arm of that name."""
    return {ARM: given} if isinstance(given, str) else given


def canonical(value: Any) -> str:
    """One text for all ways of writing a value: 30 and "30", 0.1 and ".1", true and True, [16, 32] and "[16,32]"."""
    if isinstance(value, str):
        return canonical_text(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return repr(float(value)) if isinstance(value, int | float) else str(value)


@lru_cache(maxsize=10_000)
def canonical_text(value: str) -> str:
    """`canonical` of a text; a sweep asks for the same few again and again."""
    try:
        found = literal(value)
    except ValueError:  # no value of another kind, but text with a bracket or a quote in it
        return value
    if not isinstance(found, str):
        return canonical(found)
    if found[:1] in QUOTES or len(found) >= len(value):  # it was in no quotes
        return "null" if value == "None" else value
    return canonical_text(found)


def full_key(key: str, keys: Iterable[str]) -> str:
    """`key` as the flat configuration has it; a group, `optimizer`, stands for its name, `optimizer.name`, and a last
    part that only one key has, as tables show it, for that key."""
    keys = list(keys)
    for candidate in (key, f"{key}.name"):
        if candidate in keys:
            return candidate
    same = [one for one in keys if one.rpartition(".")[2] == key]
    if len(same) == 1:
        return same[0]
    if same:
        raise UserError(f"configuration key '{key}' is short for several; there are: {', '.join(same)}")
    raise UserError(f"configuration key '{key}' is unknown{nearest(key, keys)}; there are: {', '.join(sorted(keys))}")


def matches(config: Flat, selector: Flat) -> bool:
    """Whether the flat `config` has all values of `selector`, as values or as tables show them."""
    return all(is_value(config[full_key(key, config)], value) for key, value in selector.items())


def is_value(value: Any, given: Any) -> bool:
    """Whether `given` stands for `value`: written in any way, or as labels have it, `16-32` for [16, 32]."""
    return canonical(value) == canonical(given) or (isinstance(given, str) and show(value) == given != "")


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """A short name for each of `keys`: the last part, or the group for its name; whole where two would be alike."""
    keys = list(keys)
    short = {key: key.removesuffix(".name").rpartition(".")[2] for key in keys}
    return {key: name if list(short.values()).count(name) == 1 else key for key, name in short.items()}


def show(value: Any) -> str:
    """A value as labels have it: `16-32` for a list, no needless zeros."""
    if isinstance(value, list | tuple):
        return "-".join(map(show, value))
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_number(value: Any) -> bool:
    """Whether `value` is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def label(selector: Flat) -> str:
    """`init=he_normal depth=30`; the name of an arm stands alone."""
    return named_by(short_keys(selector), selector)


def label_full(selector: Flat) -> str:
    """`model.init=he_normal`, with full keys, as they are typed; the name of an arm stands alone."""
    return named_by({key: key for key in selector}, selector)


def named_by(names: Mapping[str, str], selector: Flat) -> str:
    """`selector` in words, with its keys as `names` has them."""
    words = [show(value) if key == ARM else f"{names[key]}={show(value)}" for key, value in selector.items()]
    return " ".join(filter(None, words))


def pick(arms: Sequence[Flat], selector: Flat, name: str, remedy: str) -> list[Flat]:
    """The arms, flat configurations, that `selector` matches.

    Raises:
        UserError: it has an unknown key or picks none; starts with `name`, and ends with the `remedy`.
    """
    try:
        picked = [arm for arm in arms if matches(arm, selector)]
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    if picked:
        return picked
    if ARM in selector and not any(arm[ARM] for arm in arms):
        raise UserError(
            f"{name}: {selector[ARM]}: no arms have names; allowed: keys with values, as {{model.act: tanh}}"
        )
    key = next((key for key in selector if not any(matches(arm, {key: selector[key]}) for arm in arms)), None)
    there = "; each of its values has arms, but none has them all"
    if key is not None:
        known = sorted({str(arm[full_key(key, arm)]) for arm in arms})
        there = f"; {key} takes: {', '.join(known)}{nearest(str(selector[key]), known)}"
    raise UserError(f"{name}: {label(selector)} picks no arm of the sweep{there} ({remedy})")
