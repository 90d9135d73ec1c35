"""`study.arms`: named arms as sets of overrides, and `study.exclude`: which combinations are left out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab.errors import UserError, refuse, unknown
from lab.identity import ARM, makes_arms
from lab.overrides.compose import as_typed
from lab.overrides.typed import short_word
from lab.overrides.words import Files, Word, read_word
from lab.studies.select.selectors import Flat, as_selector, label, matches, show

MOST_NAME = 60
"""Characters of a name."""


def read_arms(given: Any, files: Files) -> dict[str, dict[str, str]]:
    """The overrides of each arm, `{"before": {"model.block": "conv-norm-act"}}`, as texts that can be typed.

    Args:
        given: `study.arms` as a file or the command line has it.
        files: what there is to choose.

    Raises:
        UserError: a name or an override is wrong; tells of all.
    """
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise UserError(
            f"study.arms={given}: allowed: names, each with keys and values, as {{deep: {{model.depth: 9}}}}"
        )
    wrong, arms = list[str](), dict[str, dict[str, str]]()
    for key, values in given.items():
        if (name := name_of(key)) is None:
            allowed = f"text of at most {MOST_NAME} characters without commas and signs of control"
            quotes = "; what YAML takes for true, false or null wants quotes" * (key is None or isinstance(key, bool))
            wrong.append(f"study.arms: {short_word(repr(key))} is no name; allowed: {allowed}{quotes}")
        elif not isinstance(values, Mapping):
            wrong.append(f"study.arms: {name} is {values!r}; allowed: keys with values, or {{}} for an arm as it is")
        else:
            arms[name] = {}
            for one, value in values.items():
                try:
                    arms[name][str(one)] = read_value(str(one), value, files)
                except (UserError, ValueError) as error:
                    wrong.append(f"study.arms: {name}: {error}")
    refuse(wrong)
    return arms


def name_of(key: Any) -> str | None:
    """The name of an arm; None where `key` is none."""
    name = show(key).strip() if isinstance(key, str | int | float) and not isinstance(key, bool) else ""
    return name if 0 < len(name) <= MOST_NAME and name.isprintable() and "," not in name else None


def read_value(key: str, value: Any, files: Files) -> str:
    """One override of an arm as text; raises `UserError` where it is not possible."""
    if isinstance(value, Mapping):
        raise UserError(f"{key} has keys below it; write each in full, as {key}.{next(iter(value), 'name')}")
    text = "null" if value is None else as_typed(value)
    return read_single(f"{key}={text}", files, "an arm")[1]


def read_single(text: str, files: Files, whose: str, besides: Sequence[str] = ()) -> tuple[str, str]:
    """Key and value of an override that makes an arm, or is of `besides`; raises `UserError` for others and sweeps."""
    word = read_word(text, files)
    key = word.key
    if (not makes_arms(key) and key not in besides) or key == "experiment" or key.startswith("study."):
        raise UserError(f"{key} makes no arms, so {whose} sets none")
    if word.swept:
        raise UserError(f"{short_word(word.text)}: {whose} has one value of a key")
    return key, word.texts[0]


def chosen_arms(words: Iterable[Word], arms: Mapping[str, Mapping[str, str]], swept: Iterable[str]) -> Sequence[str]:
    """The names of the arms to train: those typed as `arm=a,b`, else all.

    Args:
        words: those of the command line.
        arms: what `read_arms` found.
        swept: the keys that are swept.

    Raises:
        UserError: a name is unknown, or arms set a key that is typed or swept.
    """
    words = list(words)
    typed = next((word.texts for word in words if word.key == ARM), None)
    if typed and not arms:
        raise UserError(f"{ARM}={short_word(','.join(typed))}: no arms have names; study.arms gives them some")
    refuse(unknown(f"{ARM}={name}", name, arms) for name in typed or () if name not in arms)
    here = {key: name for name in typed or arms for key in arms[name]}
    for key in [*(word.key for word in words), *swept]:
        if owner := here.get(key):
            raise UserError(f"{key} is set by arms of study.arms ({owner}), and is neither typed nor swept besides")
    return typed or list(arms)


def is_excluded(config: Flat, typed: Flat, exclude: Sequence[Any]) -> bool:
    """Whether a selector of `study.exclude` picks an arm.

    Args:
        config: its configuration, flat.
        typed: the keys that were typed or swept for it, with choices of groups.
        exclude: selectors, keys with values or names of arms.

    Raises:
        UserError: one of them is no selector, or has an unknown key.
    """
    flat = {**config, **typed}
    for one in exclude:
        selector = as_selector(one)
        if not isinstance(selector, Mapping) or not selector:
            raise UserError(f"study.exclude: {one!r} is no selector; allowed: keys with values, as {{model.depth: 9}}")
        try:
            if matches(flat, selector):
                return True
        except UserError as error:
            raise UserError(f"study.exclude: {label(selector)}: {error}") from None
    return False
