"""What `train.watch` says of layers while a run trains, and that a dying net says so once."""

import json
import math
import warnings
from typing import Any

import pytest
import torch
from conftest import MakeJob
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from lab.records.results import read_metrics
from lab.runs.health import Health
from lab.runs.run import run
from lab.runs.watch import layers_seen


def curves(job) -> dict[str, dict[int, float]]:
    """The `watch_` curves of a run by tag: step and value."""
    (file,) = job.folder.glob("events.out.tfevents.*")
    found = EventAccumulator(str(file), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    tags = [tag for tag in found.Tags()["scalars"] if tag.startswith("watch_")]
    return {tag: {event.step: event.value for event in found.Scalars(tag)} for tag in tags}


def test_each_layer_has_its_curves_at_the_chosen_steps(make_job: MakeJob) -> None:
    changes = {"train.watch": True, "train.watch_steps": [1, 4], "model.act": "tanh", "train.pictures": 0}
    job = make_job(changes=changes)
    assert run(job)["notes"] == []
    found = curves(job)
    assert set(found) == {
        "watch_saturated/stage1.block1.act",
        *(f"watch_{what}/{layer}" for what in ("gradient_norm", "update_ratio") for layer in LAYERS),
    }
    assert all(list(points) == [1, 4] for points in found.values())
    assert all(0 < value < 1 for layer in LAYERS for value in found[f"watch_update_ratio/{layer}"].values())


LAYERS = ("stage1.block1.conv", "classifier")


def test_without_steps_each_logged_point_has_them(make_job: MakeJob) -> None:
    job = make_job(changes={"train.watch": True, "train.pictures": 0})
    run(job)
    rows = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    found = curves(job)["watch_update_ratio/classifier"]
    assert list(found) == [row["step"] for row in rows]


def test_an_interrupted_run_keeps_its_curves(make_job: MakeJob) -> None:
    job = make_job(changes={"train.watch": True, "train.pictures": 0, "train.watch_steps": [2, 12]})
    asked = iter(range(100))
    assert run(job, should_stop=lambda: next(asked) == 8)["status"] == "interrupted"
    assert list(curves(job)["watch_dead/stage1.block1.act"]) == [2]
    assert run(job)["status"] == "finished"
    assert list(curves(job)["watch_dead/stage1.block1.act"]) == [2, 12]


def test_the_update_is_that_of_the_step() -> None:
    layer = nn.Linear(3, 2, bias=False)
    health = Health(nn.Sequential(layer))
    with torch.no_grad():
        layer.weight.fill_(2.0)
        health.keep()
        layer.weight.add_(0.1)
        layer.weight.grad = torch.full((2, 3), 3.0)
    found = health.measure(1, {})
    assert found["watch_update_ratio/0"] == pytest.approx(0.1 / 2.1)
    assert found["watch_gradient_norm/0"] == pytest.approx(3 * math.sqrt(6))
    assert not any(tag.startswith("watch_update") for tag in health.measure(2, {}))  # it was not told before


@pytest.mark.filterwarnings("default:the net is dying")
def test_a_net_whose_units_die_says_so_once(make_job: MakeJob) -> None:
    dying = {"train.watch": True, "train.pictures": 0, "optimizer.name": "sgd", "optimizer.lr": 3.0}
    job = make_job(changes={**dying, "model.block": "linear-act", "model.widths": [32], "model.depth": 3})
    notes = [note for note in run(job)["notes"] if "dying" in note]
    assert len(notes) == 1, notes
    assert "of the units of stage1.block" in notes[0]
    assert json.loads((job.folder / "result.json").read_text())["notes"] == notes


def dying(net: nn.Module, images: Tensor, gradients: dict[str, float], steps: int = 1) -> list[str]:
    """What is said of a net with these gradients, and updates as large."""
    health = Health(net)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(1, steps + 1):
            health.keep()
            for name, parameter in net.named_parameters():
                parameter.grad = torch.full_like(parameter, gradients.get(name.partition(".")[0], 0.0))
                with torch.no_grad():
                    parameter.sub_(parameter.grad)
            health.measure(step, layers_seen(net, images))
    return [str(one.message) for one in caught]


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False))


def test_a_gradient_that_vanished_is_named_with_its_layer() -> None:
    images = torch.randn(40, 4)
    assert dying(deep(), images, {"0": 1e-5, "2": 1e-2}) == []
    (said,) = dying(deep(), images, {"0": 1e-14, "2": 1e-2}, steps=3)
    assert said.startswith("the net is dying: at step 1 the gradient of 0 is ")
    (said,) = dying(deep(), images, {"0": 0.0, "2": 0.0})
    assert said.endswith("the gradient of 0 is 0 (and 1 more layer like it)")


def test_a_layer_that_moves_in_spite_of_a_small_gradient_is_alive() -> None:
    """Adam divides by the size of the gradient."""
    net = deep()
    health = Health(net)
    health.keep()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, parameter in net.named_parameters():
            parameter.grad = torch.full_like(parameter, 1e-14 if name.startswith("0") else 1e-2)
            parameter.sub_(1e-3)
        found = health.measure(1, {})
    assert found["watch_gradient_norm/0"] == pytest.approx(1e-14 * math.sqrt(32))


