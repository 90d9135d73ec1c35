"""Which steps are recorded, and that a recording, played by a stand-in for the GPU, trains as the steps themselves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import MakeJob
from torch import nn

from lab.errors import UserError
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.fit import Training, fit
from lab.training.graph import WARM_UP, StepGraph, make_graph, obstacles, plain_state
from lab.training.range_test import range_test

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

# Everything that changes from step to step or from one logged point to the next.
LIVELY = {
    "model.block": "conv-norm-act-drop-pool",
    "model.norm": "batch",
    "schedule.name": "one_cycle",
    "optimizer.lr": 0.01,
    "data.augment": "crop",
    "train.penalty": "l2",
    "train.clip_norm": 0.5,
}


class Recorder:
    """Stands in for the GPU: what is recorded is done at every replay, on the memory that it was recorded with."""

    def __init__(self) -> None:
        self.num_recorded, self.num_replayed = 0, 0

    def __call__(self, action: Callable[[], None], device: torch.device) -> Callable[[], None]:
        self.num_recorded += 1

        def replay() -> None:
            self.num_replayed += 1
            action()

        return replay


def plain(make_job: MakeJob, changes: dict[str, Any]) -> Training:
    return assemble(make_job(changes=changes).config).training


def graphed(make_job: MakeJob, changes: dict[str, Any]) -> tuple[Training, Recorder]:
    training, recorder = plain(make_job, changes), Recorder()
    return replace(training, train_step=replace(training.train_step, graph=StepGraph(CPU, recorder))), recorder


def weights(training: Training) -> torch.Tensor:
    return nn.utils.parameters_to_vector(training.train_step.model.parameters()).detach()


def train(training: Training) -> tuple[list[dict[str, Any]], torch.Tensor]:
    rows: list[dict[str, Any]] = []
    torch.manual_seed(5)
    fit(training, rows.append)
    assert training.status == "finished"
    return rows, weights(training)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nag", "adam", "adamw"])
@pytest.mark.slow
def test_a_recording_trains_as_the_steps_do(make_job: MakeJob, optimizer: str) -> None:
    changes = {**LIVELY, "optimizer.name": optimizer}
    rows, _ = train(plain(make_job, changes))
    training, recorder = graphed(make_job, changes)
    graph_rows, _ = train(training)
    assert (recorder.num_recorded, recorder.num_replayed) == (1, 20 - WARM_UP)
    for graph_row, row in zip(graph_rows, rows, strict=True):
        for key in row.keys() - {"seconds"}:
            assert graph_row[key] == pytest.approx(row[key], rel=5e-3, abs=1e-5), key  # the rate is fp32


@pytest.mark.parametrize("stop", [2, 3, 4, 11])
def test_a_recording_is_made_anew_after_a_resume(make_job: MakeJob, stop: int) -> None:
    _, whole = train(graphed(make_job, LIVELY)[0])
    first, _ = graphed(make_job, LIVELY)
    torch.manual_seed(5)
    fit(first, should_stop=lambda: first.step == stop)
    second, recorder = graphed(make_job, LIVELY)
    second.load_state(first.state())
    fit(second)
    assert recorder.num_replayed == 20 - stop - WARM_UP
    torch.testing.assert_close(weights(second), whole, rtol=1e-3, atol=1e-5)


def test_a_loaded_state_is_what_the_next_step_starts_from(make_job: MakeJob) -> None:
    """Loading puts the optimizer's state elsewhere, where an old recording would not look."""
    training, recorder = graphed(make_job, LIVELY)
    fit(training, should_stop=lambda: training.step == 10)
    training.load_state(training.state())
    fit(training)
    assert recorder.num_recorded == 2


def test_checkpoints_are_the_same_with_and_without(make_job: MakeJob) -> None:
    runs = graphed(make_job, LIVELY)[0], plain(make_job, LIVELY)
    for one in runs:
        train(one)
    recorded = runs[0].train_step.optimizer
    assert isinstance(recorded.param_groups[0]["lr"], torch.Tensor)
    groups = [plain_state(one.train_step.optimizer)["param_groups"] for one in runs]
    for mine, theirs in zip(*groups, strict=True):
        assert mine.pop("lr") == pytest.approx(theirs.pop("lr"), rel=1e-6)
        assert mine == theirs
    assert isinstance(recorded.param_groups[0]["lr"], torch.Tensor)


def test_the_range_test_leaves_the_recording_aside(make_job: MakeJob) -> None:
    training, recorder = graphed(make_job, {})
    step, graph = training.train_step, training.train_step.graph
    found = range_test(training, 1e-4, 1e-1, 12)
    assert found.rates == sorted(set(found.rates))
    assert recorder.num_recorded == 0
    assert training.train_step is step
    assert step.graph is graph


def obstacles_of(device: torch.device = CUDA, optimizer: Any = None, **given: Any) -> list[str]:
    weights = [nn.Parameter(torch.zeros(2))]
    known = {"compiled": False, "freezes": False, "scales_loss": False, "num_ranks": 1}
    return obstacles(device, optimizer or torch.optim.AdamW(weights, fused=True), **{**known, **given})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"device": CPU}, "it needs a GPU (CUDA), and the run is on cpu"),
        ({"compiled": True}, "train.compile=true, which makes its own graphs"),
        ({"freezes": True}, "start.freeze_epochs changes on the way what is trained"),
        ({"scales_loss": True}, "train.precision=fp16 leaves out steps"),
        ({"num_ranks": 2}, "2 processes exchange gradients"),
        ({"optimizer": torch.optim.RMSprop([nn.Parameter(torch.zeros(2))])}, "the optimizer is none of sgd, momentum"),
        ({"optimizer": torch.optim.Adam([nn.Parameter(torch.zeros(2))])}, "the optimizer is none of sgd, momentum"),
    ],
)
def test_what_keeps_a_step_from_being_recorded_is_said(given: dict[str, Any], words: str) -> None:
    assert obstacles_of() == []
    (found,) = obstacles_of(**given)
    assert found.startswith(words)


def test_auto_records_where_it_can_and_parts_are_the_labs() -> None:
    there = ["it needs a GPU"]
    assert isinstance(make_graph("auto", CUDA, [], own_parts=False), StepGraph)
    assert isinstance(make_graph("on", CUDA, [], own_parts=True), StepGraph)
    for choice, found, own_parts in [("auto", [], True), ("auto", there, False), ("off", [], False)]:
        assert make_graph(choice, CUDA, found, own_parts) is None


def test_on_where_it_cannot_be_is_an_error(make_job: MakeJob) -> None:
    with pytest.raises(UserError, match=r"graph=on is not possible: it needs a GPU .* on cpu; allowed here: auto, off"):
        assemble(make_job(changes={"train.graph": "on"}).config)
    with pytest.raises(UserError, match=r"^train\.graph=yes is unknown; there are: auto, on, off$"):
        assemble(make_job(changes={"train.graph": "yes"}).config)


def test_a_step_that_cannot_be_recorded_is_told_with_the_remedy(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab.training import graph

    def refuse(*given: Any, **more: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graph.torch.cuda, "device", refuse)
    with pytest.raises(RuntimeError, match=r"train\.graph=off trains without one: operation not permitted"):
        graph.capture(lambda: None, CUDA)


def test_on_a_cpu_nothing_is_recorded(make_job: MakeJob) -> None:
    job = make_job()
    assert assemble(job.config).training.train_step.graph is None
    assert run(job)["status"] == "finished"
