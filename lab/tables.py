"""The tables of parts: where each kind is looked up, and the names and lines in it, read from the source.

Reading the source instead of importing it takes a hundredth of a second (importing torch takes two), and the lines
cannot go stale, because they are the docstrings.
"""

import ast
from functools import cache
from pathlib import Path

TABLES = {
    "data": ("data/sources.py", "SOURCES"),
    "scales": ("data/scales.py", "SCALES"),
    "augments": ("data/augment.py", "AUGMENTS"),
    "shifts": ("data/shifts.py", "SHIFTS"),
    "nets": ("nets/zoo.py", "NETS"),
    "blunders": ("nets/blunders.py", "BLUNDERS"),
    "surfaces": ("nets/surfaces.py", "SURFACES"),
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
"""For each kind the file and the name of the dict literal in it."""


@cache
def read_table(kind: str) -> dict[str, str]:
    """The names of `kind` in the order of their table, each with the first line of its function's docstring."""
    if kind == "rules":
        return read_rules()
    file, table = TABLES[kind]
    tree = _parse(file)
    lines = {
        node.name: (ast.get_docstring(node) or "").split("\n", 1)[0]
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    value = _assigned(tree, table)
    assert isinstance(value, ast.Dict), f"{file} has no table {table}"
    pairs = zip(value.keys, value.values, strict=True)
    return {ast.literal_eval(k): lines[v.id] for k, v in pairs if k is not None and isinstance(v, ast.Name)}


def read_downloads() -> tuple[str, ...]:
    """The data sets that can be downloaded."""
    value = _assigned(_parse(TABLES["data"][0]), "DOWNLOADS")
    assert value is not None
    return ast.literal_eval(value)


def read_rules() -> dict[str, str]:
    """The codes of the rules of `lab lint`, each with its severity and the first line of its docstring."""
    found: dict[str, str] = {}
    root = Path(__file__).parent
    for path in [*sorted((root / "checks" / "lint").glob("*.py")), *sorted((root / "checks").glob("*.py"))]:
        tree = _parse(path.relative_to(root).as_posix())
        lines = {one.name: ast.get_docstring(one) or "" for one in tree.body if isinstance(one, ast.FunctionDef)}
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Name(id="Rule"),
                    args=[ast.Constant(value=code), ast.Constant(value=word), ast.Name(id=name)],
                ):
                    found[str(code)] = f"{word}: {lines[name].partition(chr(10))[0]}"
    return dict(sorted(found.items()))


@cache
def _parse(file: str) -> ast.Module:
    return ast.parse((Path(__file__).parent / file).read_text())


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    """What a module assigns to `name`."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return getattr(node, "value", None)
    return None
