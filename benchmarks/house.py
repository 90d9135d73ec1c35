"""The size and the shape of `lab/`, of this checkout and of earlier commits: files, rooms, imports between them, names.

    python benchmarks/house.py [COMMIT ...]

A room is a folder of `lab/` (inside `studies` each folder) or a file that lies loose. An arrow is a pair of rooms of
which one imports the other; floors are the rooms on the longest chain of arrows. A name used twice is a public class or
function at the top of two files or more, `__init__` aside, and but for the entries of tables: parts by name.
A line of code is neither blank, comment nor docstring.
"""

import ast
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping
from io import BytesIO, StringIO
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def main() -> None:
    columns = {"this checkout": figures(HERE / "lab")}
    for commit in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            archive = subprocess.run(["git", "archive", commit, "lab"], cwd=HERE, capture_output=True, check=True)
            with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
                tar.extractall(folder, filter="data")
            columns[commit] = figures(Path(folder) / "lab")
    print("|  |", " | ".join(columns), "|")
    print("| --- |", " | ".join("---" for _ in columns), "|")
    for row in next(iter(columns.values())):
        print(f"| {row} |", " | ".join(str(column[row]) for column in columns.values()), "|")


def figures(root: Path) -> dict[str, object]:
    """What is counted of the package in `root`, by name."""
    files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.py"))}
    trees = {name: ast.parse(path.read_text()) for name, path in files.items()}
    lines = {name: path.read_text().count("\n") for name, path in files.items()}
    longest = max(lines, key=lambda name: lines[name])
    functions = {
        f"{name}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    widest = max(functions, key=lambda name: functions[name])
    modules = {f"lab.{name.removesuffix('.py').replace('/', '.').removesuffix('.__init__')}": name for name in files}
    stops = {
        name: {modules[m] for m in imported(tree, modules) if m in modules} - {name} for name, tree in trees.items()
    }
    arrows = {(room(a), room(b)) for a, others in stops.items() for b in others if room(a) != room(b)}
    twice = names_used_twice(trees)
    return {
        "lines": sum(lines.values()),
        "lines of code": sum(lines_of_code(path.read_text()) for path in files.values()),
        "files": len(files),
        "folders": len({str(Path(name).parent) for name in files if "/" in name}),
        "files loose in lab/": sum("/" not in name and not name.startswith("__") for name in files),
        "longest file": f"{longest}, {lines[longest]} lines",
        "files over 200 lines": sum(number > 200 for number in lines.values()),
        "longest function": f"{widest}, {functions[widest]} lines",
        "functions over 60 lines": sum(number > 60 for number in functions.values()),
        "rooms": len({room(name) for name in files}),
        "arrows between rooms": len(arrows),
        "floors": len_of_longest_chain(arrows),
        "imports between files": sum(map(len, stops.values())),
        "names used twice": f"{len(twice)} ({', '.join(sorted(twice))})",
        "check_range, check_name and choose called": sum(
            isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("check_range", "check_name", "choose")
            for tree in trees.values()
            for node in ast.walk(tree)
        ),
    }


def room(name: str) -> str:
    """The room that the file `name` lies in; the file itself where it lies loose."""
    parts = name.split("/")
    deep = parts[0] == "studies" and len(parts) > 2
    return "/".join(parts[: 2 if deep else 1])


def imported(tree: ast.Module, modules: Mapping[str, str]) -> set[str]:
    """The modules of `lab` that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(modules)
            found |= inner or {node.module}
    return {name for name in found if name.startswith("lab.")}


def names_used_twice(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Public classes and functions at the top of several files, with these."""
    places = defaultdict(list)
    for name, tree in trees.items():
        if name.endswith("__init__.py"):
            continue
        in_tables = {value.id for value in table_values(tree) if isinstance(value, ast.Name)}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name] += [name] * (node.name not in in_tables)
    return {name: files for name, files in places.items() if len(files) > 1}


def table_values(tree: ast.Module) -> Iterator[ast.expr]:
    """The values of the dict literals that a file assigns at its top."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            yield from node.value.values


def lines_of_code(text: str) -> int:
    """The lines that are neither blank, comment nor docstring."""
    blank = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    found = set[int]()
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type not in blank:
            found |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        # A string that stands alone documents what it is under, or the field above it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(found)


def len_of_longest_chain(arrows: set[tuple[str, str]]) -> str:
    """How many rooms the longest chain of arrows passes; says so where arrows run in a circle."""
    below = defaultdict(set)
    for start, end in arrows:
        below[start].add(end)
    depth: dict[str, int] = {}

    def visit(start: str, above: tuple[str, ...]) -> int:
        if start in above:
            raise RecursionError
        if start not in depth:
            depth[start] = 1 + max((visit(end, (*above, start)) for end in below[start]), default=0)
        return depth[start]

    try:
        return str(max((visit(start, ()) for start in list(below)), default=0))
    except RecursionError:
        return "a circle"


if __name__ == "__main__":
    main()
