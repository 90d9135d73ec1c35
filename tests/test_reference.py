"""The arm that the others are compared with is the user's choice: typed to `lab train`, or to `lab compare`."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_runs import write_arms

import lab.cli.train
import lab.launch.sweep
import lab.overrides.plan
from lab.cli.main import main
from lab.errors import UserError
from lab.records.places import Job
from lab.studies.select.arms import DEFAULTS
from lab.studies.select.reference import check_reference

TWO = ["train", "model.act=relu,tanh"]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The runs that `lab train` would start, in an empty folder."""
    jobs: list[Job] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab.cli.train, "_start", lambda found, *_: jobs.extend(found) or 0)
    return jobs


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["study.reference={model.act:tanh}"], {"model.act": "tanh"}),
        (["+study.reference={model.act:tanh}"], {"model.act": "tanh"}),
        (["++study.reference={model.act: tanh}"], {"model.act": "tanh"}),
        (["study.reference={model.act:tanh,model.depth:3}"], {"model.act": "tanh", "model.depth": 3}),
        (["study.reference={model.depth:3}", "study.reference={model.act:tanh}"], {"model.act": "tanh"}),
        (["study.reference={model.widths:[4,8]}"], {"model.widths": [4, 8]}),
        (["experiment=xavier_vs_he"], {"model.init": "xavier_normal"}),
        (["experiment=xavier_vs_he", "study.reference={model.depth:30}"], {"model.depth": 30}),
        (["study.reference={model.depth:30}", "experiment=xavier_vs_he"], {"model.depth": 30}),
        (["experiment=xavier_vs_he", "study.reference={}"], {}),
        (["experiment=xavier_vs_he", "study.reference=null"], {}),
        ([], {}),
    ],
)
@pytest.mark.slow
def test_what_is_typed_replaces_the_reference(words: list[str], found: dict[str, Any], started: list[Job]) -> None:
    assert main(["train", "seed=0", *words]) == 0
    assert started
    assert all(job.config.study.reference == found for job in started)


def test_a_run_can_be_repeated_from_its_overrides(started: list[Job]) -> None:
    assert main(["train", "experiment=xavier_vs_he", "seed=0", "study.reference={model.depth:30}"]) == 0
    job = lab.overrides.plan.one_job("train", started[0].overrides)
    assert job.config.study.reference == {"model.depth": 30}
    assert job.folder == started[0].folder


def test_bash_needs_no_quotes_for_one_key() -> None:
    command = f"{sys.executable} -m lab train experiment=xavier_vs_he study.reference={{model.depth:30}} --cfg job"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert yaml.safe_load(shown.stdout)["study"]["reference"] == {"model.depth": 30}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study.reference={model.act:tan}"], r"act=tan picks no arm.*takes: relu, tanh \(did you mean 'tanh'\?\)"),
        (["study.reference={model.act:tan}"], r"\(study.reference=\{\} takes the first arm\)$"),
        (["study.reference={model.depth:9}"], "depth=9 picks no arm of the sweep; model.depth takes: 3"),
        (
            ["model.depth=3,4", "model.draw=0", "study.reference={model.ac:tanh}"],
            r"model.ac is no key of the configuration \(did you mean 'model.act'\?\); .*in: model.depth, model.act$",
        ),
        (["study.reference={seed:1}"], "the study's reference: seed makes no arms; the arms differ in: model.act"),
        (["study.reference=tanh"], "study.reference=tanh: allowed: keys with values, in quotes, as 'study.reference={"),
        # What bash makes of two keys without quotes.
        (["study.reference=model.act:tanh", "study.reference=model.depth:3"], "=model.depth:3: allowed: keys with"),
        (["+study.reference.model.act=tanh"], "give a reference as a whole, as 'study.reference={model.act:tanh}'"),
        (["study.refrence={model.act:tanh}"], r"study.refrence is no key.*did you mean 'study.reference'"),
        (["study.reference={model.act:relu},{model.act:tanh}"], "all runs of a sweep have one study.reference$"),
    ],
)
def test_a_reference_that_no_arm_has_is_told_before_the_first_run(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab.launch.sweep, "train_runs", lambda *_: pytest.fail("it trains"))
    assert main([*TWO, *words]) == 2
    error = re.sub("^note: .*\n", "", capsys.readouterr().err)
    assert error.startswith(("lab: study.", "lab: the study's reference: "))
    assert re.search(message, " ".join(error.split()))
    assert not list(tmp_path.iterdir())


