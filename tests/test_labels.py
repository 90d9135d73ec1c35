"""Labels are what the user typed, sweeps have names, and runs that do not fit are told with what to type."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_runs import compare, write_run

from lab.cli.main import main
from lab.errors import UserError
from lab.identity import flatten
from lab.overrides.plan import all_jobs
from lab.records.results import Run
from lab.studies.claims.study import check_claims, parse_study
from lab.studies.comparison.compare import Comparison
from lab.studies.report.foot import foot
from lab.studies.report.table import csv_text, table_text
from lab.studies.select.arms import with_choices


def runs_of(root: Path, *words: str, seeds: int = 2) -> list[Run]:
    """Runs as `lab train WORDS` leaves them, each arm a bit better than the one before."""
    jobs = all_jobs("train", [*words, f"seeds={seeds}"])[0]
    found = []
    for place, job in enumerate(jobs):
        config = {key: value for key, value in flatten(job.config).items() if key != "seed"}
        scores = {"val/accuracy": 0.5 + place / 100 + job.config.seed / 1000}
        found.append(write_run(root, job.arm, job.config.seed, scores, config=only_keys(config)))
    return found


def only_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("name", "out")}


SWEEPS = {
    "model=mlp,linear": ["model=mlp", "model=linear"],
    "model=mlp,vgg,lenet": ["model=mlp", "model=vgg", "model=lenet"],
    "optimizer=sgd,adam": ["optimizer=sgd", "optimizer=adam"],
    "schedule=cosine,constant": ["schedule=cosine", "schedule=constant"],
    "data=xor,moons": ["data=xor", "data=moons"],
    "train=smoke,default": ["train=smoke", "train=default"],
    "model=mlp,linear optimizer.lr=0.1,0.2": [
        f"model={model} lr={lr}" for model, lr in itertools.product(["mlp", "linear"], [0.1, 0.2])
    ],
    "model=mlp,linear optimizer=sgd,lion": [
        f"model={model} optimizer={name}" for model, name in itertools.product(["mlp", "linear"], ["sgd", "lion"])
    ],
    "model.widths=[4],[4,8] model=mlp": ["widths=4", "widths=4-8"],
}


@pytest.mark.parametrize("words", SWEEPS)
def test_arms_are_named_by_what_was_typed(words, tmp_path):
    runs = runs_of(tmp_path, *words.split())
    arms = compare(runs, {}).arms
    assert [arm.label for arm in arms] == SWEEPS[words]
    header = table_text(compare(runs, {})).splitlines()[2].split("  ")[0]
    assert header == arms[0].label.partition("=")[0]


def test_a_choice_is_not_told_again_key_by_key(tmp_path):
    lines = foot(compare(runs_of(tmp_path, "model=mlp,linear"), {}))
    assert not [line for line in lines if "also differs" in line]
    lines = foot(compare(runs_of(tmp_path / "more", "optimizer=sgd,adam"), {}))
    assert [line for line in lines if "also differs from its reference in optimizer.lr" in line]


def test_the_table_as_a_file_has_the_choice_in_one_column(tmp_path):
    header, first, *_ = csv_text(compare(runs_of(tmp_path, "model=mlp,linear"), {})).splitlines()
    assert header.startswith("metric,model,n,")
    assert first.startswith("val/accuracy,mlp,")


CHOICE = {"say": "mlp is higher", "higher": {"model": "mlp"}, "than": {"model": "linear"}}


def claimed(runs: list[Run]) -> Comparison:
    return compare(runs, {"claims": [CHOICE], "reference": {"model": "linear"}})


def test_a_claim_and_the_reference_may_name_a_choice(tmp_path):
    jobs = all_jobs("train", ["model=mlp,linear", "model.act=relu,tanh", "seed=0"])[0]
    check_claims(parse_study({"claims": [CHOICE]}), with_choices([(flatten(job.config), job.arm) for job in jobs]))
    found = claimed(runs_of(tmp_path, "model=linear,mlp", seeds=5))
    (verdict,) = found.verdicts
    assert (verdict.verdict, verdict.n, found.reference) == ("supported", 5, "model=linear")
    assert "mlp is higher than linear by" in verdict.explain


def test_a_claim_about_a_key_of_a_choice_still_finds_both_sides(tmp_path):
    claim = {"say": "deeper is higher", "higher": {"model.depth": 3}, "than": {"model.depth": 1}}
    (verdict,) = compare(runs_of(tmp_path, "model=linear,mlp", seeds=5), {"claims": [claim]}).verdicts
    assert (verdict.verdict, verdict.n) == ("supported", 5)


def test_a_choice_is_known_of_runs_for_which_none_was_typed(tmp_path):
    typed = runs_of(tmp_path, "model=mlp,linear")
    (plain, *_) = runs_of(tmp_path / "plain", "model.act=relu")
    same = replace(runs_of(tmp_path / "again", "model=mlp", seeds=1)[0], arm={"model.block": "linear-act"}, seed=7)
    assert [arm.label for arm in compare([*typed, plain], {}).arms] == ["model=mlp", "model=linear", "model=default"]
    assert len(compare([*typed, same], {}).arms) == 2


NAMES = {
    "model.act=relu,tanh": "model.act",
    "model.act=relu,tanh seed=0,1": "model.act",
    "model.act=relu,tanh train.epochs=3": "model.act",
    "model=mlp,linear optimizer.lr=0.1,0.2": "model-optimizer.lr",
    "optimizer.lr=0.1,0.2 model=mlp,linear": "optimizer.lr-model",
    "seed=0,1": "seed",
    "seeds=3": "seed",
    "model.depth=range(2,4)": "model.depth",
    "model.act=relu": "scratch",
    "": "scratch",
    "model.act=relu,tanh name=scratch": "scratch",
    "model.act=relu,tanh name=own": "own",
    "experiment=norm_place": "norm_place",
}


@pytest.mark.parametrize("words", NAMES)
def test_a_sweep_without_a_name_is_named_by_what_is_swept(words):
    jobs = all_jobs("train", words.split())[0]
    assert {job.config.name for job in jobs} == {NAMES[words]}
    assert {job.folder.parent.parent for job in jobs} == {Path("outputs", NAMES[words])}


@pytest.mark.slow
def test_a_name_of_many_keys_is_cut_and_stays_the_same():
    keys = ["data.cutout_frac", "data.label_noise", "model.drop_rate", "schedule.warmup_frac", "train.label_smoothing"]
    words = [f"{key}=0.1,0.2" for key in [*keys, "optimizer.weight_decay", "train.penalty_l1_share"]]
    name = all_jobs("train", words)[0][0].config.name
    assert len(name) == 100
    assert name == all_jobs("train", words)[0][0].config.name
    assert name != all_jobs("train", [*words, "optimizer.momentum=0.1,0.2"])[0][0].config.name


def mixed(root: Path) -> list[Run]:
    runs = [write_run(root / "scratch", {"model.depth": depth}, 0, {"val/accuracy": 0.9}) for depth in (2, 3)]
    for depth in (4, 5):
        config = {"data.name": "diabetes"}
        runs.append(write_run(root / "scratch", {"model.depth": depth}, 0, {"val/rmse": 9.0}, config=config))
    for run in runs:
        (run.path / "config.yaml").write_text("study: {}\n")
    return runs


def test_runs_that_do_not_fit_are_told_with_a_command_that_leaves_them_out(tmp_path, capsys):
    folder = mixed(tmp_path)[0].path.parent.parent
    assert main(["compare", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "did not log 'val/accuracy', nor did 1 more of 4 runs" in said
    assert f"lab compare {folder} --where data.name=digits leaves out what differs" in said
    assert "--where data.name=diabetes compares that" in said
    for value, metric in (("digits", "val/accuracy"), ("diabetes", "val/rmse")):
        assert main(["compare", str(folder), "--where", f"data.name={value}"]) == 0
        assert capsys.readouterr().out.startswith(metric)


def test_runs_that_no_key_tells_apart_are_left_out_by_folder(tmp_path):
    fits = write_run(tmp_path, {"model.act": "relu"}, 0, {"val/accuracy": 0.9, "val/loss": 0.1})
    older = write_run(tmp_path, {"model.act": "relu"}, 1, {"val/accuracy": 0.9})
    with pytest.raises(UserError, match=rf"lab compare {fits.path} leaves out what differs, and --metric"):
        compare([fits, older], {"metric": "val/loss"})


def test_where_takes_a_choice(tmp_path, capsys):
    runs = runs_of(tmp_path / "model", "model=mlp,linear")
    for run in runs:
        (run.path / "config.yaml").write_text("study: {}\n")
    folder = str(tmp_path / "model")
    assert main(["compare", folder, "--where", "model=mlp"]) == 0
    assert "linear" not in capsys.readouterr().out
    assert main(["compare", folder, "--where", "model=mpl"]) == 2
    assert "model takes: linear, mlp" in capsys.readouterr().err
