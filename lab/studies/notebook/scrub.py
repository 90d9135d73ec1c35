"""What the notebook never repeats: folders of somebody's machine."""

import re
import shlex
from typing import Any

PLACE = re.compile(r"(?<![\w./:~-])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+=,-]+){2,}")
"""A path from the root of a disk."""

PLACES = ("out", "jobs", "force", "train.threads")
"""Keys of a command that say where and how runs were made, and change no number."""


def without_places(value: Any) -> Any:
    """`value` with the last part alone of each absolute path in its texts, all the way down."""
    if isinstance(value, str):
        return PLACE.sub(lambda found: re.split(r"[/\\]", found[0])[-1], value)
    if isinstance(value, dict):
        return {without_places(key): without_places(item) for key, item in value.items()}
    return [without_places(item) for item in value] if isinstance(value, list | tuple) else value


def plain_command(command: str) -> str:
    """`command` without overrides that say where runs lie and how many trained side by side."""
    try:
        words = shlex.split(command)
    except ValueError:
        return without_places(command)
    kept = [word for word in words if word.partition("=")[0] not in PLACES and not is_place(word)]
    return shlex.join(kept)


def is_place(word: str) -> bool:
    """Whether the value of an override holds an absolute path."""
    return PLACE.search(word.partition("=")[2]) is not None
