"""The user's own configuration files: they are found, listed and completed, and what is wrong has file and line."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

import lab.cli.train
from lab.cli.catalogue import names
from lab.cli.completion import candidates
from lab.cli.main import VERBS, main
from lab.records.places import Job

HEAD = "# @package _global_\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment, a model and a data set of the user's."""
    folder = tmp_path / "my conf, (1)=\u00fc'"
    for name, text in {
        "experiment/widths": HEAD + "# my question\nname: 2024_01_05\nhydra: {sweeper: {params: {seed: range(2)}}}\n",
        "model/small": "# a small net\ndepth: 5\n",
        "data/few": "name: synthetic\nlimit: 100\n",
        "primary": "name: 1e5\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAB_CONFIG_DIR", raising=False)
    return folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    jobs: list[Job] = []
    monkeypatch.setattr(lab.cli.train, "_start", lambda found, *_: jobs.extend(found) or 0)
    return jobs


def test_own_files_are_used(mine: Path, started: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["train", "--config-dir", str(mine), "experiment=widths", "model=small", "data=few"]) == 0
    (job,) = started
    assert (job.config.name, job.config.model.depth, job.config.data.limit) == ("2024_01_05", 5, 100)
    monkeypatch.setenv("LAB_CONFIG_DIR", str(mine))
    assert main(["train", "experiment=widths", "--multirun"]) == 0
    assert [job.config.seed for job in started[1:]] == [0, 1]
    assert main(["train", "--config-name", "primary"]) == 0
    assert started[-1].config.name == "1e5"


def test_own_files_are_listed_and_completed(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "models", "small", "--config-dir", str(mine)]) == 0
    assert capsys.readouterr().out == "small  a small net\n"
    assert names("experiments", mine)["widths"] == "my question"
    assert "few" in names("data", mine)
    assert "few" not in names("data")
    monkeypatch.setenv("LAB_CONFIG_DIR", str(mine))
    assert candidates(["train", "experiment=widt"], VERBS) == ["experiment=width_order", "experiment=widths"]
    assert main(["train", "experiment=widht"]) == 2
    assert "(did you mean 'widths'?)" in capsys.readouterr().err
    monkeypatch.setenv("LAB_CONFIG_DIR", "nowhere")
    assert main(["plan"]) == 2
    assert "LAB_CONFIG_DIR=nowhere is not a folder" in capsys.readouterr().err


def test_an_own_file_with_a_name_of_the_labs_is_refused(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "model" / "resnet.yaml").write_text("depth: 5\n")
    assert main(["plan", "--config-dir", str(mine)]) == 2
    assert "has the name of one of the lab's, model=resnet" in capsys.readouterr().err


WRONG: list[Any] = [
    pytest.param("name: a\nout: !!python/name:os.system x\n", 3, "the tag !!python/name:os.system", id="tag"),
    pytest.param("train:\n\tsteps: 2\n", 3, "a tab; YAML indents with spaces", id="tab"),
    pytest.param("train:\n  steps: 2\n  steps: 3\n", 4, "steps is there twice, first in line 3", id="doubled"),
    pytest.param("- a\n", 2, "a list or a single value", id="list"),
    pytest.param("3\n", 2, "a list or a single value", id="number"),
    pytest.param("name: x\ntrain:\n  stepss: 3\n", 4, "train.stepss is no key .*'train.steps'", id="unknown"),
    pytest.param("train.steps: 3\n", 2, "train.steps is no key .*write train: {", id="flat"),
    pytest.param("optimizer:\n  lr: fast\n", 3, "optimizer.lr=fast is not a number; allowed: above 0", id="type"),
    pytest.param("model: {widths: 3}\n", 2, "model.widths=3 is no list", id="no-list"),
    pytest.param("model: 3\n", 2, "model: allowed: keys with values", id="section"),
    pytest.param("study: {claims: 3}\n", 2, "study.claims=3 is no list", id="claims"),
    pytest.param('name: "a\\ud800"\n', 2, "holds a control character, or what is no text", id="surrogate"),
    pytest.param("name: a\0b\n", 2, "a control character", id="nul"),
    pytest.param("name: 'abc\n", 3, "no YAML", id="quote"),
    pytest.param("hydra: {launcher: x}\n", 2, "hydra.launcher: the lab starts its runs itself", id="launcher"),
    pytest.param("hydra: {sweeper: {params: {model.actt: a}}}\n", 2, "model.actt is no key", id="params"),
    pytest.param(
        "defaults:\n  - override /model: nope\n", 3, "defaults name model/nope; there are: all_conv", id="nope"
    ),
    pytest.param("defaults:\n  - override model: resnet\n", 3, "defaults: write override /model: ...", id="slash"),
    pytest.param("defaults:\n  - [1, 2]\n", 3, "defaults: allowed: one file each", id="two"),
    pytest.param("optimizer: {lr: '${oc.env:NO_SUCH}'}\n", 2, "optimizer.lr is not filled in", id="filled-in"),
    pytest.param("name: run_${seed}\n", 2, "no value may contain the seed", id="seed"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG)
def test_what_is_wrong_in_a_file_has_its_line(
    text: str, line: int, message: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = mine / "experiment" / "bad.yaml"
    path.write_text(HEAD + text)
    assert main(["plan", "--config-dir", str(mine), "experiment=bad"]) == 2
    err = capsys.readouterr().err
    assert re.search(f"^lab: {re.escape(str(path))}, line {line}: .*{message}", err)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (HEAD.encode(), "an empty file"),
        (b"name: x\n", "line 1: an experiment's file begins with the line '# @package _global_'"),
        (
            b"# mine\n# @package _global_\nname: x\n",
            "line 2: the line '# @package _global_' belongs above all other lines",
        ),
        (b"# @package model\ndepth: 3\n", "line 1: an experiment's file begins with"),
        ((HEAD + "name: \u00fc\n").encode("latin-1"), "line 2: the file is not UTF-8"),
        ((HEAD + "name: x\n").encode("utf-16"), "line 1: the file is UTF-16"),
        ((HEAD + "name: x\n").encode("utf-8-sig"), "line 1: the file begins with a byte-order sign"),
        ((HEAD + "defaults: [bad]\n").encode(), "defaults or values that lead back to themselves"),
    ],
    ids=["empty", "comment", "package", "late", "other-package", "latin", "utf-16", "bom", "loop"],
)
def test_a_file_of_another_form(content: bytes, message: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "experiment" / "bad.yaml").write_bytes(content)
    assert main(["plan", "--config-dir", str(mine), "experiment=bad"]) == 2
    assert re.search(f"{re.escape(os.sep)}bad.yaml.*{re.escape(message)}", capsys.readouterr().err)
