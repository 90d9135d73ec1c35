"""Nothing that the lab reads back can run code."""

import ast
import os
from pathlib import Path

import pytest
import torch
import yaml
from conftest import MakeJob
from PIL import Image

import lab.cli.catalogue
from lab.data.folder import read_folder
from lab.runs.predict import load_net
from lab.runs.run import run
from lab.training.checkpoint import load_checkpoint

LAB = Path(lab.cli.catalogue.__file__).parent
FILES = {path.relative_to(LAB).as_posix(): path for path in sorted(LAB.rglob("*.py"))}

MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle", "runpy", "code"}
CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE = {("yaml", name) for name in ("load", "load_all", "full_load", "unsafe_load", "full_load_all")}
UNSAFE |= {("os", "system"), ("os", "popen"), ("torch.jit", "load")}


def faults(source: str) -> list[str]:
    """What in `source` could run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [name for name in names if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            found.append(node.func.id)
        if isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            flags = {word.arg: ast.unparse(word.value) for word in node.keywords}
            found += [f"{owner}.{name}"] * ((owner, name) in UNSAFE)
            found += ["torch.load"] * ((owner, name) == ("torch", "load") and flags.get("weights_only") != "True")
            found += ["np.load"] * (
                name == "load" and owner in ("np", "numpy") and flags.get("allow_pickle") != "False"
            )
            found += ["shell=True"] * (flags.get("shell") == "True")
    return found


@pytest.mark.parametrize("name", FILES)
def test_no_file_reads_what_could_run(name: str) -> None:
    assert faults(FILES[name].read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, yaml.Loader)",
        "import pickle",
        "eval(a)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert len(faults(source)) == 1


class Bomb:
    """What touches a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"model": Bomb(tmp_path / "harm")}, tmp_path / "checkpoint.pt")
    torch.save({"model": Bomb(tmp_path / "harm")}, tmp_path / "checkpoint.prev.pt")
    with pytest.warns(UserWarning, match="is damaged"):
        assert load_checkpoint(tmp_path / "checkpoint.pt", torch.device("cpu")) is None
    assert not (tmp_path / "harm").exists()


def test_the_cache_of_decoded_pictures_cannot(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "train" / name / "0.png")
    images, *_ = read_folder(tmp_path)
    (cache,) = (tmp_path / ".lab-cache").iterdir()
    torch.save(Bomb(tmp_path / "harm"), cache)
    with pytest.warns(UserWarning, match="is damaged"):
        assert torch.equal(read_folder(tmp_path)[0], images)
    assert not (tmp_path / "harm").exists()


def test_the_configuration_of_a_run_cannot(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job()
    run(job)
    harm = f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'harm'}']\n"
    (job.folder / "config.yaml").write_text(harm)
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        load_net(job.folder, torch.device("cpu"))
    assert not (tmp_path / "harm").exists()
