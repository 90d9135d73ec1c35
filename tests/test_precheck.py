"""What is said of a comparison before its first run."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_runs import write_run

from lab.checks.precheck import examine
from lab.checks.prospects import best_p
from lab.cli.main import main
from lab.config import StudyConfig
from lab.identity import flatten
from lab.launch.prelude import claims_ahead
from lab.launch.worker import check
from lab.metric import parse_metric
from lab.overrides.plan import all_jobs
from lab.records.checked import Remark, read_checked
from lab.records.places import Job
from lab.studies.claims.claim import parse_claim
from lab.studies.claims.study import parse_study

SMALL = ["model.widths=[8]", "model.depth=3", "data.limit=200", "train.device=cpu", "train.threads=1"]
SHORT = [*SMALL, "train.steps=2", "train.batch_size=20", "train.eval_limit=20", "train.pictures=0", "jobs=1"]


def jobs(*words: str) -> list[Job]:
    return [job for batch in all_jobs("lint", [*SMALL, *words]) for job in batch]


def said(*words: str) -> dict[str, list[str]]:
    """The texts about the arms of a sweep, by code."""
    found: dict[str, list[str]] = {}
    for one in examined(jobs(*words)):
        found.setdefault(one.code, []).append(one.text)
    return found


def prospects(found: list[Job]) -> list[Remark]:
    return claims_ahead(found, parse_study(found[0].config.study))


def ahead(*words: str) -> list[str]:
    return [f"{one.code}: {one.text}" for one in prospects(jobs(*words))]


def examined(found: list[Job]) -> list[Remark]:
    return examine(found, parse_study(found[0].config.study))


def claim(**parts: Any) -> str:
    return f"study.claims={json.dumps([{'say': 'it', **parts}])}"


RELU, TANH = {"model.act": "relu"}, {"model.act": "tanh"}


def test_arms_that_are_one_function_are_named_with_the_reason_and_where() -> None:
    (text,) = said("model.block=conv-act-pool,conv-pool-act", "model.act=relu,tanh,gelu")["arms-same"]
    assert text == (
        "model.block=conv-act-pool and model.block=conv-pool-act where model.act=relu or tanh are one function (max "
        "pooling and an activation that never decreases commute): they differ in speed and rounding alone"
    )
    assert "arms-same" not in said("model.block=conv-act-pool,conv-pool-act", "model.act=gelu", "model.pool=max,avg")


def test_other_optimizers_or_starts_are_no_reason_to_call_arms_one() -> None:
    assert "arms-same" not in said("optimizer=sgd,adam")
    assert "arms-same" not in said("model.init=he_normal,xavier_normal")


def test_layer_order_and_its_claims_are_recognised() -> None:
    found = {
        one.code for one in examined([job for batch in all_jobs("lint", ["experiment=layer_order"]) for job in batch])
    }
    assert {"arms-same", "claim-same"} <= found


def test_an_init_behind_norms_is_told_where_it_is_behind_norms() -> None:
    (text,) = said("model.block=conv-norm-act", "model.norm=batch,none", "model.init=he_normal,xavier_normal")[
        "arms-init"
    ]
    assert text == (
        "model.init where model.norm=batch acts as a learning rate only: a norm follows every layer but the last"
    )
    assert "arms-init" not in said("model.block=conv-act-norm", "model.init=he_normal,xavier_normal")
    assert "arms-init" not in said("model.block=conv-norm-act", "model.act=relu,tanh")


def test_what_arms_also_differ_in() -> None:
    (text,) = said("model.depth=3,5")["arms-differ"]
    assert text.startswith("arms of model.depth also differ in parameters (")
    assert "multiply-adds" in text
    assert "optimizer.lr (0.05, 0.001)" in said("optimizer=sgd,adam")["arms-differ"][0]
    assert "arms-differ" not in said("model.act=relu,tanh")


def test_one_rate_for_arms_of_different_scales() -> None:
    apart = ["optimizer=sgd", "model.init=he_normal,normal", "model.init_gain=0.01"]
    assert "optimizer.lr" in said(*apart)["arms-rate"][0]
    assert "arms-rate" not in said("optimizer=sgd,adam", "optimizer.lr=0.1,0.01")
    assert "arms-rate" not in said(*apart, "study.tune={optimizer.lr:[0.01,0.1]}")
    assert "rates that nobody tuned (0.05, 0.001)" in said("optimizer=sgd,adam")["arms-rate"][0]


def test_arms_that_will_not_train_are_named() -> None:
    assert said("model.init=he_normal,zeros")["arms-unfit"][0].startswith("model.init=zeros: init-equal: ")
    found = [one for one in examined(jobs("model.widths=[8],[8,8,8,8,8]")) if one.severity == "error"]
    assert "model.depth=3 is not possible" in found[0].text


@pytest.mark.parametrize(
    ("parts", "metric", "seeds", "possible"),
    [
        ({"higher": RELU, "than": TANH, "by": 0.9}, "val/accuracy", 3, True),
        ({"higher": RELU, "than": TANH, "by": 1}, "val/accuracy", 50, False),
        ({"lower": RELU, "than": TANH, "by": 1.5}, "val/accuracy", 50, False),
        ({"lower": RELU, "than": TANH, "by": 1.5}, "val/loss", 3, True),
        ({"same": [RELU, TANH], "within": 0.01}, "val/accuracy", 3, True),
        ({"ordered": [RELU, TANH, {"model.act": "elu"}], "by": 0.6}, "val/accuracy", 20, False),
        ({"ordered": [RELU, TANH, {"model.act": "elu"}], "by": 0.4}, "val/accuracy", 20, True),
        ({"higher": RELU, "than": TANH, "by": 0}, "trains(val/accuracy >= 0.5)", 2, False),
        ({"higher": RELU, "than": TANH, "by": 0}, "trains(val/accuracy >= 0.5)", 5, True),
        ({"same": [RELU, TANH], "within": 0.1}, "trains(val/accuracy >= 0.5)", 5, False),
    ],
)
def test_the_best_outcome_of_a_claim(parts: dict[str, Any], metric: str, seeds: int, possible: bool) -> None:
    p = best_p(parse_claim({"say": "it", **parts}), parse_metric(metric), seeds)
    assert p is not None
    assert (p < 0.04) == possible


def test_claims_that_no_outcome_supports() -> None:
    seeds = ["model.act=relu,tanh", "seed=0,1"]
    assert ahead(*seeds, claim(higher=RELU, than=TANH, by=1.2)) == [
        "claim-never: claim 'it': no outcome supports it: val/accuracy lies between 0 and 1, and it asks for a "
        "difference above 1.2"
    ]
    (line,) = ahead(*seeds, claim(higher=RELU, than=TANH, by=0, metric="trains(val/accuracy >= 0.5)"))
    assert line.startswith("claim-seeds: claim 'it': 2 seeds cannot support it, whatever comes out: the smallest p is")
    assert ahead(*seeds, claim(higher=RELU, than=TANH, by=0.1)) == []


def test_shares_are_never_out_of_reach_for_more_seeds() -> None:
    words = ["model.act=relu,tanh", "seed=0,1"]
    (line,) = ahead(*words, claim(same=[RELU, TANH], within=0.01, metric="trains(val/accuracy >= 0.5)"))
    assert line.startswith("claim-seeds: ")
    assert line.endswith("; not with 99 seeds either")


def test_of_tuned_arms_one_stands_for_all() -> None:
    trials = jobs("model.init=he_normal,zeros", "optimizer.lr=0.01,0.001")
    study = StudyConfig(tune={"optimizer.lr": [0.01, 0.001]})
    texts = [one.text for one in check(trials, trials, study).remarks if one.code == "arms-unfit"]
    assert texts
    assert all(text.startswith(("model.init=zeros: ", "every arm: ")) for text in texts)


def test_seeds_too_few_at_the_spread_of_other_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    now = jobs("name=after", "model.act=relu,tanh", "seeds=3", claim(same=[RELU, TANH], within=0.0001))
    assert prospects(now) == []
    for act, job in zip(("relu", "tanh"), (now[0], now[-1]), strict=True):
        before = {**flatten(job.config), "optimizer.lr": 0.01, "name": "before"}
        for seed, score in enumerate((0.91, 0.93, 0.92, 0.94)):
            write_run(tmp_path / "outputs/before", {"model.act": act}, seed, {"val/accuracy": score}, config=before)
    (found,) = prospects(now)
    assert found.code == "claim-seeds"
    assert found.text.endswith("at the spread of 8 runs of other experiments on these data and nets")


def test_a_sweep_says_it_before_it_trains_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sides = [{"model.block": "conv-act-pool"}, {"model.block": "conv-pool-act"}]
    words = [*SHORT, "name=e", "seed=0,1", "model.block=conv-act-pool,conv-pool-act", claim(same=sides, within=0.1)]
    assert main(["train", *words]) == 0
    before, _, _ = capfd.readouterr().err.partition("[1/4]")
    assert "note[arms-same]: " in before
    checked = read_checked(tmp_path / "outputs/e")
    assert {"arms-same", "claim-same"} <= {one.code for one in checked.remarks}
    assert len(checked.same) == 1
    verdict = json.loads((tmp_path / "outputs/e/verdict.json").read_text())["claims"][0]
    assert verdict["proved"] == ["max pooling and an activation that never decreases commute"]
    assert "Proved before training: both sides are one function of their weights" in verdict["explain"]
    assert "Checked before training" in (tmp_path / "outputs/e/report.html").read_text()
    (tmp_path / "outputs/e/checked.json").write_text("[1, 2")
    assert main(["compare", "outputs/e"]) == 0
    assert "Checked before training" not in (tmp_path / "outputs/e/report.html").read_text()


def test_lint_off_and_ignored_codes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model.block=conv-act-pool,conv-pool-act"]
    for more, expected in ([], {"arms-same"}), (["lint=off"], set()), (["lint.ignore=[arms-same]"], set()):
        found = jobs(*words, *more)
        assert {one.code for one in check(found, found).remarks} - {"arms-unfit"} == expected
    assert main(["lint", *words, "lint.ignore=[arms-sam]"]) == 2
    assert "did you mean 'arms-same'?" in capsys.readouterr().err


def test_lint_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "model.block=conv-act-pool,conv-pool-act"]
    assert main(["lint", *words, "--format", "json"]) == 0
    assert "arms-same" in {one["code"] for one in json.loads(capsys.readouterr().out)}
    assert main(["lint", *words, "--ignore", "arms-same"]) == 0
    assert "arms-same" not in capsys.readouterr().out
    assert main(["lint", *words, "--fix"]) == 2
    assert main(["lint", *SMALL, "model.widths=[8],[8,8,8,8,8]"]) == 1
    assert main(["lint", "--explain", "arms-init"]) == 0
    assert "learning rate only" in capsys.readouterr().out
    assert not (tmp_path / "outputs").exists()
