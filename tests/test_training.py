"""The loop learns, repeats itself to the bit, goes on where it stopped, and says how it ended."""

import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeJob, rows
from torch import nn

from lab.data.batches import Order
from lab.errors import UserError
from lab.records.places import settled
from lab.records.results import read_metrics
from lab.records.write import write_atomically
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.checkpoint import load_checkpoint, pack
from lab.training.clock import Clock
from lab.training.fit import fit
from lab.training.precision import choose_format

CPU = torch.device("cpu")

# A net in which everything that can go wrong in a resumed run does something: dropout, batch norm, momenta, a schedule.
LIVELY = {
    "model.block": "conv-norm-act-drop-pool",
    "model.norm": "batch",
    "optimizer.name": "adamw",
    "optimizer.lr": 0.01,
    "schedule.name": "one_cycle",
}


def stop_after(steps: int) -> Callable[[], bool]:
    count = itertools.count(1)
    return lambda: next(count) >= steps


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["model"]


def assert_same_end(one: Path, other: Path) -> None:
    """Both runs logged the same numbers and ended with the same weights and statistics, to the bit."""
    assert rows(one) == rows(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_it_learns(make_job: MakeJob) -> None:
    changes = {"data.name": "synthetic", "train.steps": 60, "train.batch_size": 64, "train.eval_every": 100.0}
    result = run(make_job(changes={**changes, "optimizer.lr": 0.01}))
    assert result["status"] == "finished"
    assert result["metrics"]["val/accuracy"]["last"] > 0.9
    assert result["metrics"]["test/accuracy"]["last"] > 0.9
    assert result["metrics"]["train/loss"]["last"] < 1.0


def test_a_run_repeats_itself_to_the_bit(make_job: MakeJob) -> None:
    one, other, another = make_job("one", LIVELY), make_job("other", LIVELY), make_job("one", {**LIVELY, "seed": 1})
    run(one)
    torch.rand(7)  # whatever the process drew before
    run(other)
    assert_same_end(one.folder, other.folder)
    run(another)
    assert rows(one.folder) != rows(settled(another).folder)


@pytest.mark.parametrize("stops", [[1], [7], [6], [19], [4, 9, 2]], ids=str)
def test_a_resumed_run_equals_an_uninterrupted_one(make_job: MakeJob, stops: list[int]) -> None:
    """Stopped in the midst of an epoch, between two logged points, at one, or several times."""
    whole, parts = make_job("whole", LIVELY), make_job("parts", LIVELY)
    run(whole)
    for done, steps in zip(itertools.accumulate(stops), stops, strict=True):
        result = run(parts, should_stop=stop_after(steps))
        assert (result["status"], result["steps"]) == ("interrupted", done)
        torch.rand(7)
    assert run(parts)["status"] == "finished"
    assert_same_end(whole.folder, parts.folder)


def test_a_killed_run_goes_on_from_its_last_checkpoint(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, killed = make_job("whole", LIVELY), make_job("killed", {**LIVELY, "train.checkpoint_every": 0.0})
    run(whole)
    run(killed, should_stop=stop_after(5))
    batch = Order.batch

    def die_at_step_11(order: Order, step: int) -> Any:
        if step == 11:
            raise KeyboardInterrupt
        return batch(order, step)

    with monkeypatch.context() as patch:
        patch.setattr(Order, "batch", die_at_step_11)
        with pytest.raises(KeyboardInterrupt):
            run(killed)
    assert not (killed.folder / "result.json").exists()  # what the first start left does not hold any more
    assert load_checkpoint(killed.folder / "checkpoint.pt", CPU)["step"] == 11  # pyright: ignore[reportOptionalSubscript]
    run(killed)
    assert_same_end(whole.folder, killed.folder)


def test_a_divergent_run_says_so(make_job: MakeJob) -> None:
    job = make_job(changes={"optimizer.name": "sgd", "optimizer.lr": 1e30})
    result = run(job)
    assert result["status"] == "diverged"
    assert result["steps"] < 20
    assert read_metrics(job.folder)[-1]["train/loss"] is None
    assert job.is_terminal()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_a_checkpoint(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    job, batch, before = make_job(), Order.batch, signal.getsignal(number)

    def interrupt_at_step_4(order: Order, step: int) -> Any:
        if step == 4:
            os.kill(os.getpid(), number)
        return batch(order, step)

    with monkeypatch.context() as patch:
        patch.setattr(Order, "batch", interrupt_at_step_4)
        result = run(job)
    assert (result["status"], result["steps"]) == ("interrupted", 5)
    assert load_checkpoint(job.folder / "checkpoint.pt", CPU)["step"] == 5  # pyright: ignore[reportOptionalSubscript]
    assert signal.getsignal(number) is before
    assert not job.is_terminal()
    assert run(job)["status"] == "finished"
    assert signal.getsignal(number) is before


def test_a_stop_at_the_last_step_is_no_interruption(make_job: MakeJob) -> None:
    assert run(make_job(), should_stop=stop_after(20))["status"] == "finished"


def test_epochs_become_steps(make_job: MakeJob) -> None:
    job = make_job(changes={"train.steps": None, "train.epochs": 2.5, "train.eval_every": 1.0})
    assert run(job)["steps"] == 15
    assert [(row["step"], row["epoch"]) for row in read_metrics(job.folder)] == [(6, 1), (12, 2), (15, 2.5)]


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.epochs", -1.0, "0 .the net as it starts. to 1,000,000,000"),
        ("train.steps", -1, "0 .the net as it starts. or more"),
        ("train.max_seconds", 0.0, "above 0"),
        ("train.eval_every", 0.0, "above 0"),
        ("train.eval_limit", 0, "1 or more"),
        ("train.checkpoint_every", -1.0, "0 or more"),
        ("train.clip_norm", -1.0, "0 .off. or more"),
        ("seed", -1, "0 or more"),
    ],
)
def test_a_value_out_of_range_is_named(make_job: MakeJob, key: str, value: float, allowed: str) -> None:
    with pytest.raises(UserError, match=rf"{key}={value} is out of range; allowed: {allowed}"):
        assemble(make_job(changes={key: value}).config)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.device", "gpu", r"train\.device=gpu is unknown.*; there are: auto, cpu, cuda, mps, cuda:0"),
        ("train.device", "cuda:99", r"train\.device=cuda:99 is not on this machine; there are: auto, cpu"),
        ("train.precision", "fp8", r"train\.precision=fp8 is unknown .*there are: fp32, bf16, fp16"),
    ],
)
def test_an_unknown_device_or_precision_is_named(make_job: MakeJob, key: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        assemble(make_job(changes={key: value}).config)


def test_nets_that_differ_see_the_same_batches(make_job: MakeJob) -> None:
    different = {"model.block": "linear-norm-act-drop", "optimizer.name": "sgd"}
    one, other = (
        assemble(make_job(changes=changes).config).training.train_step
        for changes in ({"model.block": "conv-act-pool"}, different)
    )
    for step in (0, 5, 6, 13):
        for first, second in zip(one.batch(step), other.batch(step), strict=True):
            assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["recipe", "own_parts:whole_net"])
