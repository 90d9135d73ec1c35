"""Hidden units change places: the net stays the same function, and half-way it is another one."""

import copy
from typing import Any

import pytest
import torch
from conftest import MakeJob
from torch import nn

from lab.config import ModelConfig
from lab.errors import UserError
from lab.nets.init import initialise
from lab.nets.permute import permute
from lab.nets.prune import mse_noise, prune_weights
from lab.nets.recipe import build
from lab.records.places import Job
from lab.runs.build import assemble
from lab.runs.run import run

SHAPE = (3, 8, 8)

RECIPES: dict[str, dict[str, Any]] = {
    "conv": {},
    "linear": {"block": "linear-act", "widths": [12, 7]},
    "mixed": {"block": "conv-act-pool-linear-act", "widths": [6], "depth": 3},
    "batch": {"block": "conv-norm-act-pool", "norm": "batch"},
    "group": {"block": "conv-norm-act-pool", "norm": "group", "widths": [16, 24]},
    "layer": {"block": "conv-norm-act-pool", "norm": "layer"},
    "instance": {"block": "conv-norm-act-conv-norm-act", "norm": "instance", "depth": 5},
    "features": {"block": "linear-norm-act", "norm": "layer", "widths": [12]},
    "avg": {"pool": "avg"},
    "blur": {"pool": "blur"},
    "stride": {"pool": "stride"},
    "stochastic": {"pool": "stochastic"},
    "prelu": {"act": "prelu"},
    "maxout": {"act": "maxout"},
    "standardised": {"weight_std": True},
    "average": {"head": "gap"},
    "maximum": {"head": "gmp"},
    "no bias": {"bias": False},
    "dropped": {"block": "conv-act-drop-pool", "drop": "dropconnect", "drop_rate": 0.2},
    "softmax": {"output": "softmax"},
}


def net(**keys: Any) -> nn.Module:
    """A net in double precision whose norms, slopes and statistics are no longer those of the start."""
    config = ModelConfig(**{"widths": [6, 8], "depth": 3, **keys})
    model = build(config, SHAPE, 4)
    initialise(model, "he_normal", "paper", config.act, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point() and value.ndim == 1:
                value.add_(torch.rand(value.shape, generator=generator))
    return model.double().eval()


def images(number: int = 5) -> torch.Tensor:
    return torch.randn(number, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def moved(model: nn.Module, share: float, seed: int = 0) -> nn.Module:
    other = copy.deepcopy(model)
    assert permute(other, share, images(), torch.Generator().manual_seed(seed)) > 0
    return other


@pytest.mark.parametrize("name", RECIPES)
def test_a_permuted_net_is_the_same_function(name: str) -> None:
    model = net(**RECIPES[name])
    permuted = moved(model, 1.0)
    weights = [key for key, value in model.named_parameters() if value.ndim > 1]
    own, other = dict(model.named_parameters()), dict(permuted.named_parameters())
    assert all(not torch.equal(own[key], other[key]) for key in weights)
    assert all(torch.equal(own[key].flatten().sort().values, other[key].flatten().sort().values) for key in weights)
    with torch.no_grad():
        torch.testing.assert_close(permuted(images()), model(images()), rtol=0, atol=1e-10)


def test_the_ends_are_exact_and_the_middle_is_the_mean() -> None:
    model = net(block="conv-norm-act-pool", norm="batch")
    ends = [dict(moved(model, share).state_dict()) for share in (1e-300, 1.0)]
    half = moved(model, 0.5).state_dict()
    assert all(torch.equal(ends[0][key], value) for key, value in model.state_dict().items())
    for key, value in half.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (ends[0][key] + ends[1][key]) / 2)
        else:
            assert torch.equal(value, ends[0][key])
    with torch.no_grad():
        assert (moved(model, 0.5)(images()) - model(images())).abs().max() > 0.01


def test_the_seed_draws_the_places() -> None:
    model = net()
    first, again, other = (moved(model, 1.0, seed).state_dict() for seed in (0, 0, 1))
    key = "stage1.block1.conv.weight"
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])
    assert torch.equal(first["classifier.bias"], model.state_dict()["classifier.bias"])  # outputs keep their places


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"block": "conv-norm-act", "skip": "add"}, r"layers in a row \(model.skip=none\), and this has Add$"),
        ({"block": "conv-act", "skip": "concat"}, "this has Concat$"),
        ({"block": "conv-act", "depth": 4, "aux_blocks": [1]}, "and this has .*WithAuxiliaries$"),
        ({"widths": [], "depth": 1}, "no hidden units"),
    ],
    ids=["add", "concat", "auxiliary", "linear"],
)
def test_nets_that_are_no_row_are_refused(model: dict[str, Any], message: str) -> None:
    built = build(ModelConfig(**{"widths": [6, 8], "depth": 3, **model}), SHAPE, 4).double()
    with pytest.raises(UserError, match=message):
        permute(built, 1.0, images(), torch.Generator())


