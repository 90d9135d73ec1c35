"""The words that are typed after a verb, `key=value`: whether keys and files exist, and what Hydra has besides."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import UserError, nearest, refuse, unknown
from lab.identity import ARM, makes_arms
from lab.overrides.choices import choices
from lab.overrides.files import GROUPS
from lab.overrides.formula import is_formula
from lab.overrides.hydra_words import is_hydra, refusals
from lab.overrides.typed import short_word, typed
from lab.validation import all_keys

Files = Mapping[str, Mapping[str, Path]]
"""By group, its files by name."""

LONGEST = 4000
"""Characters of a value; a study's may be longer."""

CLEAN = re.compile("[^\\x00-\\x1f\\x7f\\ud800-\\udfff]*")
"""A word without control characters, and without what is no text."""

PART = 255
"""Bytes that a file system takes for the name of a folder."""


@dataclass(frozen=True)
class Word:
    """One override that was understood."""

    key: str
    """A key, or a group of files."""

    texts: Sequence[str]
    """What it runs through, each as it can be typed by itself; one if it is no sweep."""

    text: str = field(compare=False)
    """As it was typed."""

    @property
    def swept(self) -> bool:
        return len(self.texts) > 1

    def overrides(self) -> Sequence[str]:
        return [f"{self.key}={text}" for text in self.texts]


def read_words(typed_words: Iterable[str], files: Files) -> list[Word]:
    """The overrides as typed, checked by themselves, with all that is wrong in one message.

    Args:
        typed_words: those of the command line.
        files: what there is to choose (`lab.overrides.files.group_files`).

    Raises:
        UserError: a word is no override, its key or file does not exist, or its value is none of its kind.
    """
    typed_words = list(typed_words)
    words, wrong = [], list(refusals(text for text in typed_words if CLEAN.fullmatch(text)))
    for text in typed_words:
        if is_hydra(text) and CLEAN.fullmatch(text):
            continue
        try:
            words.append(read_word(text, files))
        except (UserError, ValueError) as error:
            wrong.append(str(error))
    refuse(wrong)
    return words


def doubled(words: Iterable[Word]) -> Iterator[str]:
    """A line for each of `words` that a later one with another value takes the place of."""
    first: dict[str, Word] = {}
    for word in words:
        other = first.get(word.key)
        first[word.key] = word
        if other and other.text != word.text:
            yield f"note: {short_word(word.text)} takes the place of {short_word(other.text)}"


def read_word(text: str, files: Files) -> Word:
    """One override, of which keys, files and kinds of values exist.

    Raises:
        UserError: what is wrong with it.
    """
    key, value = key_and_value(text, files)
    shown = short_word(f"{key}={value}")
    if "${" in value:
        raise UserError(f"{shown}: the lab fills in no ${{...}} that is typed; write the value itself")
    section = key.partition(".")[0]
    if key not in all_keys() and key not in GROUPS:
        raise UserError(wrong_key(key))
    if len(value) > LONGEST and section != "study":
        raise UserError(f"{shown} is too long; allowed: up to {LONGEST} characters")
    if key in ("name", "out") and any(len(part.encode()) > PART for part in value.split("/")):
        raise UserError(f"{shown} is too long; allowed: up to {PART} bytes between two slashes")
    try:
        texts = choices(key, value, files.get(key, ()))
    except ValueError as error:
        raise UserError(f"{shown} {error}") from None
    if len(texts) > 1 and section == "study":
        raise UserError(f"{shown}: all runs of a sweep have one {key}")
    if len(texts) > 1 and not makes_arms(key) and key not in ("seed", ARM, "data.root"):
        raise UserError(f"{shown}: {key} makes no arms, and all runs of a sweep have one value of it")
    if key in GROUPS:
        refuse(line for one in texts for line in wrong_file(key, one, files[key]))
    else:
        refuse(wrong_value(key, texts))
    return Word(key, texts, f"{key}={value}")


def key_and_value(text: str, files: Files) -> tuple[str, str]:
    """The two sides of an override, without the signs `+` and `++`, which do nothing here.

    Raises:
        UserError: it has not two sides, or is a form of Hydra that the lab has no use for.
    """
    shown = short_word(text)
    if not CLEAN.fullmatch(text):
        raise UserError(f"{shown!a}: a word holds no control characters, and nothing that is no text")
    if text.startswith("~"):
        raise UserError(f"{shown}: nothing is ever taken out; choose another value or file, as schedule=cosine")
    key, sign, value = re.sub(r"^\+{1,2}", "", text.strip()).partition("=")
    key, value = key.strip(), value.strip()
    if not sign:
        group = next((group for group, there in files.items() if key in there), "")
        guess = f" (did you mean '{group}={key}'?)" if group else nearest(f"{key}=", [f"{k}=" for k in known_keys()])
        raise UserError(f"'{shown}' is no override; write key=value{guess}")
    if not key:
        raise UserError(f"'{shown}' has no key; write key=value")
    if is_hydra(key):
        raise UserError(next(refusals([text])))
    if "@" in key or ":" in key:
        group = re.split("[@:]", key)[0]
        raise UserError(f"{shown}: each group has one place; write {group}=NAME")
    return key, value


def known_keys() -> list[str]:
    return [*all_keys(), *GROUPS]


def wrong_key(key: str) -> str:
    """The line for a key that does not exist."""
    if key.startswith("study.reference."):
        return f"{key}: give a reference as a whole, as 'study.reference={{model.act:tanh}}'"
    there = known_keys()
    same = [one for one in there if one.rpartition(".")[0] == key.rpartition(".")[0]] or list(GROUPS)
    shown = short_word(key)
    return f"{shown} is no key of the configuration{nearest(shown, there)}; there are: {', '.join(same)}"


def wrong_file(group: str, name: str, there: Mapping[str, Path]) -> Iterator[str]:
    """A line for a file of a group that does not exist, nor is a user's own part."""
    if name.startswith(("[", "{")):
        yield f"{group}={short_word(name)}: one file of a group; {group}=a,b runs one after the other"
    elif name not in there and not is_part(group, name):
        yield unknown(f"{group}={short_word(name)}", short_word(name), there)


def is_part(group: str, name: str) -> bool:
    """Whether `group=name` names a user's own part, `module:attribute`, and so stands for `group.name=name`."""
    key = all_keys().get(f"{group}.name")
    return key is not None and key.knob.own and ":" in name


def wrong_value(key: str, texts: Sequence[str]) -> Iterator[str]:
    """A line for the first of `texts` that is none of the kind of `key`; of thousands only the ends are tried."""
    for text in texts if len(texts) <= 1000 else (texts[0], texts[len(texts) - 1]):
        try:
            if not is_formula(key, text):
                typed(key, text)
        except UserError as error:
            yield str(error)
            return


def split_picks(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Of `texts` by key the names of files, by group, and the values; a user's own part in place of a file is one."""
    picks = {key: text for key, text in texts.items() if key not in all_keys() and not is_part(key, text)}
    parts = {f"{key}.name": text for key, text in texts.items() if key not in all_keys() and key not in picks}
    return picks, parts | {key: text for key, text in texts.items() if key in all_keys()}