def test_first_weights_depend_on_the_seed_alone(make_job: MakeJob, name: str) -> None:
    def first_weights(seed: int, world: int) -> torch.Tensor:
        torch.manual_seed(world)
        model = assemble(make_job(changes={"model.name": name, "seed": seed}).config).model
        return nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(first_weights(seed=0, world=1), first_weights(seed=0, world=2))
    assert not torch.equal(first_weights(seed=0, world=1), first_weights(seed=1, world=1))


def test_the_rate_follows_the_schedule(make_job: MakeJob) -> None:
    job = make_job(changes={"schedule.name": "cosine", "schedule.warmup_frac": 0.5, "optimizer.lr": 0.02})
    run(job)
    rates = {row["step"]: row["train/lr"] for row in read_metrics(job.folder)}
    assert rates[6] == pytest.approx(0.02 * 6 / 11)  # the rate with which the sixth step was taken
    assert rates[12] == pytest.approx(0.02 * (1 + torch.cos(torch.tensor(torch.pi * 0.1)).item()) / 2)


def step_length(make_job: MakeJob, clip_norm: float) -> float:
    """How far one step of plain SGD at rate 1 moves the weights: the norm of the gradient it used."""
    changes = {"train.steps": 1, "optimizer.name": "sgd", "optimizer.lr": 1.0, "train.clip_norm": clip_norm}
    parts = assemble(make_job(changes=changes).config)
    before = nn.utils.parameters_to_vector(parts.model.parameters()).detach().clone()
    fit(parts.training)
    return (nn.utils.parameters_to_vector(parts.model.parameters()) - before).norm().item()


