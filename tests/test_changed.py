"""Defaults and a user's own code change between commands: finished runs are not reused in silence, nothing is lost."""

import json
import sys
from pathlib import Path

import pytest

from lab.cli.main import main
from lab.records.code import own_code, source_hash
from lab.records.results import find_runs

QUICK = ["train.steps=2", "train.eval_limit=50", "data.limit=200", "jobs=1", "name=x"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    source_hash.cache_clear()


def made_when(key: str, value: object) -> None:
    """Lets all runs look as if the default of `key` had been `value` when they were made."""
    for path in Path("outputs/x").glob("*/*/result.json"):
        result = json.loads(path.read_text())
        result["config"][key] = value
        path.write_text(json.dumps(result))


@pytest.mark.slow
@pytest.mark.parametrize("words", [["model.act=relu,tanh"], ["seed=0"]], ids=["sweep", "single run"])
def test_runs_of_other_defaults_are_trained_anew_and_stay(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, *words]) == 0
    made_when("optimizer.lr", 0.5)
    before = {path: path.read_bytes() for path in Path("outputs/x").rglob("result.json")}
    capsys.readouterr()
    assert main(["train", *QUICK, *words]) == 0
    said = capsys.readouterr().err
    assert "was made with other defaults, optimizer.lr=0.5 (now " in said
    assert "it stays, and" in said
    assert all(path.read_bytes() == text for path, text in before.items())
    runs = find_runs([Path("outputs/x")])
    assert len(runs) == len({run.arm_id for run in runs}) == 2 * len(before)
    assert main(["train", *QUICK, *words]) == 0  # the new ones are found again
    assert len(find_runs([Path("outputs/x")])) == len(runs)


@pytest.mark.slow
def test_a_knob_that_is_younger_than_a_run_is_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, "model.act=relu,tanh"]) == 0
    for path in Path("outputs/x").glob("*/*/result.json"):
        result = json.loads(path.read_text())
        del result["config"]["model.draw"]
        result["config"]["model.of_old"] = 3
        path.write_text(json.dumps(result))
    capsys.readouterr()
    assert main(["train", *QUICK, "model.act=relu,tanh"]) == 0
    printed = capsys.readouterr()
    assert "2 finished already, 0 to do" in printed.out
    assert "other defaults" not in printed.err


def test_changed_code_of_the_users_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    net = Path("my_act_changed.py")
    net.write_text("from torch import nn\n\nact = nn.ReLU\n")
    words = ["train", *QUICK, "model.act=my_act_changed:act"]
    assert main(words) == 0
    (run,) = find_runs([Path("outputs/x")])
    assert list(run.result["code"]) == ["my_act_changed"]
    assert main(words) == 0
    assert "the code of" not in capsys.readouterr().err
    net.write_text("from torch import nn\n\nact = nn.Tanh\n")
    source_hash.cache_clear()
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "the code of my_act_changed changed since 1 run ended" in said
    assert "force=true" in said


def test_a_package_is_one_piece_and_a_lone_module_its_file() -> None:
    Path("own").mkdir()
    Path("own/__init__.py").write_text("")
    Path("own/nets.py").write_text("from own.parts import part\n")
    Path("own/parts.py").write_text("part = 1\n")
    before = own_code({"model.name": "own.nets:Net", "train.loss": "cross_entropy"})
    assert list(before) == ["own.nets"]
    Path("own/parts.py").write_text("part = 2\n")
    source_hash.cache_clear()
    assert own_code({"model.name": "own.nets:Net"}) != before
    assert "own" not in sys.modules, "nothing of the user's is run"


@pytest.mark.parametrize("config", [{"data.root": "c:x"}, {"model.act": "nowhere:act"}, {"model.depth": 3}])
def test_what_is_no_code_has_no_hash(config: dict[str, object]) -> None:
    assert own_code(config) == {}


def test_words_of_a_recipe_and_installed_packages_are_found() -> None:
    assert list(own_code({"model.block": "conv-torch.nn:GELU-pool"})) == ["torch.nn"]
