"""`lab list`: the names of each kind, each with its line, read without importing what they name."""

from pathlib import Path

import yaml

from lab.cli.keys import render_keys
from lab.errors import UserError, nearest
from lab.tables import TABLES, read_rules, read_table
from lab.validation import all_keys

KINDS = ("keys", "experiments", "models", *TABLES, "rules")


def config_dir() -> Path:
    """The folder of YAML files: inside the package when installed from a wheel, beside it in a clone."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def render_names(kind: str | None, prefix: str = "") -> str:
    """The names of `kind`, a line each; of all kinds if None, where keys are only counted.

    Args:
        kind: one of `KINDS`.
        prefix: how keys start; of other kinds, names.

    Raises:
        UserError: there is no such kind, or no key that starts with `prefix`.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"list {kind}: no such kind{nearest(kind, KINDS)}; there are: {', '.join(KINDS)}")
    if kind == "keys":
        return render_keys(prefix)
    if kind:
        return _lines(_starting(kind, prefix))
    blocks = [f"{one}:\n{_lines(names(one), '  ')}" for one in KINDS if one != "keys"]
    about = f"keys:\n  {len(all_keys())} keys, with meaning, default and range: lab list keys [PREFIX]\n"
    return "\n".join([about, *blocks])


def names(kind: str) -> dict[str, str]:
    """The names of one kind in the order of their table, with their lines."""
    if kind == "experiments":
        files = sorted((config_dir() / "experiment").glob("*.yaml"))
        return {path.stem: yaml.safe_load(path.read_text())["study"]["question"] for path in files}
    if kind == "models":
        files = sorted((config_dir() / "model").glob("*.yaml"))
        return {path.stem: path.read_text().split("\n", 1)[0].lstrip("# ") for path in files}
    return read_rules() if kind == "rules" else read_table(kind)


def _starting(kind: str, prefix: str) -> dict[str, str]:
    there = names(kind)
    found = {name: line for name, line in there.items() if name.startswith(prefix)}
    if not found:
        near = nearest(prefix, there)
        raise UserError(f"list {kind} {prefix}: no name starts so{near}; there are: {', '.join(there)}")
    return found


def _lines(entries: dict[str, str], indent: str = "") -> str:
    width = max(map(len, entries))
    return "".join(f"{indent}{name:{width}}  {line}".rstrip() + "\n" for name, line in entries.items())
