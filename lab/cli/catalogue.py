"""`lab list`: the names of each kind, each with its line, read without importing what they name."""

from functools import cache
from pathlib import Path

import yaml

from lab.cli.keys import render_keys
from lab.errors import UserError, nearest
from lab.overrides.files import config_dir, group_files, yaml_files
from lab.tables import TABLES, read_table
from lab.validation import all_keys

KINDS = ("keys", "experiments", "models", *TABLES, "rules")

KIND_GROUPS = {
    "experiments": "experiment",
    "models": "model",
    "data": "data",
    "optimizers": "optimizer",
    "schedules": "schedule",
}
"""Kinds of which the user may have files."""


def render_names(kind: str | None, prefix: str = "", own: Path | None = None) -> str:
    """The names of `kind`, a line each; of all kinds if None, where keys are only counted.

    Args:
        kind: one of `KINDS`.
        prefix: how keys start; of other kinds, names.
        own: the user's folder of configuration files.

    Raises:
        UserError: there is no such kind, or no key that starts with `prefix`.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"list {kind}: no such kind{nearest(kind, KINDS)}; there are: {', '.join(KINDS)}")
    if kind == "keys":
        return render_keys(prefix)
    if kind:
        return _lines(_starting(kind, prefix, own))
    blocks = [f"{one}:\n{_lines(names(one, own), '  ')}" for one in KINDS if one != "keys"]
    about = f"keys:\n  {len(all_keys())} keys, with meaning, default and range: lab list keys [PREFIX]\n"
    return "\n".join([about, *blocks])


def names(kind: str, own: Path | None = None) -> dict[str, str]:
    """The names of one kind in the order of their table, with their lines; then those of the user's files."""
    group = KIND_GROUPS.get(kind)
    files = group_files(own)[group] if group else {}
    mine = {name: own_line(path) for name, path in files.items() if own and path.is_relative_to(own)}
    if kind == "experiments":
        lab = {name: yaml.safe_load(path.read_text())["study"]["question"] for name, path in _labs("experiment")}
    elif kind == "models":
        lab = {name: path.read_text().split("\n", 1)[0].lstrip("# ") for name, path in _labs("model")}
    else:
        lab = read_table(kind)
    return lab | mine


@cache
def _labs(group: str) -> list[tuple[str, Path]]:
    return list(yaml_files(config_dir() / group).items())


def own_line(path: Path) -> str:
    """What a user's file says of itself: its question, or its first comment; else only where it is."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"{path}: not readable ({error.strerror})"
    said = [line.strip().removeprefix("question:") for line in lines if line.strip().startswith("question:")]
    said += [line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line]
    return next((line.strip(" \"'") for line in said if line.strip(" \"'")), str(path))[:120]


def _starting(kind: str, prefix: str, own: Path | None) -> dict[str, str]:
    there = names(kind, own)
    found = {name: line for name, line in there.items() if name.startswith(prefix)}
    if not found:
        near = nearest(prefix, there)
        raise UserError(f"list {kind} {prefix}: no name starts so{near}; there are: {', '.join(there)}")
    return found


def _lines(entries: dict[str, str], indent: str = "") -> str:
    width = max(map(len, entries))
    return "".join(f"{indent}{name:{width}}  {line}".rstrip() + "\n" for name, line in entries.items())
