"""What TAB offers: verbs, kinds, keys, files of groups, and names that a key can take, found without torch or Hydra.

What a key takes is read from its field in `lab.config`, as `lab.validation` does. So every key that has names is
completed, and none has to be entered here as well.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from lab.cli.catalogue import KINDS, names
from lab.cli.parsers import flags
from lab.cli.scripts import SCRIPTS
from lab.errors import UserError
from lab.identity import default_leaves
from lab.overrides.files import GROUPS, group_files, own_dir
from lab.tables import read_downloads
from lab.validation import all_keys

OVERRIDING = ("train", "plan", "lint", "probe", "lr-range")
"""The verbs that take overrides."""

FILES = 3
"""Exit code of `lab _complete` where the shell's own completion of files should follow."""


def candidates(words: list[str], verbs: Iterable[str]) -> list[str] | None:
    """What the last of `words`, begun or empty, can become; None where it is a path.

    Args:
        words: the words after `lab` up to the cursor.
        verbs: the verbs there are.
    """
    *before, begun = words or [""]
    if not before:
        return _starting(begun, [*verbs, "--help", "--version"] if begun.startswith("-") else verbs)
    verb, last = before[0], before[-1]
    if begun.startswith("-"):
        return _starting(begun, flags(verb))
    own = _own(before)
    if last in ("--by", "--metric", "--format", "--low", "--high", "--steps", "--draws", "--cfg", "--package"):
        given = {
            "--by": list(default_leaves()),
            "--cfg": ["job"],
            "--format": {"lint": ["text", "json", "sarif"], "probe": ["text", "json"]}.get(
                verb, ["text", "md", "csv", "json"]
            ),
        }
        return _starting(begun, given.get(last, []))
    if last in ("--root", "--html", "--out", "--config-dir", "--from", "--to", "--dir") or verb == "board":
        return None
    if verb == "compare" and last in ("--where", "--reference"):
        return overrides(begun)
    if verb == "compare":
        return _starting(begun, default_leaves()) if "--by" in before else None
    if verb == "new":
        return overrides(begun, own) if last == "--sweep" else []
    if verb == "page":
        return _starting(begun, pages()) if len(before) == 1 else []
    if verb in OVERRIDING:
        return overrides(begun, own)
    if verb == "list" and len(before) > 1:
        kind = last if len(before) == 2 and last in KINDS else None
        return key_starts(begun, all_keys()) if kind == "keys" else _starting(begun, names(kind, own) if kind else ())
    others = {"list": KINDS, "completion": SCRIPTS, "data": ("fetch",) if len(before) == 1 else read_downloads()}
    return _starting(begun, others.get(verb, ()))


def pages() -> list[str]:
    """The experiments of the notebook below the folder where one types."""
    return sorted(path.parent.name for path in Path("experiments").glob("*/notes.md"))


def _own(before: list[str]) -> Path | None:
    """The user's folder of files, as far as the words say; none that is none."""
    given = [word for flag, word in pairwise(before) if flag in ("--config-dir", "-cd")]
    given += [word.partition("=")[2] for word in before if word.startswith("--config-dir=")]
    try:
        return own_dir(given[0] if given else None)
    except UserError:
        return None


def overrides(begun: str, own: Path | None = None) -> list[str] | None:
    """What the override `begun` can become: `model.`, `model.act=`, `model.act=relu`, `model.act=relu,gelu`."""
    sign = re.match(r"[+~]*", begun)
    assert sign is not None
    key, equals, value = begun[sign.end() :].partition("=")
    if not equals:
        found = key_starts(key, [f"{one}=" for one in default_leaves()])
        groups_found = [] if "." in key else _starting(key, [f"{group}=" for group in sorted(GROUPS)])
        return [sign[0] + one for one in found + groups_found]
    given = value.rpartition(",")[0]
    head = f"{given}," if given else ""
    typed = value[len(head) :]
    there = values(key, own)
    if there is None:
        return None
    if key in all_keys() and all_keys()[key].knob.words:
        dash = typed.rpartition("-")[0]
        typed_head = f"{dash}-" if dash else ""
        there = [typed_head + one for one in there]
    chosen = given.split(",")
    return [f"{sign[0]}{key}={head}{one}" for one in _starting(typed, there) if one not in chosen]


def key_starts(begun: str, keys: Iterable[str]) -> list[str]:
    """How `begun` goes on to one of `keys`: to whole sections first, as there are more keys than a screen holds."""
    shown = keys if "." in begun else dict.fromkeys(re.sub(r"\..*", ".", one) for one in keys)
    return _starting(begun, shown)


def values(key: str, own: Path | None = None) -> list[str] | None:
    """The names that `key` takes, or the files of the group `key`; None where it is a path."""
    if key in GROUPS:
        return sorted(group_files(own)[key])
    if key not in all_keys():
        return []
    return None if all_keys()[key].knob.free == "a path" else all_keys()[key].names()


def _starting(begun: str, there: Iterable[str]) -> list[str]:
    return [one for one in there if one.startswith(begun)]