def test_the_gradient_is_clipped_to_its_norm(make_job: MakeJob) -> None:
    free = step_length(make_job, 0.0)
    assert free > 0.1
    assert step_length(make_job, 0.1) == pytest.approx(0.1, rel=1e-3)
    assert step_length(make_job, 2 * free) == pytest.approx(free, rel=1e-5)


def test_bf16_trains_alike_but_not_the_same(make_job: MakeJob) -> None:
    exact, coarse = make_job(), make_job(changes={"train.precision": "bf16"})
    run(exact)
    assert run(coarse)["status"] == "finished"
    first, second = (rows(job.folder)[-1]["train/loss"] for job in (exact, coarse))
    assert first != second
    assert first == pytest.approx(second, rel=0.1)
    assert all(value.dtype == torch.float32 for value in weights(coarse.folder).values())


def test_channels_last_changes_only_the_rounding(make_job: MakeJob) -> None:
    # no dropout, which draws in the order of memory, and no Adam, which makes a step of any rounding
    changes = {
        "data.name": "synthetic",
        "model.block": "conv-norm-act-pool",
        "optimizer.name": "sgd",
        "optimizer.lr": 0.1,
    }
    jobs = [make_job(changes={**changes, "train.channels_last": value}) for value in (False, True)]
    images, _ = assemble(jobs[1].config).training.train_step.batch(0)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert not images.is_contiguous()
    for job in jobs:
        run(job)
    first, second = (weights(job.folder) for job in jobs)
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-3, atol=1e-4)


