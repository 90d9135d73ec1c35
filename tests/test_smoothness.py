"""What is said of a step, by formulas where there are some, and by a loop by hand."""

import copy
import math
from typing import Any

import pytest
import torch
from conftest import MakeJob
from torch import nn

from lab.records.results import read_metrics
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.smoothness import Smoothness


def measured(make_job: MakeJob, **changes: Any) -> tuple[dict[str, float], nn.Module, Any]:
    """What is said of the first step of a run, its net before, and its training after."""
    training = assemble(make_job(changes=changes).config).training
    before = copy.deepcopy(training.train_step.model)
    smoothness = Smoothness(training.train_step)
    smoothness.keep(0)
    training.train_step(0)
    return smoothness.measure(), before, training


def test_of_a_quadratic_the_gradient_changes_by_the_hessian(make_job: MakeJob) -> None:
    """L = |X w - y|^2 / n in w, with bias: a step of -r g turns the gradient by r H g, and misses r / 2 g H g."""
    changes = {"data.name": "diabetes", "model.widths": [], "model.depth": 1, "model.block": "linear"}
    found, net, training = measured(
        make_job, **changes, **{"optimizer.name": "sgd", "optimizer.lr": 0.05, "train.max_norm": 0.0}
    )
    images, _ = training.train_step.batch(0)
    rows = torch.cat([images.double(), torch.ones(len(images), 1, dtype=torch.float64)], 1)
    hessian = 2 / len(rows) * rows.T @ rows
    model = training.train_step.model
    moves = [
        torch.cat(
            [(b - a).detach().double().flatten() for a, b in zip(net.parameters(), model.parameters(), strict=True)]
        )
    ][0]
    slope = -moves / 0.05
    turned = (hessian @ moves).norm() / slope.norm()
    missed = (moves @ hessian @ moves / 2).abs() / (slope @ moves).abs()
    assert found["train/gradient_change"] == pytest.approx(float(turned), rel=1e-3)
    assert found["train/loss_change"] == pytest.approx(float(missed), rel=1e-2)


def test_dropout_drops_the_same_before_and_after(make_job: MakeJob) -> None:
    """Of so small a step nothing is left to be wrong; with another mask it would be as large as the gradient."""
    changes = {"model.block": "conv-norm-act-drop", "model.drop_rate": 0.5, "optimizer.name": "sgd"}
    found, _, _ = measured(make_job, **changes, **{"optimizer.lr": 1e-5})
    assert 0 < found["train/gradient_change"] < 1e-3


def test_a_larger_step_is_less_predictable(make_job: MakeJob) -> None:
    low, high = (measured(make_job, **{"optimizer.name": "sgd", "optimizer.lr": rate})[0] for rate in (0.001, 0.1))
    assert all(10 * low[tag] < high[tag] for tag in low)


def test_gradients_statistics_and_random_numbers_stay(make_job: MakeJob) -> None:
    changes = {"model.block": "conv-norm-act-drop", "model.aux_blocks": [1], "model.depth": 3, "train.penalty": "l2"}
    training = assemble(make_job(changes=changes).config).training
    training.train_step(0)
    model = training.train_step.model
    state = copy.deepcopy(model.state_dict())
    slopes = [one.grad.clone() for one in model.parameters() if one.grad is not None]
    drawn = torch.get_rng_state()
    smoothness = Smoothness(training.train_step)
    smoothness.keep(1)
    found = smoothness.measure()  # of no step at all
    assert found["train/gradient_change"] == 0
    assert math.isnan(found["train/loss_change"])
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(
        torch.equal(one, other.grad)
        for one, other in zip(slopes, model.parameters(), strict=True)
        if other.grad is not None
    )
    assert torch.equal(torch.get_rng_state(), drawn)
    assert smoothness.measure() == {}


def test_what_is_frozen_takes_no_part(make_job: MakeJob) -> None:
    body = make_job("body")
    run(body)
    changes = {"start.run": str(body.folder), "start.freeze_epochs": 1.0, "train.watch": True}
    job = make_job("head", {**changes, "train.watch_smoothness": True, "train.pictures": 0})
    assert run(job)["status"] == "finished"
    assert all(row["train/gradient_change"] > 0 for row in read_metrics(job.folder))


def test_a_point_that_was_not_planned_has_none(make_job: MakeJob) -> None:
    """The end by the clock is not known before."""
    changes = {"train.watch": True, "train.watch_smoothness": True, "train.pictures": 0, "train.eval_every": 1000.0}
    job = make_job(changes={**changes, "train.max_seconds": 1e-9})
    assert run(job)["status"] == "finished"
    (row,) = read_metrics(job.folder)
    assert "train/gradient_change" not in row
    assert "train/learning_ratio" not in row
