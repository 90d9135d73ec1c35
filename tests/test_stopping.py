"""Runs end early as they are told to, with the weights they are told to keep, also after a resume."""

import itertools
from typing import Any, Literal

import pytest
import torch
from conftest import MakeJob
from torch import nn

from lab.config import ScheduleConfig
from lab.errors import UserError
from lab.launch.sweep import stopped_early
from lab.records.results import read_metrics
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.fit import fit
from lab.training.plateau import Plateau, make_plateau
from lab.training.schedules import SCHEDULES
from lab.training.stopping import Stopping

# A rate at which the validation loss of the tiny data gets worse soon.
RESTLESS = {"optimizer.name": "sgd", "optimizer.lr": 3.0, "train.steps": 60, "train.patience": 2}


def test_a_run_ends_when_its_metric_has_stalled(make_job: MakeJob) -> None:
    job = make_job(changes={**RESTLESS, "train.restore_best": False})
    result = run(job)
    losses = [row["val/loss"] for row in read_metrics(job.folder)]
    best = losses.index(min(losses))
    assert result["status"] == "finished"
    assert result["stopped_by"] == "patience"
    assert len(losses) == best + 3
    assert result["steps"] == 3 * len(losses) < 60
    assert all(len(losses[:end]) - losses.index(min(losses[:end])) <= 2 for end in range(1, len(losses)))


def test_the_weights_of_the_best_report_come_back(make_job: MakeJob) -> None:
    kept = make_job("kept", changes=RESTLESS)
    dropped = make_job("dropped", changes={**RESTLESS, "train.restore_best": False})
    result, last = run(kept), run(dropped)
    rows, plain = read_metrics(kept.folder), read_metrics(dropped.folder)
    best = min(plain, key=lambda row: row["val/loss"])
    assert rows[-1]["step"] == plain[-1]["step"]
    assert rows[-1]["val/loss"] == best["val/loss"] < plain[-1]["val/loss"]
    assert rows[-1]["train/restored_step"] == best["step"]
    assert rows[-1]["train/loss"] == plain[-1]["train/loss"]
    assert result["metrics"]["test/loss"]["last"] != last["metrics"]["test/loss"]["last"]
    weights = torch.load(kept.folder / "checkpoint.pt", weights_only=True)["model"]
    parts = assemble(kept.config)
    parts.model.load_state_dict(weights)
    assert parts.training.evaluate()["loss"] == pytest.approx(best["val/loss"], rel=1e-6)


def test_the_best_weights_come_back_at_the_last_step_too(make_job: MakeJob) -> None:
    job = make_job(changes={**RESTLESS, "train.patience": 100, "train.steps": 18})
    result = run(job)
    assert (result["stopped_by"], result["steps"]) == ("steps", 18)
    rows = read_metrics(job.folder)
    assert rows[-1]["val/loss"] == min(row["val/loss"] for row in rows)


@pytest.mark.parametrize("stops", [[4], [7, 2]])
def test_patience_and_plateau_survive_a_resume(make_job: MakeJob, stops: list[int]) -> None:
    plateau = {"schedule.name": "plateau", "schedule.patience": 0, "schedule.factor": 0.5}
    changes = {**RESTLESS, **plateau, "train.patience": 4}
    whole, pieces = make_job("whole", changes), make_job("pieces", changes)
    run(whole)
    for stop in stops:
        count = itertools.count(1)
        assert run(pieces, should_stop=lambda count=count, stop=stop: next(count) >= stop)["status"] == "interrupted"
    run(pieces)

    def rows(job: Any) -> list[dict[str, Any]]:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in read_metrics(job.folder)]

    assert rows(whole) == rows(pieces)
    assert len({row["train/lr"] for row in rows(whole)}) > 1


def test_a_higher_accuracy_is_better() -> None:
    stopping, net = Stopping("val/accuracy", 2, False), nn.Linear(1, 1)
    asked = [
        stopping.should_stop({"step": i, "val/accuracy": a}, net) for i, a in enumerate([0.2, 0.5, 0.5, float("nan")])
    ]
    assert asked == [False, False, False, True]
    assert (stopping.best, stopping.best_step) == (0.5, 1)


def test_a_run_ends_when_its_time_is_up(make_job: MakeJob) -> None:
    job = make_job(changes={"train.steps": 10**6, "train.max_seconds": 0.3})
    result = run(job)
    assert (result["status"], result["stopped_by"]) == ("finished", "seconds")
    assert 0.3 <= result["train_seconds"] < 3
    assert 0 < result["steps"] == read_metrics(job.folder)[-1]["step"]
    assert job.is_terminal()


