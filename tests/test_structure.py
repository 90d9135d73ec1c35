"""The arrows between the parts of the house, and the lines of its catalogue."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab.catalogue

LAB = Path(lab.catalogue.__file__).parent
FILES = {path.relative_to(LAB).as_posix(): path for path in sorted(LAB.rglob("*.py"))}

MAY_IMPORT = {  # of lab, besides themselves
    "config.py": (),
    "deferred.py": (),
    "direction.py": (),
    "machine.py": (),
    "progress.py": (),
    "vision.py": (),
    "catalogue.py": ("lab.config",),
    "data": ("lab.config", "lab.vision"),
    "nets": ("lab.config", "lab.vision"),
    "training": ("lab.config", "lab.direction"),
    "records": ("lab.config", "lab.direction", "lab.__version__", "lab.__file__"),
    "studies": ("lab.config", "lab.direction", "lab.machine", "lab.records"),
    "checks": ("lab.config", "lab.nets"),
}

WITHOUT_TORCH = {"studies", "records", "app.py", "catalogue.py", "cli.py", "config.py"}
WITHOUT_TORCH |= {"pool.py", "sweep.py", "worker.py"}


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


@pytest.mark.parametrize("name", FILES)
def test_arrows_run_one_way(name: str) -> None:
    found = set(imports(FILES[name]))
    part = name.split("/")[0]
    if part in MAY_IMPORT:
        allowed = (*MAY_IMPORT[part], f"lab.{part}")
        assert {module for module in found if within(module, ("lab",)) and not within(module, allowed)} == set()
    if part in WITHOUT_TORCH:
        assert not any(within(module, ("torch", "torchvision")) for module in found)
    if name != "app.py":
        assert not any(within(module, ("hydra", "omegaconf")) for module in found)
    if name != "vision.py":
        assert not any(within(module, ("torchvision",)) for module in found)


@pytest.mark.parametrize("name", [name for name in FILES if name.count("/") == 1 and name.endswith("__init__.py")])
def test_every_folder_says_what_never_lives_there(name: str) -> None:
    tree = ast.parse(FILES[name].read_text())
    assert "never" in (ast.get_docstring(tree) or "").lower()
    rest = tree.body[1:]
    assert all(isinstance(node, ast.FunctionDef) for node in rest), "nothing but a docstring, and functions"
    assert not rest or name == "studies/__init__.py", "one folder has something for notebooks"


@pytest.mark.parametrize("module", ["lab", "lab.cli", "lab.catalogue", "lab.config", "lab.studies"])
def test_an_import_is_light(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'hydra', 'omegaconf', 'sklearn', 'scipy', 'matplotlib', 'tensorboard', 'pandas'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LAB.parent)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", lab.catalogue.TABLES)
def test_every_name_has_its_line(kind: str) -> None:
    file, table = lab.catalogue.TABLES[kind]
    module = importlib.import_module(f"lab.{file.removesuffix('.py').replace('/', '.')}")
    lines = lab.catalogue.names(kind)
    assert list(lines) == list(getattr(module, table))
    for name, line in lines.items():
        assert 3 < len(line) <= 120, f"{name}: {line}"
        assert line.endswith("."), f"{name}: {line}"


@pytest.mark.parametrize("kind", ["experiments", "models"])
def test_every_file_has_its_line(kind: str) -> None:
    assert all(3 < len(line) <= 120 for line in lab.catalogue.names(kind).values())
