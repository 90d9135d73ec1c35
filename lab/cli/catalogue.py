"""`lab list`: the names in the tables, each with the first line of its docstring, read from the source.

Reading the source rather than importing it keeps the answer under a second (torch alone takes two), and the lines
cannot go stale, because they are the docstrings.
"""

import ast
from functools import lru_cache
from pathlib import Path

import yaml

import lab
from lab.config import config_dir
from lab.errors import UserError, nearest

TABLES = {
    "data": ("data/sources.py", "SOURCES"),
    "scales": ("data/scales.py", "SCALES"),
    "augments": ("data/augment.py", "AUGMENTS"),
    "nets": ("nets/zoo.py", "NETS"),
    "blunders": ("nets/blunders.py", "BLUNDERS"),
    "words": ("nets/recipe.py", "WORDS"),
    "acts": ("nets/parts/acts.py", "ACTS"),
    "norms": ("nets/parts/norms.py", "NORMS"),
    "pools": ("nets/parts/pools.py", "POOLS"),
    "drops": ("nets/parts/drops.py", "DROPS"),
    "skips": ("nets/parts/skips.py", "SKIPS"),
    "heads": ("nets/parts/heads.py", "HEADS"),
    "inits": ("nets/init.py", "INITS"),
    "block_orders": ("nets/prune.py", "BLOCK_ORDERS"),
    "saliencies": ("nets/prune.py", "SALIENCIES"),
    "optimizers": ("training/optimizers.py", "OPTIMIZERS"),
    "schedules": ("training/schedules.py", "SCHEDULES"),
    "clips": ("training/clipping.py", "CLIPS"),
    "losses": ("training/losses.py", "LOSSES"),
    "penalties": ("training/penalties.py", "PENALTIES"),
}
"""Where each kind of part is looked up: file and name of the dict literal."""

KINDS = ("experiments", "models", *TABLES)


def render(kind: str | None) -> str:
    """The names of `kind`, a line each; of all kinds if None.

    Raises:
        UserError: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"list {kind}: no such kind{nearest(kind, KINDS)}; there are: {', '.join(KINDS)}")
    blocks = []
    for one in [kind] if kind else KINDS:
        entries = names(one)
        width = max(map(len, entries))
        indent = "" if kind else "  "
        lines = [f"{indent}{name:{width}}  {line}".rstrip() for name, line in entries.items()]
        blocks.append("\n".join(lines if kind else [f"{one}:", *lines]))
    return "\n\n".join(blocks) + "\n"


def names(kind: str) -> dict[str, str]:
    """The names of one kind in the order of their table, with their lines."""
    if kind == "experiments":
        files = sorted((config_dir() / "experiment").glob("*.yaml"))
        return {path.stem: yaml.safe_load(path.read_text())["study"]["question"] for path in files}
    if kind == "models":
        files = sorted((config_dir() / "model").glob("*.yaml"))
        return {path.stem: path.read_text().split("\n", 1)[0].lstrip("# ") for path in files}
    file, table = TABLES[kind]
    return read_table(Path(lab.__file__).parent / file, table)


@lru_cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def read_table(file: Path, table: str) -> dict[str, str]:
    """The keys of the dict literal `table` in `file`, each with the first line of its function's docstring."""
    tree = _parse(file)
    lines = {
        node.name: (ast.get_docstring(node) or "").split("\n", 1)[0]
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == table for target in targets):
            value = getattr(node, "value", None)
            assert isinstance(value, ast.Dict)
            pairs = zip(value.keys, value.values, strict=True)
            return {ast.literal_eval(k): lines[v.id] for k, v in pairs if k is not None and isinstance(v, ast.Name)}
    raise AssertionError(f"{file} has no table {table}")