def test_dead_units_are_counted_and_named() -> None:
    net = deep()
    with torch.no_grad():
        net.get_parameter("0.weight").copy_(-torch.ones(8, 4))
        net.get_parameter("0.weight")[0] = 1.0
    images = torch.rand(40, 4)
    health = Health(net)
    assert health.measure(3, layers_seen(net, images))["watch_dead/1"] == 7 / 8
    with torch.no_grad():
        net.get_parameter("0.weight")[0] = -1.0
    with pytest.warns(UserWarning, match="at step 4 100% of the units of 1 are dead"):
        health.measure(4, layers_seen(net, images))


def test_restored_weights_are_no_update() -> None:
    net: Any = deep()
    health = Health(net)
    health.keep()
    health.forget()
    assert not any(tag.startswith("watch_update_ratio") for tag in health.measure(1, {}))


def logged(make_job: MakeJob, **values: object) -> list[dict[str, float]]:
    """The logged points of a watched run."""
    job = make_job(changes={"train.watch": True, "train.pictures": 0, **values})
    assert run(job)["status"] == "finished"
    return read_metrics(job.folder)


def test_dead_units_saturation_and_gradients_can_be_compared(make_job: MakeJob) -> None:
    relu, leaky, tanh = (
        logged(make_job, **{"model.act": act, "optimizer.lr": 3.0}) for act in ("relu", "leaky_relu", "tanh")
    )
    assert all({"train/dead_units", "train/saturated", "train/gradient_norm"} <= set(row) for row in relu)
    assert relu[-1]["train/dead_units"] > 0 == relu[-1]["train/saturated"]
    assert leaky[-1]["train/dead_units"] == leaky[-1]["train/saturated"] == 0
    assert tanh[-1]["train/saturated"] > 0 == tanh[-1]["train/dead_units"]
    assert all(row["train/gradient_norm"] >= 0 for row in relu)


def test_the_first_layer_is_compared_with_the_last() -> None:
    """In the order of the signals, whatever the order of the modules; 3 and 5 times sqrt(entries) here."""

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.beside = nn.Linear(9, 9)
            self.top, self.bottom = nn.Linear(4, 2, bias=False), nn.Linear(4, 4, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.top(self.bottom(x))

    net = Backwards()
    health = Health(net)
    for layer, weight, slope in ((net.top, 2.0, 3.0), (net.bottom, 1.0, 5.0)):
        with torch.no_grad():
            layer.weight.fill_(weight)
        layer.weight.grad = torch.full_like(layer.weight, slope)
    health.keep()
    with torch.no_grad():
        net.bottom.weight.sub_(0.5)
        net.top.weight.sub_(1.0)
    health.measure(1, layers_seen(net, torch.ones(3, 4)))
    assert health.totals["train/gradient_ratio"] == pytest.approx(5 * 4 / (3 * math.sqrt(8)))
    assert health.totals["train/learning_ratio"] == pytest.approx((0.5 / 0.5) / (1.0 / 1.0))
    health.measure(2, layers_seen(net, torch.ones(3, 4)))
    assert "train/learning_ratio" not in health.totals  # nobody kept the weights


def test_gradients_whose_squares_float32_takes_for_zero_have_a_norm() -> None:
    net = deep()
    for name, slope in (("0.weight", 1e-30), ("2.weight", 1.0)):
        parameter = net.get_parameter(name)
        parameter.grad = torch.full_like(parameter, slope)
    health = Health(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has vanished
        health.measure(1, layers_seen(net, torch.randn(3, 4)))
    assert health.totals["train/gradient_ratio"] == pytest.approx(1e-30 * math.sqrt(32 / 16), rel=1e-5)


@pytest.mark.filterwarnings("ignore:the net is dying")
def test_without_any_gradient_there_is_no_ratio(make_job: MakeJob) -> None:
    (row,) = logged(make_job, **{"train.steps": 0})
    assert (row["train/gradient_norm"], row["train/gradient_ratio"]) == (0, None)
    rows = logged(make_job, **{"model.init": "zeros"})
    assert rows[0]["train/gradient_ratio"] is None


def test_weights_under_other_names_have_their_place() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.ones(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.matrix

    net = nn.Sequential(Bare(), nn.Tanh(), nn.Linear(4, 2))
    assert Health(net).ends(["0", "1", "2"], ["2", "0.matrix"]) == ("0.matrix", "2")
    assert Health(net).ends([], ["0.matrix", "2"]) == ("0.matrix", "2")  # functions alone: as they are listed
    assert Health(net).ends(["0"], []) == ("", "")


def test_layers_with_computed_weights_have_their_place(make_job: MakeJob) -> None:
    rows = logged(make_job, **{"model.weight_std": True, "model.depth": 3, "model.block": "conv-norm-act"})
    assert all(row["train/gradient_ratio"] > 0 for row in rows)


def test_at_chosen_steps_alone_nothing_is_logged_between(make_job: MakeJob) -> None:
    rows = logged(make_job, **{"train.watch_steps": [2]})
    assert not any("train/dead_units" in row for row in rows)
