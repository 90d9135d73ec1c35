"""Numbers are learnt through the same `fit` as classes, and measured in their own unit."""

import sklearn.linear_model
import sklearn.metrics
import torch
from conftest import MakeJob
from fake_runs import compare

from lab.records.results import Run, read_run
from lab.runs.build import assemble
from lab.runs.run import run

LINEAR = {"data.name": "diabetes", "model.widths": [], "model.depth": 1, "train.batch_size": 64}


def read(job) -> Run:
    found = read_run(job.folder)
    assert found is not None
    return found


def test_a_linear_net_ends_where_least_squares_does(make_job: MakeJob) -> None:
    changes = {"optimizer.lr": 0.02, "schedule.name": "cosine", "train.steps": 1500, "train.eval_every": 1000.0}
    job = make_job(changes={**LINEAR, **changes})
    result = run(job)
    data = assemble(job.config).data
    everything = [split.take(torch.arange(len(split))) for split in (data.train, data.test)]
    (x, y), (test_x, test_y) = [(images.numpy(), labels.squeeze(1).numpy()) for images, labels in everything]
    theirs = sklearn.linear_model.LinearRegression().fit(x, y).predict(test_x)
    rmse = data.unit * sklearn.metrics.root_mean_squared_error(test_y, theirs)
    found = {name: result["metrics"][f"test/{name}"]["last"] for name in ("rmse", "mae", "r2", "loss")}
    assert abs(found["rmse"] / rmse - 1) < 0.01
    assert abs(found["mae"] / (data.unit * sklearn.metrics.mean_absolute_error(test_y, theirs)) - 1) < 0.01
    assert abs(found["r2"] - sklearn.metrics.r2_score(test_y, theirs)) < 0.01
    assert 40 < found["rmse"] < 70  # of targets from 25 to 346
    assert abs(found["loss"] - (found["rmse"] / data.unit) ** 2) < 1e-4


def test_numbers_are_learnt_by_a_net_with_a_hidden_layer(make_job: MakeJob) -> None:
    hidden = {"model.block": "linear-act", "model.widths": [32], "model.depth": 2, "model.act": "tanh"}
    task = {"data.name": "make_regression", "train.steps": 300, "optimizer.lr": 0.01, "train.batch_size": 64}
    result = run(make_job(changes={**task, **hidden}))
    assert result["status"] == "finished"
    assert result["metrics"]["test/r2"]["last"] > 0.8
    assert "val/accuracy" not in result["metrics"]


def test_arms_of_numbers_are_compared_by_their_error(make_job: MakeJob) -> None:
    jobs = [make_job(changes={**LINEAR, "optimizer.lr": rate}) for rate in (0.05, 1e-6)]
    for job in jobs:
        run(job)
    comparison = compare([read(job) for job in jobs], {})
    assert comparison.metric.text == "val/rmse"
    assert comparison.metric.lower_is_better
    first, second = (arm.score for arm in comparison.arms)
    assert first is not None
    assert second is not None
    assert first.value < second.value


def test_the_best_error_is_the_least(make_job: MakeJob) -> None:
    job = make_job(changes={**LINEAR, "optimizer.lr": 0.05})
    result = run(job)
    errors = [row["val/rmse"] for row in read(job).history]
    assert result["metrics"]["val/rmse"]["best"] == min(errors) < max(errors)