def test_a_run_of_no_steps_measures_the_net_as_it_starts(make_job: MakeJob) -> None:
    job = make_job(changes={"train.steps": 0})
    result = run(job)
    (row,) = read_metrics(job.folder)
    assert result["status"] == "finished"
    assert (row["step"], row["epoch"]) == (0, 0)
    assert row["val/loss"] == assemble(job.config).training.evaluate()["loss"]
    assert "train/loss" not in row
    assert "test/accuracy" in result["metrics"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.patience": -1}, r"train.patience=-1 is out of range; allowed: 0 \(off\) or more \(eval"),
        (
            {"train.patience": 2, "train.patience_metric": "val/acuracy"},
            r"train.patience_metric=val/acuracy is unknown \(did you mean 'val/accuracy'\?\); there are: val/loss",
        ),
        (
            {"train.patience": 2, "train.patience_metric": "val/rmse"},
            r"train.patience_metric=val/rmse is not logged.*; there are: train/loss, train/accuracy, val/loss",
        ),
        ({"schedule.name": "plateau", "schedule.metric": "loss"}, "schedule.metric=loss is unknown"),
        ({"schedule.name": "plateau", "schedule.metric": "val/r2"}, "schedule.metric=val/r2 is not logged"),
        ({"schedule.name": "plateau", "schedule.patience": -1}, "schedule.patience=-1 is out of range"),
        ({"schedule.name": "plateau", "schedule.factor": 1.0}, "schedule.factor=1.0 is out of range; .* below 1 for"),
        ({"schedule.interval": "epoch"}, r"schedule.interval=epoch is unknown \(did you mean 'epochs'\?\)"),
    ],
)
def test_a_bad_watch_is_named(make_job: MakeJob, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        assemble(make_job(changes=changes).config)


@pytest.mark.parametrize(
    ("patiences", "said"), [([2, 2], ["train.patience=2"]), ([0, 2], []), ([0, 0], [])], ids=["all", "swept", "none"]
)
def test_a_sweep_says_that_its_arms_stop_early(make_job: MakeJob, patiences: list[int], said: list[str]) -> None:
    jobs = [make_job(changes={"train.patience": patience}) for patience in patiences]
    assert stopped_early(jobs) == said


# Plateau, and rates that change by the epoch


@pytest.mark.parametrize(("metric", "mode"), [("val/loss", "min"), ("val/accuracy", "max")])
def test_plateau_is_torchs(metric: str, mode: Literal["min", "max"]) -> None:
    generator = torch.Generator().manual_seed(2)
    values = torch.rand(60, generator=generator).tolist()
    plateau = Plateau(metric, 0.7, 2)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.7)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, 0.7, 2)
    seen = []
    for value in values:
        plateau.update({metric: value})
        theirs.step(value)
        seen.append(0.7 * plateau.multiplier)
        assert seen[-1] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert len(set(seen)) > 5


def test_the_rate_falls_when_the_metric_stalls(make_job: MakeJob) -> None:
    changes = {"schedule.name": "plateau", "schedule.patience": 1, "schedule.metric": "train/loss"}
    job = make_job(changes={**changes, "optimizer.lr": 1e-12, "train.steps": 30})
    run(job)
    rates = [row["train/lr"] / 1e-12 for row in read_metrics(job.folder)]
    assert rates[0] == pytest.approx(1)
    assert rates[-1] < 0.11
    assert rates == sorted(rates, reverse=True)


def test_there_is_no_watch_for_other_schedules() -> None:
    assert make_plateau(ScheduleConfig(), []) is None


def test_a_rate_by_the_epoch_stays_through_each(make_job: MakeJob) -> None:
    changes = {"schedule.name": "linear", "schedule.interval": "epochs", "train.steps": 18, "train.eval_every": 0.17}
    job = make_job(changes={**changes, "optimizer.lr": 1.0})
    run(job)
    rates = [row["train/lr"] for row in read_metrics(job.folder)]
    assert rates == pytest.approx([1.0] * 6 + [2 / 3] * 6 + [1 / 3] * 6)


@pytest.mark.parametrize("length", ["train.steps", "train.epochs"])
def test_no_step_under_any_schedule_is_the_net_as_it_starts(make_job: MakeJob, length: str) -> None:
    found = []
    for name in SCHEDULES:
        changes = {"train.steps": None, length: 0, "schedule.name": name}
        training, points = assemble(make_job(changes=changes).config).training, []
        fit(training, points.append)
        assert (training.status, training.step, training.stopped_by) == ("finished", 0, "steps")
        found += [(point["step"], point["val/loss"]) for point in points]
    assert len(found) == len(SCHEDULES)
    assert len(set(found)) == 1
    assert assemble(make_job(changes={"train.steps": None, "train.epochs": 1e-9}).config).training.steps == 1
