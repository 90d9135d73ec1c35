"""Penalties, the bound on a unit's weights and the log of clipping do what their formulas say."""

import math

import pytest
import torch
from conftest import MakeJob
from torch import nn

from lab.config import RunConfig, TrainConfig
from lab.errors import UserError
from lab.records.results import read_metrics
from lab.runs.build import assemble
from lab.runs.run import run
from lab.training.clipping import make_clip
from lab.training.penalties import make_bound, make_penalty, weight_figures
from lab.validation import validate


class SmallNet(nn.Module):
    """A layer of each kind, which is all that matters here."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.norm, self.linear = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 3)
        self.double()

    def weights(self) -> list[float]:
        return [*self.conv.weight.flatten().tolist(), *self.linear.weight.flatten().tolist()]


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("l1", lambda w: abs(w)),
        ("l2", lambda w: w * w / 2),
        ("elastic", lambda w: 0.3 * abs(w) + 0.7 * w * w / 2),
    ],
)
def test_a_penalty_sums_over_weights_alone(name: str, formula) -> None:
    net = SmallNet()
    penalty = make_penalty(TrainConfig(penalty=name, penalty_weight=0.2, penalty_l1_share=0.3), net)
    assert penalty is not None
    assert penalty().item() == pytest.approx(0.2 * sum(map(formula, net.weights())), rel=1e-12)
    penalty().backward()
    assert {key for key, one in net.named_parameters() if one.grad is not None} == {"conv.weight", "linear.weight"}


def test_the_penalty_follows_the_weights() -> None:
    net = SmallNet()
    penalty = make_penalty(TrainConfig(penalty="l1", penalty_weight=1.0), net)
    assert penalty is not None
    before = penalty().item()
    with torch.no_grad():
        net.linear.weight.zero_()
    assert penalty().item() < before


@pytest.mark.parametrize("config", [TrainConfig(), TrainConfig(penalty="l1", penalty_weight=0.0)])
def test_no_penalty_costs_nothing(config: TrainConfig) -> None:
    assert make_penalty(config, SmallNet()) is None


def test_l2_is_coupled_weight_decay(make_job: MakeJob) -> None:
    sgd = {"optimizer.name": "sgd", "optimizer.lr": 0.1}
    penalised, decayed = (
        assemble(make_job(changes={**sgd, **changes}).config).training.train_step
        for changes in ({"train.penalty": "l2", "train.penalty_weight": 0.05}, {"optimizer.weight_decay": 0.05})
    )
    for step in range(3):
        penalised(step)
        decayed(step)
    for one, other in zip(penalised.model.parameters(), decayed.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_l1_drives_weights_to_zero(make_job: MakeJob) -> None:
    changes = {"optimizer.name": "sgd", "optimizer.lr": 0.05, "train.steps": 60, "train.batch_size": 60}
    found = {}
    for penalty in ("none", "l1", "l2"):
        result = run(make_job(changes={**changes, "train.penalty": penalty, "train.penalty_weight": 0.02}))
        found[penalty] = {key: result["metrics"][f"train/{key}"]["last"] for key in ("near_zero", "weight_norm")}
    assert found["l1"]["near_zero"] > 3 * max(found["none"]["near_zero"], found["l2"]["near_zero"])
    assert found["l2"]["weight_norm"] < found["none"]["weight_norm"]


def test_the_penalty_is_reported_beside_the_loss(make_job: MakeJob) -> None:
    job = make_job(changes={"train.penalty": "l2", "train.penalty_weight": 0.01, "optimizer.lr": 1e-9})
    run(job)
    row = read_metrics(job.folder)[-1]
    assert row["train/penalty"] == pytest.approx(0.01 * row["train/weight_norm"] ** 2 / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainConfig(penalty="l3"), r"train.penalty=l3 is unknown.*; there are: none, l1, l2, elastic"),
        (TrainConfig(penalty_weight=-1.0), "train.penalty_weight=-1.0 is out of range; allowed: 0 or more"),
        (TrainConfig(penalty_l1_share=1.5), "train.penalty_l1_share=1.5 is out of range; allowed: 0 to 1"),
    ],
)
def test_a_bad_penalty_is_named(config: TrainConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(RunConfig(train=config))


# Max-norm


def test_the_bound_scales_long_units_and_leaves_short_ones() -> None:
    net = SmallNet()
    with torch.no_grad():
        net.linear.weight[0] *= 100
        net.linear.weight[1] *= 0.01
    before = net.linear.weight.detach().clone()
    bound = make_bound(TrainConfig(max_norm=0.5), net)
    assert bound is not None
    bound()
    after = net.linear.weight.detach()
    assert after[0].norm().item() == pytest.approx(0.5, rel=1e-6)
    torch.testing.assert_close(after[0] / after[0].norm(), before[0] / before[0].norm())
    assert torch.equal(after[1], before[1])
    assert net.conv.weight.flatten(1).norm(dim=1).max().item() <= 0.5 + 1e-6


def test_the_bound_holds_while_a_net_trains(make_job: MakeJob) -> None:
    parts = assemble(make_job(changes={"train.max_norm": 0.3, "optimizer.lr": 0.1}).config)
    for step in range(5):
        parts.training.train_step(step)
        longest = [p.detach().flatten(1).norm(dim=1).max().item() for p in parts.model.parameters() if p.ndim > 1]
        assert max(longest) <= 0.3 + 1e-5


def test_a_negative_bound_is_named() -> None:
    with pytest.raises(UserError, match=r"train.max_norm=-1.0 is out of range; allowed: 0 \(off\) or more"):
        validate(RunConfig(train=TrainConfig(max_norm=-1.0)))


# What is told of the weights


def test_weight_figures_are_norm_and_share_near_zero() -> None:
    net = SmallNet()
    with torch.no_grad():
        net.linear.weight[:, :4] = 5e-4
    norm, share = weight_figures(net).tolist()
    values = net.weights()
    assert norm == pytest.approx(math.sqrt(sum(w * w for w in values)), rel=1e-12)
    assert share == pytest.approx(sum(abs(w) < 1e-3 for w in values) / len(values))
    assert share >= 12 / len(values)


# How often clipping acted


@pytest.mark.parametrize(
    ("config", "gradient", "acted", "after"),
    [
        (TrainConfig(clip_norm=5.0), [3.0, 4.0], False, [3.0, 4.0]),
        (TrainConfig(clip_norm=1.0), [3.0, 4.0], True, [0.6, 0.8]),
        (TrainConfig(clip="value", clip_value=3.5), [3.0, -4.0], True, [3.0, -3.5]),
        (TrainConfig(clip="value", clip_value=4.5), [3.0, -4.0], False, [3.0, -4.0]),
        (TrainConfig(clip="sign"), [3.0, -4.0], True, [1.0, -1.0]),
    ],
)
def test_a_clip_says_whether_it_acted(config: TrainConfig, gradient: list, acted: bool, after: list) -> None:
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor(gradient)
    clip = make_clip(config)
    assert clip is not None
    assert bool(clip([weight, nn.Parameter(torch.zeros(1))])) == acted
    torch.testing.assert_close(weight.grad, torch.tensor(after), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("clip_norm", "share"), [(1e-6, 1.0), (1e6, 0.0)])
def test_the_share_of_clipped_steps_is_reported(make_job: MakeJob, clip_norm: float, share: float) -> None:
    job = make_job(changes={"train.clip_norm": clip_norm})
    run(job)
    assert [row["train/clipped"] for row in read_metrics(job.folder)] == [share] * 7
