"""Every schedule agrees with torch's scheduler of its kind, at every step and at both ends."""

import math

import pytest
import torch
import yaml
from torch import nn
from torch.optim import lr_scheduler

from lab.cli.catalogue import config_dir
from lab.config import RunConfig, ScheduleConfig
from lab.errors import UserError
from lab.training.schedules import SCHEDULES, make_schedule
from lab.validation import validate

N = 40


def torch_rates(name: str, **settings) -> list[float]:
    """What torch's scheduler makes of a peak rate of 1, step by step, from 0 to N."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = getattr(lr_scheduler, name)(optimizer, **settings)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(N):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def our_rates(name: str, warmup_frac: float = 0.0, **knobs) -> list[float]:
    schedule = make_schedule(name, warmup_frac, **knobs)
    return [schedule(i / N) for i in range(N + 1)]


CYCLIC = {"base_lr": 0.01, "max_lr": 1.0, "step_size_up": N // 8}

TORCH = {
    "constant": ("ConstantLR", {"factor": 1.0}),
    "step": ("MultiStepLR", {"milestones": [N // 2, 3 * N // 4], "gamma": 0.1}),
    "multistep": ("MultiStepLR", {"milestones": [N // 2, 3 * N // 4], "gamma": 0.1}),
    "exponential": ("ExponentialLR", {"gamma": 0.01 ** (1 / N)}),
    "cosine": ("CosineAnnealingLR", {"T_max": N}),
    "linear": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": N}),
    "poly": ("PolynomialLR", {"total_iters": N, "power": 2.0}),
    # torch counts N + 1 rates and puts the peak at pct_start * total_steps - 1
    "one_cycle": ("OneCycleLR", {"max_lr": 1.0, "total_steps": N + 1, "pct_start": (0.3 * N + 1) / (N + 1)}),
    "triangular": ("CyclicLR", {**CYCLIC, "mode": "triangular"}),
    "triangular2": ("CyclicLR", {**CYCLIC, "mode": "triangular2"}),
}


@pytest.mark.parametrize("name", TORCH)
def test_a_schedule_is_torchs(name: str) -> None:
    scheduler, settings = TORCH[name]
    assert our_rates(name) == pytest.approx(torch_rates(scheduler, **settings), abs=1e-9)


@pytest.mark.parametrize("cycles", [1, 2, 4, 5, 8])
def test_cosine_restarts_are_torchs_but_for_the_end(cycles: int) -> None:
    theirs = torch_rates("CosineAnnealingWarmRestarts", T_0=N // cycles)
    ours = our_rates("cosine_restarts", cycles=cycles)
    assert ours[:-1] == pytest.approx(theirs[:-1], abs=1e-9)
    assert (ours[-1], theirs[-1]) == (0, 1)  # the run is over, so nothing starts again


def test_warmup_cosine_is_torchs_two_in_a_row() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    warmup = lr_scheduler.LambdaLR(optimizer, lambda i: i / 4)
    scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, lr_scheduler.CosineAnnealingLR(optimizer, N - 4)], [4])
    theirs = []
    for _ in range(N + 1):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert our_rates("warmup_cosine") == our_rates("cosine", 0.1)
    assert our_rates("warmup_cosine") == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("warmup", [4, 10])
def test_noam_is_the_papers(warmup: int) -> None:
    paper = [min(i**-0.5 if i else math.inf, i * warmup**-1.5) for i in range(N + 1)]  # without the size of the model
    expected = [rate / paper[warmup] for rate in paper]
    assert our_rates("noam", warmup / N) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("constant", 1, 1),
        ("step", 1, 0.01),
        ("multistep", 1, 0.01),
        ("exponential", 1, 0.01),
        ("cosine", 1, 0),
        ("warmup_cosine", 0, 0),
        ("cosine_restarts", 1, 0),
        ("linear", 1, 0),
        ("poly", 1, 0),
        ("one_cycle", 1 / 25, 1 / 25e4),
        ("triangular", 0.01, 0.01),
        ("triangular2", 0.01, 0.01),
        ("noam", 0, math.sqrt(0.1)),
    ],
)
def test_both_ends(name: str, start: float, end: float) -> None:
    schedule = make_schedule(name, 0.0)
    assert (schedule(0.0), schedule(1.0)) == pytest.approx((start, end), abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup_frac", [0.1, 0.5])
def test_a_warm_up_rises_to_one(name: str, warmup_frac: float) -> None:
    schedule = make_schedule(name, warmup_frac)
    rising = [schedule(warmup_frac * i / 20) for i in range(20)]
    assert rising == sorted(set(rising))
    assert rising[0] == (1 / 25 if name == "one_cycle" else 0)
    peak = 0.01 if name.startswith("triangular") else 1.0  # a triangle starts from below
    assert schedule(warmup_frac) == pytest.approx(peak)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup_frac", [0.0, 0.2])
def test_the_peak_is_the_rate_itself(name: str, warmup_frac: float) -> None:
    rates = [make_schedule(name, warmup_frac)(i / 1000) for i in range(1001)]
    assert max(rates) == pytest.approx(1, abs=0.02)
    assert min(rates) >= 0
    assert max(rates) <= 1 + 1e-12


def test_milestones_and_factor() -> None:
    schedule = make_schedule("multistep", 0.0, milestones=[0.2, 0.3, 0.9], factor=0.5)
    assert [schedule(i / 10) for i in (0, 1, 2, 3, 8, 9, 10)] == [1, 1, 0.5, 0.25, 0.25, 0.125, 0.125]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"milestones": [0.5, 60.0]}, r"schedule\.milestones=\[0\.5, 60\.0\]: 60\.0 is out of range; .*\(shares of"),
        ({"factor": 0.0}, r"schedule\.factor=0\.0 is out of range; allowed: above 0 and at most 1"),
        ({"low": 0.0}, r"schedule\.low=0\.0 is out of range; allowed: above 0 and at most 1"),
        ({"power": -1.0}, r"schedule\.power=-1\.0 is out of range; allowed: above 0"),
        ({"cycles": 0}, r"schedule\.cycles=0 is out of range; allowed: 1 or more"),
    ],
)
def test_a_knob_out_of_range_is_named(knobs: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(RunConfig(schedule=ScheduleConfig(**knobs)))


def test_every_schedule_has_its_file() -> None:
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (config_dir() / "schedule").glob("*.yaml")}
    assert files.keys() == SCHEDULES.keys()
    assert all(settings["name"] == name for name, settings in files.items())
