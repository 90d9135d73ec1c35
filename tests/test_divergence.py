"""A run that diverges says at which step and in which layer its numbers first were not finite."""

import math
from typing import Any

import pytest
import torch
from conftest import MakeJob
from torch import Tensor, nn

from lab.records.outcome import outcome
from lab.records.results import read_result
from lab.runs.run import run


class Trap(nn.Module):
    """x, until its counter, which is part of its state, comes to a number."""

    calls: Tensor

    def __init__(self, at: int, value: float):
        super().__init__()
        self.at, self.value = at, value
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return x * self.value if self.calls == self.at else x


class Overflow(torch.autograd.Function):
    """x, with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradients[0] * ctx.factor, None


class Steep(Trap):
    """x, whose gradient overflows at one step."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return Overflow.apply(x, math.inf if self.calls == self.at else 1.0)  # pyright: ignore[reportReturnType]


def net(middle: nn.Module, in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    layers = nn.Sequential()
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("first", nn.Linear(math.prod(in_shape), 8))
    layers.add_module("act", nn.ReLU(inplace=True))
    layers.add_module("middle", middle)
    layers.add_module("drop", nn.Dropout(0.2))
    layers.add_module("classifier", nn.Linear(8, num_outputs))
    return layers


def nan_at_8(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    return net(Trap(8, math.nan), in_shape, num_outputs)


def steep_at_8(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    return net(Steep(8, 0.0), in_shape, num_outputs)


def steep_at_20(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    return net(Steep(20, 0.0), in_shape, num_outputs)


def infinite_gate(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """Infinite on the way at every step, and never in the loss, until step 8."""
    middle = nn.Sequential(Always(), nn.Sigmoid(), Trap(8, math.inf))
    return net(middle, in_shape, num_outputs)


class Always(nn.Module):
    """Minus infinity."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach() * 0 - math.inf


def place(make_job: MakeJob, name: str, **changes: Any) -> dict[str, Any]:
    job = make_job(changes={"model.name": f"{__name__}:{name}", "train.eval_every": 1.0, **changes})
    result = run(job)
    assert result["status"] == "diverged", result
    assert read_result(job.folder) == result
    assert not (job.folder / "checkpoint.prev.pt").exists()
    return result["diverged_at"]


@pytest.mark.parametrize("checkpoint_every", [60.0, 0.0])
def test_the_step_and_the_layer_are_named(make_job: MakeJob, checkpoint_every: float) -> None:
    every = {"train.checkpoint_every": checkpoint_every}
    assert place(make_job, "nan_at_8", **every) == {"step": 8, "layer": "middle", "what": "activation"}


@pytest.mark.parametrize("checkpoint_every", [60.0, 0.0])
def test_a_gradient_that_overflows_under_a_finite_loss(make_job: MakeJob, checkpoint_every: float) -> None:
    """It comes out below the layer that made it: at the layer before."""
    every = {"train.checkpoint_every": checkpoint_every}
    assert place(make_job, "steep_at_8", **every) == {"step": 8, "layer": "act", "what": "gradient"}


def test_the_last_step_counts_though_its_loss_was_finite(make_job: MakeJob) -> None:
    assert place(make_job, "steep_at_20") == {"step": 20, "layer": "act", "what": "gradient"}


def test_what_comes_to_nothing_is_not_it(make_job: MakeJob) -> None:
    """Clipping saves the run where a gradient is too large; a sigmoid of minus infinity is 0."""
    assert place(make_job, "infinite_gate") == {"step": 8, "layer": "middle.0", "what": "activation"}
    job = make_job(changes={"model.name": f"{__name__}:infinite_gate", "train.steps": 7})
    assert run(job)["status"] == "finished"


def test_too_high_a_rate(make_job: MakeJob) -> None:
    for rate, layers in ((1e6, {"stage1.block1.conv", "classifier"}), (1e38, {"stage1.block1.conv", "classifier"})):
        job = make_job("rate", {"optimizer.name": "sgd", "optimizer.lr": rate, "train.loss": "mse"})
        result = run(job)
        found = result["diverged_at"]
        assert result["status"] == "diverged"
        assert 1 <= found["step"] <= result["steps"]
        assert found["what"] in ("activation", "loss", "weight")
        assert found["layer"] in layers | {None}
        assert outcome(result).startswith(f"diverged at step {found['step']} ({found['what']}")


def test_it_is_found_where_the_run_had_resumed(make_job: MakeJob) -> None:
    job = make_job(changes={"model.name": f"{__name__}:nan_at_8"})
    done = iter(range(1, 100))
    assert run(job, should_stop=lambda: next(done) >= 7)["status"] == "interrupted"
    assert run(job)["diverged_at"] == {"step": 8, "layer": "middle", "what": "activation"}


def test_the_rates_of_a_plateau_come_again(make_job: MakeJob) -> None:
    """The reports on the way count: without them the replay would walk elsewhere."""
    changes = {"schedule.name": "plateau", "schedule.patience": 0, "optimizer.name": "sgd", "optimizer.lr": 0.1}
    assert place(make_job, "nan_at_8", **changes)["step"] == 8


def test_a_run_that_is_well_has_no_such_place(make_job: MakeJob) -> None:
    result = run(make_job())
    assert "diverged_at" not in result
    assert outcome(result) == "finished"
    assert outcome({"status": "diverged"}) == "diverged"  # one of an earlier version


def test_pictures_that_are_not_finite_are_the_input(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.data.batches import Order

    batch = Order.batch

    def broken(order: Order, step: int) -> tuple[Tensor, Tensor]:
        images, labels = batch(order, step)
        return (images.clone().fill_(math.inf) if step == 4 else images), labels

    monkeypatch.setattr(Order, "batch", broken)
    assert run(make_job())["diverged_at"] == {"step": 5, "layer": "input", "what": "activation"}


def test_a_pruned_or_standardised_layer_bears_its_own_name(make_job: MakeJob) -> None:
    changes = {"model.weight_std": True, "optimizer.name": "sgd", "optimizer.lr": 1e38}
    found = run(make_job(changes=changes))["diverged_at"]
    assert found["layer"] is None or "parametrizations" not in found["layer"]


def test_a_checkpoint_after_the_harm_does_not_hide_it(make_job: MakeJob) -> None:
    """Weights that are not finite are written once at most, as the loss tells at the next step."""
    job = make_job(changes={"model.name": f"{__name__}:steep_at_8", "train.checkpoint_every": 0.0})
    done = iter(range(1, 100))
    assert run(job, should_stop=lambda: next(done) >= 8)["status"] == "interrupted"
    state = torch.load(job.folder / "checkpoint.pt", weights_only=True)
    assert state["step"] == 8
    assert not state["model"]["first.weight"].isfinite().all()
    assert run(job)["diverged_at"] == {"step": 8, "layer": "act", "what": "gradient"}


class ShownTrap(nn.Module):
    """x while it trains; from its n-th evaluation on not a number."""

    shown: Tensor

    def __init__(self, at: int):
        super().__init__()
        self.at = at
        self.register_buffer("shown", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x
        self.shown += 1
        return x * math.nan if self.shown >= self.at else x


def shown_3(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    c, h, w = in_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, num_outputs), ShownTrap(3))


def shown_8(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    c, h, w = in_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, num_outputs), ShownTrap(8))


@pytest.mark.parametrize(("net", "step", "metric"), [("shown_3", 9, "val/loss"), ("shown_8", 20, "test/loss")])
def test_a_loss_of_an_evaluation_that_is_not_finite(make_job: MakeJob, net: str, step: int, metric: str) -> None:
    """Training goes well; the third evaluation, or that of the test images, does not."""
    job = make_job(changes={"model.name": f"{__name__}:{net}"})
    result = run(job)
    assert result["status"] == "diverged"
    assert result["steps"] == step
    assert result["metrics"][metric]["last"] is None
    assert result["diverged_at"] == {"step": step, "layer": "2", "what": "activation"}
    assert math.isfinite(result["metrics"]["train/loss"]["last"])
    assert job.is_terminal()
