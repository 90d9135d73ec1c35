"""`lab list keys`: every key of the configuration with its default, what it takes, and its meaning."""

import ast
import json
import textwrap
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import lab.config
from lab.config import RunConfig
from lab.errors import UserError, nearest
from lab.tables import read_table
from lab.validation import Key, all_keys

WIDTH = 100
"""Columns of a line."""


def render_keys(prefix: str = "") -> str:
    """The keys that start with `prefix`: for each its default and what it takes, and its meaning below."""
    keys = all_keys()
    found = [key for name, key in keys.items() if name.startswith(prefix)]
    if not found:
        starts = list(dict.fromkeys(name.partition(".")[0] for name in keys))
        near = nearest(prefix, keys) if "." in prefix else nearest(prefix, starts) or nearest(prefix, keys)
        raise UserError(f"list keys {prefix}: no key starts so{near}; they start with: {', '.join(starts)}")
    groups = groupby(found, key=lambda key: key.name.rpartition(".")[0])
    return "\n".join("".join(map(render_key, group)) for _, group in groups)


def render_key(key: Key) -> str:
    """One key in two paragraphs."""
    begin = f"{key.name} = {as_typed(key.default)}   "
    takes = takes_text(key, with_names=True)
    if len(begin + takes) > WIDTH and key.knob.tables:
        takes = takes_text(key, with_names=False)
    head = textwrap.fill(begin + takes, WIDTH, subsequent_indent=" " * 8, break_long_words=False)
    meaning = textwrap.indent(textwrap.fill(meanings()[key.name], WIDTH - 4, break_long_words=False), " " * 4)
    return f"{head}\n{meaning}\n"


def takes_text(key: Key, with_names: bool) -> str:
    """What `key` takes, with the names of its tables or only where to see them."""
    if not key.knob.tables:
        return key.allowed()
    kinds = " or ".join(f"'lab list {kind}'" for kind in key.knob.tables)
    names = [name for kind in key.knob.tables for name in read_table(kind)]
    one = "names" if key.knob.words else "a name"
    parts = [*key.knob.choices, f"{', '.join(names)} ({kinds})" if with_names else f"{one} of {kinds}"]
    parts[-1] += " joined by dashes" * key.knob.words
    parts += ["or your own module:attribute"] * key.knob.own
    return ", ".join(parts)


def as_typed(value: Any) -> str:
    """`value` as an override writes it: `null`, `true`, `[16, 32]`, `relu`."""
    return value if isinstance(value, str) and value else json.dumps(value)


@cache
def meanings() -> dict[str, str]:
    """The docstring of each key's field in `lab.config`, on one line."""
    classes = {n.name: n for n in ast.parse(Path(lab.config.__file__).read_text()).body if isinstance(n, ast.ClassDef)}

    def read(owner: Any, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        inner = {one.name: one.type for one in fields(owner) if is_dataclass(one.type)}
        for node, after in pairwise(classes[owner.__name__].body):
            match node, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    key = f"{prefix}{name}"
                    found |= read(inner[name], f"{key}.") if name in inner else {key: " ".join(text.split())}
        return found

    return read(RunConfig, "")