def test_values_that_no_arm_has_together() -> None:
    arms = [{**DEFAULTS, "model.act": act, "model.depth": depth} for act, depth in (("relu", 3), ("tanh", 4))]
    check_reference({"model.act": "tanh", "model.depth": "4"}, arms)
    with pytest.raises(UserError, match=r"act=relu depth=4 picks no arm .*each of its values has arms, but none has"):
        check_reference({"model.act": "relu", "model.depth": 4}, arms)


def test_a_single_run_may_name_an_arm_that_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab.cli.train, "_run_alone", lambda *_: 0)
    assert main(["train", "study.reference={model.act:tanh}"]) == 0
    assert main(["train", "study.reference={model.ac:tanh}"]) == 2
    assert "model.ac is no key of the configuration (did you mean 'model.act'?)" in capsys.readouterr().err


@pytest.fixture
def acts(tmp_path: Path) -> Path:
    """Runs of three activations at two depths; the study's own reference is relu."""
    for depth in (3, 4):
        scores = {"relu": [0.5, 0.6], "tanh": [0.7, 0.8], "gelu": [0.8, 0.9]}
        for run in write_arms(tmp_path, "model.act", scores, config={"model.depth": depth}):
            path = run.path / "result.json"
            result = json.loads(path.read_text())
            path.write_text(json.dumps({**result, "arm": {**result["arm"], "model.depth": depth}}))
            study = {"reference": {"model.act": "relu"}, "claims": [], "metric": "val/accuracy"}
            (run.path / "config.yaml").write_text(yaml.safe_dump({"study": study}))
    return tmp_path


def compared(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `lab compare` prints as JSON."""
    assert main(["compare", str(folder), *words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("page.write_report", "publish.write_mean_runs", "publish.write_board"):
        monkeypatch.setattr(f"lab.studies.report.{name}", lambda *_: None)


@pytest.mark.usefixtures("undrawn")
def test_compare_takes_another_reference(acts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = compared(acts, capsys)
    assert own["reference"] == "act=relu"
    assert {arm["label"] for arm in own["arms"] if arm["is_reference"]} == {"act=relu depth=3", "act=relu depth=4"}
    other = compared(acts, capsys, "--reference", "model.act=tanh")
    assert other["reference"] == "act=tanh"
    assert {arm["label"] for arm in other["arms"] if arm["is_reference"]} == {"act=tanh depth=3", "act=tanh depth=4"}
    assert {arm["label"]: arm["difference"]["value"] for arm in other["arms"] if arm["difference"]} == {
        label: pytest.approx(value)
        for depth in (3, 4)
        for label, value in ((f"act=relu depth={depth}", -0.2), (f"act=gelu depth={depth}", 0.1))
    }
    one = compared(acts, capsys, "--reference", "model.act=gelu", "model.depth=4")
    assert [arm["label"] for arm in one["arms"] if arm["is_reference"]] == ["act=gelu depth=4"]
    part = compared(acts, capsys, "--where", "model.depth=3", "--reference", "model.act=gelu")
    assert part["reference"] == "act=gelu"
    grouped = compared(acts, capsys, "--by", "model.depth", "--reference", "model.depth=4")
    assert grouped["reference"] == "depth=4"
    # Nothing of it stays.
    assert compared(acts, capsys) == own


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.act=tan"], r"--reference: act=tan picks no arm.*takes: gelu, relu, tanh \(did you mean 'tanh'\?\)"),
        (["model.ac=tanh"], r"--reference: model.ac is no key.*'model.act'\?\); the arms differ in: .*model.act"),
        (["seed=0"], "--reference: seed makes no arms; the arms differ in: "),
        (["tanh"], "--reference tanh: write KEY=VALUE"),
        (["model.act=tanh", "--where", "model.act=relu"], "--reference: act=tanh picks no arm.*takes: relu"),
        (["model.depth=4", "--by", "model.act"], "--reference: model.depth makes no arms; .*differ in: model.act$"),
    ],
)
def test_compare_refuses_a_reference_that_no_arm_has(
    words: list[str], message: str, acts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(acts), "--reference", *words]) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))