def test_an_evaluation_does_not_depend_on_its_batches(make_job: MakeJob) -> None:
    parts = assemble(make_job(changes=LIVELY).config)
    parts.model.train()
    before = {key: value.clone() for key, value in parts.model.state_dict().items()}
    whole = parts.score(parts.data.test.batches(1000))
    pieces = parts.score(parts.data.test.batches(7))
    assert pieces["accuracy"] == whole["accuracy"]
    assert pieces["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in parts.model.state_dict().items())


def test_the_net_trains_on_after_an_evaluation(make_job: MakeJob) -> None:
    parts = assemble(make_job(changes=LIVELY).config)
    modes = []
    parts.model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    fit(parts.training, report=lambda point: modes.append(parts.model.training))
    assert modes[:5] == [True, True, True, False, True]  # three steps, an evaluation, its logged point


def test_two_runs_that_take_turns_train_as_they_would_alone(make_job: MakeJob) -> None:
    def ends(*seeds: int) -> list[torch.Tensor]:
        parts = [assemble(make_job(changes={"seed": seed}).config) for seed in seeds]
        while any(part.training.status == "running" for part in parts):
            for part in parts:
                fit(part.training, should_stop=lambda: True)  # one step
                if part.training.status == "interrupted":
                    part.training.status = "running"
        assert [part.training.status for part in parts] == ["finished"] * len(seeds)
        return [nn.utils.parameters_to_vector(part.model.parameters()) for part in parts]

    for together, alone in zip(ends(1, 2), ends(1) + ends(2), strict=True):
        assert torch.equal(together, alone)


def test_all_that_a_step_needs_is_there_when_it_is_made(make_job: MakeJob) -> None:
    training = assemble(make_job(changes=LIVELY).config).training
    step, before = training.train_step, vars(training.train_step).copy()
    with pytest.raises(FrozenInstanceError):
        step.loss = lambda outputs, labels, reduction: outputs.sum()  # pyright: ignore[reportAttributeAccessIssue]
    fit(training)
    assert training.train_step is step
    assert all(value is before[name] for name, value in vars(step).items())
    assert training.status == "finished"  # though nobody asked for its logged points or its checkpoints


def test_the_clock_counts_training_alone_and_waits_for_the_device_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = iter([10.0, 13.0, 20.0, 24.0, 30.0, 100.0]), []
    monkeypatch.setattr("lab.training.clock.time.monotonic", lambda: said.append("read") or next(now))
    monkeypatch.setattr("lab.training.clock.synchronise", lambda device: said.append("wait"))
    clock = Clock(CPU, limit=8.0)
    clock.start()
    with clock.paused():
        assert clock.seconds == 3
    with clock.paused():
        assert clock.seconds == 3 + 4
    assert said == ["read", "wait", "read", "read", "wait", "read", "read"]
    assert clock.is_up()
    assert clock.seconds == 7


# Checkpoints

STATE = {"model": {"weight": torch.arange(600.0)}, "step": 3, "names": ["a", "b"], "rate": 0.1}


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert load_checkpoint(path, CPU) is None
    write_atomically(path, pack(STATE))
    state = load_checkpoint(path, CPU)
    assert state is not None
    assert torch.equal(state["model"].pop("weight"), torch.arange(600.0))
    assert state == {**STATE, "model": {}}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    torch.save({"model": print}, tmp_path / "checkpoint.pt")
    with pytest.warns(UserWarning, match="is damaged"):
        assert load_checkpoint(tmp_path / "checkpoint.pt", CPU) is None


def flip(content: bytes) -> bytes:
    """One letter of a name inside the pickle is no UTF-8 any more."""
    place = content.index(b"names")
    return content[:place] + b"\xff" + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: b"no checkpoint", lambda content: content[:900], flip],
    ids=["empty", "text", "cut", "flip"],
)
def test_a_damaged_checkpoint_is_set_aside(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "checkpoint.pt"
    write_atomically(path, pack(STATE))
    content = damage(path.read_bytes())
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"(?s)checkpoint\.pt is damaged .*set aside as checkpoint\.pt\.damaged"):
        assert load_checkpoint(path, CPU) is None
    assert not path.exists()
    assert (tmp_path / "checkpoint.pt.damaged").read_bytes() == content


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_run_with_a_damaged_checkpoint_starts_over(make_job: MakeJob) -> None:
    whole, broken = make_job("whole", LIVELY), make_job("broken", LIVELY)
    run(whole)
    run(broken, should_stop=stop_after(7))
    (broken.folder / "checkpoint.pt").write_bytes(b"PK")
    (note,) = run(broken)["notes"]
    assert "starting over" in note
    assert_same_end(whole.folder, broken.folder)


def test_channels_lie_last_where_that_is_faster() -> None:
    cpu, gpu, last = torch.device("cpu"), torch.device("cuda"), torch.channels_last
    assert choose_format(None, cpu, None) is last
    assert choose_format(None, gpu, torch.bfloat16) is last
    assert choose_format(True, gpu, None) is last
    assert choose_format(None, gpu, None) is torch.contiguous_format
    assert choose_format(None, cpu, None, appends=True) is torch.contiguous_format
    assert choose_format(False, cpu, None) is torch.contiguous_format
