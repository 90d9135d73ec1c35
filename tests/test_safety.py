"""Nothing that the lab reads back can run code."""

import ast
import os
from pathlib import Path

import pytest
import torch
from conftest import MakeJob
from PIL import Image

import lab.cli.catalogue
from lab.config import RunConfig
from lab.data.folder import read_folder
from lab.errors import UserError
from lab.records.places import inside
from lab.records.write import write_atomically
from lab.runs.predict import Disturbance, load_net, predict
from lab.runs.run import run
from lab.training.checkpoint import load_checkpoint
from lab.validation import validate

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
    with pytest.raises(UserError, match=r"config\.yaml is damaged \(ConstructorError\)"):
        load_net(job.folder, torch.device("cpu"), trusted=True)
    assert not (tmp_path / "harm").exists()


# Links, names and other people's runs


@pytest.mark.parametrize("name", ["result.json", "result.json.tmp"])
def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / name).symlink_to(tmp_path / "mine.txt")
    write_atomically(tmp_path / "result.json", b"{}")
    assert (tmp_path / "mine.txt").read_text() == "precious"
    assert (tmp_path / "result.json").read_bytes() == b"{}"
    assert not (tmp_path / "result.json").is_symlink()


@pytest.mark.parametrize("link", ["_mean", "_study", "_mean/act=relu-01234567", "_study/act=relu-01234567"])
def test_no_folder_is_emptied_through_a_link(tmp_path: Path, link: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "act=relu-01234567").mkdir(parents=True)
    precious = [outside / "events.out.tfevents.1", outside / "act=relu-01234567/events.out.tfevents.1"]
    for file in precious:
        file.write_bytes(b"precious")
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    home, *rest = link.split("/")
    with pytest.raises(UserError, match="is a link, which the lab does not write through"):
        inside(root, home, *(rest or ["act=relu-01234567"]))
    assert all(file.read_bytes() == b"precious" for file in precious)


@pytest.mark.parametrize("name", ["..", "", ".", "a/b"])
def test_no_name_leads_out_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a folder within"):
        inside(tmp_path, "_mean", name)


@pytest.mark.parametrize("name", ["..", "/abs", "a/../../b", "", "../x", "\\x", "."])
def test_results_stay_within_out(name: str) -> None:
    with pytest.raises(UserError, match=r"name=.* is out of range; allowed: a folder within out=outputs"):
        validate(RunConfig(name=name))


@pytest.mark.parametrize("name", ["a", "a/b", "a..b", ".hidden", "é (1) #2"])
def test_other_names_are_taken(name: str) -> None:
    validate(RunConfig(name=name))


def test_predicting_runs_no_code_of_a_run_unasked(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(changes={"model.name": "own_parts:whole_net", "train.steps": 2})
    run(job)
    plain = Disturbance(0, 0)
    with pytest.raises(
        UserError, match=r"names code .*model\.name=own_parts:whole_net; where you trust it, add --own-parts"
    ):
        predict(job.folder, 1, plain, None, "cpu", tmp_path / "rows.csv")
    assert "test images" in predict(job.folder, 1, plain, None, "cpu", tmp_path / "rows.csv", trusted=True)
