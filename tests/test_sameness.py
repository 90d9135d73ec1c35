"""Runs that are one and the same: the fingerprint of what is built, and what a sweep says of keys that do nothing."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob
from torch import nn

import lab.data.digest
from lab.checks.sameness import idle_notes
from lab.cli.main import main
from lab.config import RunConfig
from lab.errors import UserError
from lab.identity import flatten, with_values
from lab.launch.worker import check
from lab.records.places import Job, run_folder
from lab.records.results import read_result
from lab.runs.build import assemble
from lab.runs.fingerprint import Walk, fingerprint, scored_on
from lab.runs.run import run

WHOLE = {"model.name": "inception", "data.name": "synthetic"}
OWN = {"model.name": "own_parts:net"}
LINEAR = {"data.name": "diabetes", "model.block": "linear-act"}
DROPS = {"model.block": "conv-act-drop-pool"}

IDLE: list[tuple[dict[str, Any], str, Any, Any]] = [
    ({}, "model.norm", "none", "batch"),
    ({}, "model.drop_rate", 0.1, 0.5),
    ({}, "model.aux_weights", [0.1], [0.2]),
    ({"model.block": "conv-norm-pool"}, "model.act", "relu", "tanh"),
    ({"model.block": "conv-act"}, "model.pool", "max", "avg"),
    (WHOLE, "model.act", "relu", "tanh"),
    (WHOLE, "model.widths", [16, 32], [8, 8]),
    (WHOLE, "model.kernel", 3, 5),
    ({"model.name": "blunder_b", "data.name": "synthetic"}, "model.init", "he_normal", "xavier_normal"),
    (LINEAR, "model.kernel", 3, 5),
    ({"model.init": "xavier_normal"}, "model.init_fan", "in", "out"),
    ({"model.init": "lsuv"}, "model.init_gain", "paper", "auto"),
    ({"optimizer.name": "sgd"}, "optimizer.momentum", 0.5, 0.9),
    ({"optimizer.name": "momentum"}, "model.norm", "none", "batch"),
    ({"model.block": "conv-norm-act", "model.norm": "group"}, "model.drop_rate", 0.1, 0.5),
    ({}, "schedule.cycles", 2, 3),
    ({}, "schedule.interval", "steps", "epochs"),
    ({"schedule.name": "cosine"}, "schedule.factor", 0.1, 0.2),
    ({"schedule.name": "plateau"}, "schedule.low", 0.1, 0.2),
    ({"schedule.name": "one_cycle"}, "schedule.warmup_frac", 0.0, 0.3),
    ({"train.loss": "focal"}, "train.label_smoothing", 0.0, 0.2),
    ({}, "train.focal_gamma", 1.0, 2.0),
    ({}, "train.penalty_weight", 0.1, 0.2),
    ({"train.penalty": "l2", "train.max_norm": 3.0}, "train.penalty_l1_share", 0.1, 0.2),
    ({"train.clip_norm": 1.0}, "train.clip_value", 0.1, 0.2),
    ({"train.clip": "value"}, "train.clip_norm", 1.0, 2.0),
    ({}, "train.patience_metric", "val/loss", "val/accuracy"),
    ({}, "start.prune_frac", 0.1, 0.2),
    ({"data.augment": "crop"}, "data.cutout_frac", 0.1, 0.9),
]

ACTING: list[tuple[dict[str, Any], str, Any, Any]] = [
    ({"model.block": "conv-norm-act-pool"}, "model.norm", "none", "batch"),
    (DROPS, "model.drop_rate", 0.1, 0.2),
    ({"model.aux_blocks": [1]}, "model.aux_weights", [0.1], [0.2]),
    ({}, "model.act", "relu", "leaky_relu"),
    ({}, "model.draw", 0, 1),
    ({}, "model.init_fan", "in", "out"),
    (WHOLE, "model.init", "he_normal", "xavier_normal"),
    ({}, "optimizer.weight_decay", 0.0, 1e-9),
    ({}, "optimizer.momentum", 0.9, 0.91),
    ({}, "schedule.warmup_frac", 0.0, 0.01),
    ({"schedule.name": "multistep"}, "schedule.milestones", [0.5], [0.5, 0.99]),  # another rate in the last steps alone
    ({"schedule.name": "multistep"}, "schedule.factor", 0.1, 0.2),
    ({"schedule.name": "plateau"}, "schedule.patience", 3, 30),
    ({"schedule.name": "plateau"}, "schedule.metric", "val/loss", "train/loss"),
    ({}, "train.patience", 0, 1000),
    ({"train.patience": 9}, "train.restore_best", True, False),
    ({}, "train.max_seconds", None, 1e9),
    ({}, "train.max_norm", 0.0, 1e9),
    ({}, "train.eval_limit", None, 10),
    ({}, "train.eval_every", 1.0, 2.0),
    ({}, "train.epochs", 9.0, 10.0),
    ({}, "train.precision", "fp32", "bf16"),
    ({"train.loss": "cross_entropy"}, "train.label_smoothing", 0.0, 0.1),
    ({"data.augment": "cutout"}, "data.cutout_frac", 0.1, 0.9),
    ({"data.augment": "own_parts:darker"}, "data.cutout_frac", 0.1, 0.9),  # which may read whatever it likes
    ({"start.prune": "weights"}, "start.prune_frac", 0.1, 0.2),
    ({}, "data.limit", None, 1149),
]


def built(base: dict[str, Any], **values: Any) -> str | None:
    changes = {"train.device": "cpu", **base, **{key.replace("__", "."): value for key, value in values.items()}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of keys without effect, some of which are warned of
        return fingerprint(assemble(with_values(RunConfig(), changes)))


def both(base: dict[str, Any], key: str, one: Any, other: Any) -> tuple[str | None, str | None]:
    return built({**base, key: one}), built({**base, key: other})


@pytest.mark.parametrize(
    ("base", "key", "one", "other"), IDLE, ids=[f"{key}-{i}" for i, (_, key, *_) in enumerate(IDLE)]
)
def test_a_key_that_does_nothing_leaves_the_fingerprint(base: dict[str, Any], key: str, one: Any, other: Any) -> None:
    left, right = both(base, key, one, other)
    assert left is not None
    assert left == right


@pytest.mark.parametrize(
    ("base", "key", "one", "other"), ACTING, ids=[f"{key}-{i}" for i, (_, key, *_) in enumerate(ACTING)]
)
def test_a_key_that_acts_however_late_changes_it(base: dict[str, Any], key: str, one: Any, other: Any) -> None:
    left, right = both(base, key, one, other)
    assert left is not None
    assert left != right


def test_a_compiled_net_has_no_fingerprint() -> None:
    parts = assemble(with_values(RunConfig(), {"train.device": "cpu"}))
    assert fingerprint(parts)
    parts.model._compiled_call_impl = parts.model.forward  # as `train.compile` leaves it
    assert fingerprint(parts) is None


def test_the_seed_and_the_last_step_count() -> None:
    assert built({}) == built({}) != built({"seed": 1})
    long = {"train.steps": lab.runs.fingerprint.MOST_RATES + 1, "schedule.name": "multistep"}
    assert built({**long, "schedule.milestones": [0.5]}) != built({**long, "schedule.milestones": [0.6]})
    assert built({**long, "schedule.cycles": 2}) == built({**long, "schedule.cycles": 3})


@pytest.mark.slow
def test_a_fingerprint_is_the_same_in_every_process() -> None:
    places = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    code = f"import sys; sys.path[:0] = {places}; from test_sameness import *; print(built({DROPS}))"
    command, seed = [sys.executable, "-c", code], {"PYTHONHASHSEED": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=seed)
    assert done.stdout.strip() == built(DROPS)


def test_what_is_read_of_an_object() -> None:
    def digest(value: Any) -> str:
        walk = Walk()
        walk.see(value)
        return walk.digest.hexdigest()

    def scaled(factor: float) -> Any:
        return lambda x: x * factor

    net = nn.Linear(2, 2)
    assert digest(scaled(1.0)) == digest(scaled(1.0)) != digest(scaled(2.0))
    assert digest(lambda x: x + 1) != digest(lambda x: x - 1)
    assert digest([net, net]) != digest([net, nn.Linear(2, 2)])
    before = digest(net)
    with torch.no_grad():
        net.weight[1, 1] += 1e-6
    assert digest(net) != before
    large = torch.zeros(lab.data.digest.LARGE)
    before = digest(large)
    assert digest(large) == before
    large[-1] = 1
    assert digest(large) != before, "the digest that was kept is of what was there"
    with pytest.raises(TypeError, match="does not see"):
        digest(iter([1]))


def test_a_fingerprint_leaves_the_run_as_it_is(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"train.steps": 5, "model.block": "conv-norm-act-drop-pool", "data.augment": "crop"}
    job = make_job(changes=small)
    result = run(job)
    assert result["fingerprint"] == fingerprint(assemble(job.config))
    assert read_result(job.folder) == result
    lines = (job.folder / "metrics.jsonl").read_text()
    monkeypatch.setattr("lab.runs.run.record_of", lambda *_: {})
    other = make_job(changes={**small, "name": "other"})
    assert "fingerprint" not in run(other)
    strip = [line.partition('"seconds"')[0] for line in lines.splitlines()]
    assert strip == [
        line.partition('"seconds"')[0] for line in (other.folder / "metrics.jsonl").read_text().splitlines()
    ]


def test_test_images_are_told_apart_by_what_is_read_of_them() -> None:
    def images(limit: int | None = None, **data: Any) -> str:
        values = {"train.device": "cpu", **{f"data.{key}": value for key, value in data.items()}}
        return scored_on(assemble(with_values(RunConfig(), values)).data, limit)

    same = {images(), images(limit=100), images(val_frac=0.4), images(scale="raw"), images(augment="crop")}
    assert images(label_noise=0.3) in same
    assert len({images(), images(val_frac=0.4), images(scale="raw"), images(augment="crop"), images(limit=360)}) == 1
    others = [images(), images(limit=10), images(name="synthetic"), images(classes=["1", "2"]), images(resize=4)]
    assert len(set(others)) == 5
    assert others[0].partition("-")[0] == others[4].partition("-")[0]  # the same labels
    config = {**LINEAR, "train.device": "cpu"}
    found = {
        scored_on(assemble(with_values(RunConfig(), {**config, **more})).data, None)
        for more in ({}, {"seed": 1}, {"data.limit": 100})
    }
    assert len(found) == 1, "targets are scaled by the training part, and stay the same targets"


def arms(**values: list[Any]) -> list[dict[str, Any]]:
    """The full grid of `model__norm=[...]`, the first key outermost."""
    found: list[dict[str, Any]] = [flatten(RunConfig())]
    for key, choices in values.items():
        found = [{**arm, key.replace("__", "."): choice} for arm in found for choice in choices]
    return found


def test_one_line_a_key() -> None:
    blocks = ["conv-act-pool", "conv-norm-act-pool"]
    grid = arms(model__norm=["none", "batch"], model__block=blocks)
    assert idle_notes(grid, ["a", "b", "a", "c"]) == [
        "model.norm has no effect where model.block=conv-act-pool: 2 arms are built alike "
        "(the block conv-act-pool has no 'norm')"
    ]
    assert idle_notes(grid, ["a", "b", "c", "d"]) == []
    assert idle_notes(grid, [None, None, "c", "d"]) == [], "of what is not known nothing is said"
    assert idle_notes(grid[:1], ["a"]) == idle_notes([], []) == []
    grid = arms(model__norm=["none", "batch"], model__act=["relu", "tanh"])
    (line,) = idle_notes(grid, ["a", "b", "a", "b"])
    assert line.startswith("model.norm has no effect here: only 2 of 4 arms are built differently")
    (line,) = idle_notes(arms(model__act=["relu", "silu", "own_parts:swish"]), ["a", "b", "b"])
    assert line.startswith("model.act=silu and model.act=own_parts:swish do not differ here: 2 arms are built alike")
    grid = arms(optimizer__name=["sgd", "momentum"], optimizer__momentum=[0.5, 0.9], model__act=["relu", "tanh"])
    (line,) = idle_notes(grid, ["a", "b", "a", "b", "c", "d", "e", "f"])
    assert line.startswith("optimizer.momentum has no effect where optimizer.name=sgd: only 2 of 4 arms")
    assert line.endswith("(optimizer.name=sgd does not read it)")


def test_a_sweep_of_one_arm_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"model.norm has no effect here: both arms are built alike \(the block conv-act"
    ):
        idle_notes(arms(model__norm=["none", "batch"]), ["a", "a"])
    with pytest.raises(
        UserError, match=r"model.norm and model.drop_rate have no effect here: all 4 arms are built alike"
    ):
        idle_notes(arms(model__norm=["none", "batch"], model__drop_rate=[0.1, 0.2]), ["a"] * 4)


SMALL = [
    "model.widths=[4]",
    "model.depth=2",
    "data.limit=100",
    "train.steps=2",
    "train.eval_limit=50",
    "train.pictures=0",
]


def test_idle_keys_are_told_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", *SMALL, "train.device=cpu", "jobs=1", "out=out", "model.norm=none,batch"]
    assert main(words) == 2
    error = capfd.readouterr().err
    assert "lab: model.norm has no effect here: both arms are built alike" in error
    assert not list(tmp_path.rglob("result.json"))
    monkeypatch.setattr("lab.studies.report.page.write_report", lambda *_: None)
    words += ["model.act=relu,tanh"]
    assert main(words) == 0
    error = capfd.readouterr().err
    assert "note[arms-idle]: model.norm has no effect here: only 2 of 4 arms are built differently" in error


def test_what_is_left_of_a_sweep_is_searched_beside_what_is_done() -> None:
    jobs = [
        job({"train.device": "cpu", "model.norm": norm, "model.act": act, "seed": seed})
        for norm in ("none", "batch")
        for act in ("relu", "tanh")
        for seed in (0, 1)
    ]

    def said(missing: list[Job], whole: list[Job]) -> list[str]:
        return [one.text for one in check(missing, whole).remarks if one.code == "arms-idle"]

    (line,) = said(jobs, jobs)
    assert line.startswith("model.norm has no effect here: only 2 of 4 arms")
    assert said(jobs[:1], jobs) == [line]
    assert said(jobs, []) == said(jobs[:2], jobs[:2]) == []
    with pytest.raises(UserError, match="both arms are built alike"):
        check(jobs[:1], [jobs[0], jobs[4]])
    gone = job({**flatten(jobs[2].config), "data.name": "own_parts:gone"})
    assert said(jobs[:1], [gone, jobs[0], jobs[4]])[0].startswith("model.norm has no effect where")


def test_arms_that_there_was_no_time_to_check_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job({"train.device": "cpu", "model.act": act}) for act in ("relu", "tanh", "elu")]

    def said(jobs: list[Job]) -> list[str]:
        return [one.text for one in check(jobs, jobs).remarks if one.code == "arms-unchecked"]

    assert said(jobs) == []
    monkeypatch.setattr("lab.launch.worker.MOST_SECONDS", 1e-9)  # up after the first
    (line,) = said(jobs)
    assert line.startswith("there was no time to check 2 arms of 3 before training; lab lint")
    for one in jobs:
        one.config.lint.sweeps = False
    assert said(jobs) == []


def job(values: dict[str, Any]) -> Job:
    """A run with these values, of which norm and activation were swept."""
    config = with_values(RunConfig(), values)
    arm = {key: flatten(config)[key] for key in ("model.norm", "model.act")}
    return Job(config, run_folder(config, arm), arm, [], "")
