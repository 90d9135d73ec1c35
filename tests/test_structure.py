"""The order of the house, and the lines of its catalogue."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab.cli.catalogue
import lab.tables

LAB = Path(lab.__file__).parent
FILES = {path.relative_to(LAB).as_posix(): path for path in sorted(LAB.rglob("*.py"))}

FLOORS = (  # lowest first; a room imports from floors below its own, and from itself
    ("errors", "knob", "literals", "quantity", "surface", "tables"),
    ("config", "ranges"),
    ("identity", "validation"),
    ("metric", "space"),
    ("system",),
    ("training",),
    ("data", "nets", "records"),
    ("runs", "studies"),
    ("checks", "overrides"),
    ("launch",),
    ("api",),
    ("cli",),
)
STUDIES = ("select", "statistics", "claims", "comparison", "figures", "report", "notebook")
"""The floors inside `studies`, lowest first."""

DOORS = ("__init__", "__main__")
"""Files of `lab/` itself that are no room: the package, whose version anybody may import, and `python -m lab`."""

WITHOUT_TORCH = (
    *(
        "errors",
        "knob",
        "literals",
        "quantity",
        "surface",
        "tables",
        "config",
        "ranges",
        "identity",
        "validation",
        "metric",
        "space",
    ),
    *("records", "studies", "overrides", "launch", "cli"),
)


def rooms(file: str) -> tuple[str, str]:
    """Room and room within of a file of `lab/`, or of a module: `studies/claims/verdict.py` is (studies, claims)."""
    parts = file.removesuffix(".py").split("/")
    return parts[0], parts[1] if len(parts) > 1 else ""


def floor(room: str) -> int:
    return next(number for number, there in enumerate(FLOORS) if room in there)


def imports(path: Path) -> Iterator[str]:
    """What a file imports, anywhere in it, `from lab import x` as `lab.x`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name != "lab")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            assert node.module is not None
            yield from ([f"lab.{alias.name}" for alias in node.names] if node.module == "lab" else [node.module])


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_every_file_has_its_floor() -> None:
    known = {room for there in FLOORS for room in there}
    assert {rooms(name)[0] for name in FILES} - set(DOORS) == known
    assert {rooms(name)[1] for name in FILES if name.startswith("studies/")} == {*STUDIES, "__init__"}


@pytest.mark.parametrize("name", [name for name in FILES if rooms(name)[0] not in DOORS])
def test_imports_point_down(name: str) -> None:
    room, inner = rooms(name)
    found = {module for module in imports(FILES[name]) if within(module, ("lab",))}
    for module in found - {"lab.__version__"}:
        other, other_inner = rooms(module.removeprefix("lab.").replace(".", "/"))
        if other != room:
            assert floor(other) < floor(room), f"{name} imports {module}, which is not below it"
        elif room == "studies" and inner != other_inner and inner in STUDIES:
            assert STUDIES.index(other_inner) < STUDIES.index(inner), f"{name} imports {module}, which is not below it"


@pytest.mark.parametrize("name", FILES)
def test_libraries_are_imported_where_they_belong(name: str) -> None:
    found = set(imports(FILES[name]))
    if rooms(name)[0] in WITHOUT_TORCH:
        assert not any(within(module, ("torch", "torchvision")) for module in found)
    if rooms(name)[0] != "overrides":
        assert not any(within(module, ("hydra", "omegaconf")) for module in found)
    if name != "system/vision.py":
        assert not any(within(module, ("torchvision",)) for module in found)


PRINTERS = {"system/reporter.py", "system/streams.py", "runs/progress.py"}
"""Files below the command line that print; all others tell `lab.system.reporter`."""


def test_nothing_below_the_command_line_prints_or_exits() -> None:
    found = set()
    for name, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if rooms(name)[0] not in ("cli", "__main__") and called in ("print", "sys.exit", "exit", "quit"):
                found.add(name)
    assert found == PRINTERS


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("/__init__.py")])
def test_every_folder_says_what_never_lives_there(name: str) -> None:
    tree = ast.parse(FILES[name].read_text())
    assert "never" in (ast.get_docstring(tree) or "").lower()
    rest = tree.body[1:]
    assert all(isinstance(node, ast.FunctionDef) for node in rest), "nothing but a docstring, and functions"
    assert not rest or name == "studies/__init__.py", "one folder has something for notebooks"


@pytest.mark.parametrize(
    "module", ["lab", "lab.api.calls", "lab.cli.main", "lab.cli.catalogue", "lab.validation", "lab.studies"]
)
def test_an_import_is_light(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'hydra', 'omegaconf', 'sklearn', 'scipy', 'matplotlib', 'tensorboard', 'pandas'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LAB.parent)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", lab.tables.TABLES)
def test_every_name_has_its_line(kind: str) -> None:
    file, table = lab.tables.TABLES[kind]
    module = importlib.import_module(f"lab.{file.removesuffix('.py').replace('/', '.')}")
    lines = lab.cli.catalogue.names(kind)
    assert list(lines) == list(getattr(module, table))
    for name, line in lines.items():
        assert 3 < len(line) <= 120, f"{name}: {line}"
        assert line.endswith("."), f"{name}: {line}"


@pytest.mark.parametrize("kind", ["experiments", "models"])
def test_every_file_has_its_line(kind: str) -> None:
    assert all(3 < len(line) <= 120 for line in lab.cli.catalogue.names(kind).values())


def rows(heading: str) -> list[list[str]]:
    """The table below a heading of CONTRIBUTING.md, without its head: the cells of each row."""
    text = (LAB.parent / "CONTRIBUTING.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_pages_name_the_floors_in_their_order() -> None:
    house = [(int(number), re.sub(r"`(\w+)(/|\.py)`", r"\1", room)) for number, room, _ in rows("The house")]
    assert house == [(n, room) for n, there in reversed([*enumerate(FLOORS, 1)]) for room in there]
    story = re.findall(r"^    ((?:\w+, )*\w+)  ", lab.__doc__ or "", re.MULTILINE)
    assert [tuple(line.split(", ")) for line in story] == list(reversed(FLOORS))


def test_the_order_inside_studies_is_told() -> None:
    text = (LAB.parent / "CONTRIBUTING.md").read_text()
    sentence = text.split("Inside `studies` the order is, lowest first,")[1].split(". The")[0]
    assert tuple(re.findall(r"`(\w+)`", sentence)) == STUDIES


def defined(path: Path) -> set[str]:
    """Names of functions, classes and constants of a file, and of the methods of its classes as `Class.method`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_the_ten_answers_name_what_there_is() -> None:
    questions = rows("Ten questions")
    assert len(questions) == 10
    for _, answer in questions:
        pairs = re.findall(r"((?:(?!\]\().)*)\[[\w/.]+\]\(([\w/.]+\.py)\)", answer)
        assert pairs, answer
        for words, file in pairs:
            named = {name for name in re.findall(r"`(\w+(?:\.\w+)?)`", words) if name != "result.json"}
            assert named <= defined(LAB.parent / file), f"{file} has no {named - defined(LAB.parent / file)}"


def test_where_to_add_names_files_and_tables_that_there_are() -> None:
    for cells in rows("Where to add what"):
        text = " ".join(cells[1:])
        files = re.findall(r"`(lab/[\w/.]*)`", text)
        assert all((LAB.parent / file).exists() for file in files), text
        names = set().union(*(defined(LAB.parent / file) for file in files if file.endswith(".py")))
        assert set(re.findall(r"`([A-Z]{3,})`", text)) <= names, text
