"""An experiment narrowed on the command line: claims about arms left out are not asked, and stay registered."""

import json
import re
from pathlib import Path

import pytest
from fake_tuning import Fake, fake_training

import lab.launch.sweep
from lab.cli.main import main

EXPERIMENT = """# @package _global_
# Which norm?
name: norms
optimizer: {name: sgd, lr: 0.05}
hydra:
  mode: MULTIRUN
  sweeper: {params: {model.norm: "none,batch,layer", model.depth: "3,5", seed: "range(0,3)"}}
study:
  question: Which norm?
  metric: val/accuracy
  reference: {model.norm: none}
  claims:
    - {say: batch beats none, higher: {model.norm: batch}, than: {model.norm: none}}
    - {say: batch beats layer, higher: {model.norm: batch}, than: {model.norm: layer}}
    - {say: deeper is better, higher: {model.depth: 5}, than: {model.depth: 3}}
"""
NAMED = """# @package _global_
# Which of these?
name: named
optimizer: {name: sgd, lr: 0.05}
hydra:
  mode: MULTIRUN
  sweeper: {params: {seed: "range(0,3)"}}
study:
  question: Which of these?
  metric: val/accuracy
  arms: {bare: {model.norm: none}, normed: {model.norm: batch}, layered: {model.norm: layer}}
  reference: bare
  claims:
    - {say: normed beats bare, higher: normed, than: bare}
    - {say: layered beats bare, higher: layered, than: bare}
"""
NOT_ASKED = "not asked by this command, which leaves out their arms: "


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "norms.yaml").write_text(EXPERIMENT)
    (folder / "named.yaml").write_text(NAMED)
    monkeypatch.setenv("LAB_CONFIG_DIR", str(tmp_path / "mine"))
    return fake_training(tmp_path, monkeypatch)


def says(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The claims that the command said it leaves out, of the one line that does."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not asked")]
    assert len(lines) < 2
    return re.findall(r"'([^']+)'", lines[0]) if lines else []


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], []),
        (["seed=0"], []),
        (["model.norm=none,batch"], ["batch beats layer"]),
        (["model.norm=batch"], ["batch beats none", "batch beats layer"]),
        (["model.norm=batch", "model.depth=5"], ["batch beats none", "batch beats layer", "deeper is better"]),
        (["model.depth=3"], ["deeper is better"]),
        (["model.depth=4,6"], ["deeper is better"]),
        (["study.exclude=[{model.norm: layer}]"], ["batch beats layer"]),
        (["study.arms={small: {model.norm: none}, big: {model.norm: batch}}", "model.norm=null"], None),
    ],
)
def test_claims_about_arms_that_are_left_out_are_not_asked(
    words: list[str], left: list[str] | None, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["train", "experiment=norms", *words])
    if left is None:
        assert code == 2
        return
    assert code == 0
    assert says(capsys) == left
    kept = json.loads(Path("outputs/norms/study.json").read_text())["claims"]
    assert [claim["say"] for claim in kept] == ["batch beats none", "batch beats layer", "deeper is better"]
    assert main(["plan", "experiment=norms", *words]) == 0
    out, err = capsys.readouterr()
    assert err.count(NOT_ASKED) == bool(left)
    assert [say for say in left if f": {say}" in out] == []


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["arm=bare,normed"], ["layered beats bare"]),
        (["arm=normed"], ["normed beats bare", "layered beats bare"]),
        (["study.arms={bare: {model.norm: none}, normed: {model.norm: batch}}"], ["layered beats bare"]),
    ],
)
def test_so_are_claims_about_named_arms(
    words: list[str], left: list[str], fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "experiment=named", *words]) == 0
    assert says(capsys) == left


def test_the_reference_may_be_left_out_too(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=norms", "model.norm=batch,layer"]) == 0
    assert (
        "the reference, model.norm=none, is none of these arms; the first one takes its place"
        in capsys.readouterr().err
    )


def test_a_part_leaves_the_record_of_the_whole_as_it_is(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=norms", "model.norm=batch"]) == 0
    first = json.loads(Path("outputs/norms/study.json").read_text())
    capsys.readouterr()
    assert main(["train", "experiment=norms"]) == 0
    out, err = capsys.readouterr()
    assert NOT_ASKED not in err
    assert "registered" not in out + err
    assert "changed" not in out
    second = json.loads(Path("outputs/norms/study.json").read_text())
    assert second["claims"] == first["claims"]
    assert all("claims" not in later for later in second["later"])
    judged = json.loads(json.dumps([line for line in out.splitlines() if "batch beats layer" in line]))
    assert judged
    assert len(fake.trained) == 3 * 2 * 3
    # A part of an experiment that is there has verdicts on all of its runs.
    assert main(["train", "experiment=norms", "model.norm=batch", "seeds=+1"]) == 0


@pytest.mark.parametrize("words", [[], ["model.norm=none,batch"], ["model.norm=batch"], ["model.depth=3"]])
@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("than: {model.norm: layer}", "than: {model.norm: leyer}", "did you mean 'layer'?"),
        ("than: {model.norm: layer}", "than: {model.nrom: layer}", "did you mean 'model.norm'?"),
        ("reference: {model.norm: none}", "reference: {model.norm: nine}", "did you mean 'none'?"),
        ("say: deeper is better,", "say: deeper is better, metric: val/acuracy,", "val/acuracy"),
    ],
)
def test_a_mistyped_claim_is_still_an_error(
    words: list[str], good: str, bad: str, message: str, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("mine/experiment/norms.yaml")
    path.write_text(EXPERIMENT.replace(good, bad))
    assert main(["train", "experiment=norms", *words]) == 2
    assert message in capsys.readouterr().err
    assert fake.trained == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["model.norm=batch", "study.claims=[{say: c, higher: {model.norm: batch}, than: {model.norm: none}}]"],
            "picks no",
        ),
        (["model.norm=batch,layer", "study.reference={model.norm: none}"], "picks no arm"),
        (["model.norm=batch", "seeds=auto"], "seeds=auto decides all claims of an experiment, and this command leaves"),
    ],
)
def test_what_is_typed_is_about_the_arms_of_the_command(
    words: list[str], message: str, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "experiment=norms", *words]) == 2
    assert message in capsys.readouterr().err
    assert fake.trained == []
    assert lab.launch.sweep.train_runs is fake