class Ramp(nn.Module):
    """Tells maps apart by their place, without weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.arange(1, x.shape[1] + 1, dtype=x.dtype).view(-1, 1, 1)


def test_a_layer_that_tells_units_apart_and_pruned_and_grouped_nets_are_refused() -> None:
    def row(*middle: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3), *middle, nn.Flatten(), nn.Linear(288, 4)).double()

    with pytest.raises(UserError, match=r"outputs of this net differ by .*its layers without weights: Flatten, Ramp"):
        permute(row(Ramp()), 1.0, images(), torch.Generator())
    with pytest.raises(UserError, match="this has grouped Conv2d"):
        permute(
            nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.Flatten(), nn.Linear(108, 4)),
            1.0,
            images(),
            torch.Generator(),
        )
    with pytest.raises(UserError, match=r"group norms of \[2, 4\] groups in a row"):
        permute(row(nn.GroupNorm(2, 8), nn.GroupNorm(4, 8)), 1.0, images(), torch.Generator())
    pruned = row()
    layers = {name: one for name, one in pruned.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)}
    prune_weights(pruned, layers, "magnitude", 0.5, images(), mse_noise, torch.Generator())
    with pytest.raises(UserError, match="was pruned; allowed: one with all of its weights"):
        permute(pruned, 1.0, images(), torch.Generator())


@pytest.fixture
def source(make_job: MakeJob) -> Job:
    job = make_job("source", {"model.depth": 3, "model.widths": [6, 8]})
    run(job)
    return job


def test_a_run_of_no_step_scores_like_its_permuted_source(make_job: MakeJob, source: Job) -> None:
    changes = {"model.depth": 3, "model.widths": [6, 8], "start.run": str(source.folder), "start.load": "all"}
    job = make_job(changes={**changes, "train.steps": 0, "start.permute": 1.0})
    result = run(job)
    assert result["started_from"]["permuted"] == {"share": 1.0, "units": 14}
    scores = run(make_job(changes={**changes, "train.steps": 0}))["metrics"]
    assert result["metrics"]["val/loss"]["last"] == pytest.approx(scores["val/loss"]["last"], rel=1e-5)
    assert result["metrics"]["val/accuracy"] == scores["val/accuracy"]


@pytest.mark.parametrize(
    "changes", [{"start.load": "body"}, {"start.load": "none"}, {"start.run": "", "start.load": "all"}], ids=str
)
def test_it_needs_a_whole_net(changes: dict[str, Any], make_job: MakeJob, source: Job) -> None:
    changes = {"model.depth": 3, "model.widths": [6, 8], "start.run": str(source.folder), **changes}
    with pytest.raises(UserError, match=r"start.permute=0.5 needs a loaded net: start.run or start.source, and"):
        assemble(make_job(changes={**changes, "start.permute": 0.5}).config)
