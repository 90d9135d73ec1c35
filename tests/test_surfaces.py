"""Surfaces: their formulas, the start that a seed draws, and runs whose path is recorded."""

import json
import math

import pytest
import torch

from lab.cli.catalogue import config_dir
from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.recipe import build
from lab.nets.surfaces import SURFACES, Point
from lab.runs.build import assemble
from lab.runs.run import run
from lab.surface import FORMULAS

ON_SURFACE = {"data.name": "blank", "train.loss": "value", "train.steps": 5, "train.batch_size": 64}


def point(name: str) -> Point:
    net = build(ModelConfig(name=name), (1,), 1)
    assert isinstance(net, Point)
    return net


def height(net: Point, x: float, y: float) -> torch.Tensor:
    with torch.no_grad():
        net.point.copy_(torch.tensor([x, y]))
    return net(torch.zeros(3, 1))


def test_every_surface_has_its_net_its_file_and_its_formula() -> None:
    assert list(SURFACES) == list(FORMULAS)
    assert set(SURFACES) <= {path.stem for path in (config_dir() / "model").glob("*.yaml")}


@pytest.mark.parametrize("name", SURFACES)
def test_the_height_is_0_at_the_minima_flat_there_and_above_0_elsewhere(name: str) -> None:
    net, surface = point(name), FORMULAS[name]
    for x, y in surface.minima:
        out = height(net, x, y)
        assert out.shape == (3, 1)
        assert out.abs().max() < 1e-5
        net.zero_grad()
        net(torch.zeros(1, 1)).sum().backward()
        assert net.point.grad is not None
        assert net.point.grad.abs().max() < 1e-4
    (left, right), (low, high) = surface.window
    x, y = torch.meshgrid(torch.linspace(left, right, 61), torch.linspace(low, high, 61), indexing="xy")
    assert surface.height(x, y, torch.cos).min() >= -1e-5
    assert all(left < x < right and low < y < high for x, y in [*surface.minima, surface.start])


@pytest.mark.parametrize(
    ("name", "x", "y", "expected"),
    [
        ("saddle", 0.0, 0.0, 0.5),
        ("saddle", 2.0, 0.0, 4.5),
        ("ravine", -5.0, -2.0, 10.5),
        ("beale", 1.0, 1.0, 14.203125),  # More et al. 1981: 1.5^2 + 2.25^2 + 2.625^2
        ("many_minima", 1.0, -2.0, 5.0),
        ("many_minima", 0.5, 0.0, 20.25),
    ],
)
def test_heights_are_those_of_the_literature(name: str, x: float, y: float, expected: float) -> None:
    assert height(point(name), x, y)[0].item() == pytest.approx(expected, abs=1e-5)
    assert FORMULAS[name].height(x, y, math.cos) == pytest.approx(expected, abs=1e-5)


def test_a_start_is_drawn_with_the_seed_around_the_surfaces_own(make_job) -> None:
    starts = [
        assemble(make_job(changes={**ON_SURFACE, "model.name": "ravine", "seed": seed}).config).training.place()
        for seed in (0, 0, 1, 2)
    ]
    assert starts[0] == starts[1]
    assert len({start["x"] for start in starts}) == 3
    assert all(abs(start["x"] + 5) < 1 and abs(start["y"] + 2) < 1 for start in starts)


def test_a_run_records_its_path_and_its_height_is_the_loss(make_job) -> None:
    changes = {**ON_SURFACE, "model.name": "saddle", "optimizer.name": "sgd", "optimizer.lr": 0.1}
    job = make_job(changes=changes)
    result = run(job)
    rows = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    assert result["status"] == "finished"
    assert result["num_params"] == 2
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    x, y = result["start_point"]["x"], result["start_point"]["y"]
    for row in rows:
        x, y = x - 0.1 * 2 * x, y - 0.1 * (2 * y**3 - 2 * y)
        assert (row["train/x"], row["train/y"]) == pytest.approx((x, y), abs=1e-5)
        assert row["val/loss"] == pytest.approx(FORMULAS["saddle"].height(x, y, math.cos), abs=1e-5)
    assert "val/rmse" not in rows[0]
    assert result["metrics"]["test/loss"]["last"] == pytest.approx(rows[-1]["val/loss"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.name": "digits"}, r"model\.name=beale has one output.*data ask for 10; allowed: data=blank"),
        ({"train.loss": "auto"}, r"train\.loss=mse compares outputs with labels.*allowed: train\.loss=value"),
    ],
)
def test_what_does_not_fit_a_surface_is_told(changes: dict, message: str, make_job) -> None:
    with pytest.raises(UserError, match=message):
        assemble(make_job(changes={**ON_SURFACE, "model.name": "beale", **changes}).config)


def test_a_loss_without_labels_is_refused_where_there_are_classes(make_job) -> None:
    with pytest.raises(UserError, match=r"train\.loss=value has no use for classes.*there are: auto, cross_entropy"):
        assemble(make_job(changes={"data.name": "digits", "train.loss": "value"}).config)


def test_init_has_no_effect_on_a_surface() -> None:
    with pytest.warns(UserWarning, match=r"model\.init=zeros has no effect on model\.name=ravine"):
        build(ModelConfig(name="ravine", init="zeros"), (1,), 1)
