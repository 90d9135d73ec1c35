"""Every schedule agrees with torch's scheduler of its kind, at every step and at both ends."""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
import yaml
from torch import nn
from torch.optim import lr_scheduler

from lab.config import RunConfig, ScheduleConfig
from lab.errors import UserError
from lab.overrides.files import config_dir
from lab.training.schedules import SCHEDULES, Rate, make_schedule
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
    start = SCHEDULES[name](warmup_frac) if name == "step" else 1.0  # whose border may fall there
    peak = 0.01 if name.startswith("triangular") else start  # a triangle starts from below
    assert schedule(warmup_frac - 1e-9) == pytest.approx(1.0)
    assert schedule(warmup_frac) == pytest.approx(peak if name != "multistep" else SCHEDULES["step"](warmup_frac))


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
        ({"cycles": 0}, r"schedule\.cycles=0 is out of range; allowed: 1 to 1,000,000"),
    ],
)
def test_a_knob_out_of_range_is_named(knobs: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(RunConfig(schedule=ScheduleConfig(**knobs)))


def test_every_schedule_has_its_file() -> None:
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (config_dir() / "schedule").glob("*.yaml")}
    assert files.keys() == SCHEDULES.keys()
    assert all(settings["name"] == name for name, settings in files.items())


def rates(name: str, steps: int, warmup_frac: float = 0.0, every: int = 1, **knobs) -> list[float]:
    """What a run of `steps` steps trains with at a peak rate of 1."""
    rate = Rate(1.0, make_schedule(name, warmup_frac, Fraction(every, steps), **knobs), steps, every)
    return [rate(i) for i in range(steps)]


def runs() -> Iterator[tuple[int, float, Fraction]]:
    """Lengths of a run and warm-ups, as floats and exactly."""
    for steps in range(1, 201):
        for warmup in ("0", "0.1", "0.2", "0.3", "0.5"):
            yield steps, float(warmup), Fraction(warmup)


def warm(step: int, steps: int, warmup: Fraction) -> float:
    return float(min(Fraction(1), Fraction(step + 1) / (warmup * steps + 1))) if step < warmup * steps else 1.0


def first(border: Fraction, steps: int) -> int:
    """The first step with step / steps >= border."""
    return math.ceil(border * steps)


@pytest.mark.parametrize(
    ("name", "knobs", "borders"),
    [
        ("step", {}, ["0.5", "0.75"]),
        ("multistep", {"milestones": [0.1, 0.3, 0.6, 0.7]}, ["0.1", "0.3", "0.6", "0.7"]),
        ("multistep", {"milestones": [1 / 3, 2 / 3]}, ["1/3", "2/3"]),
    ],
)
def test_a_drop_is_at_the_first_step_past_its_share_of_the_run(name: str, knobs: dict, borders: list[str]) -> None:
    for steps, frac, warmup in runs():
        schedule = make_schedule(name, frac, Fraction(1, steps), **knobs)
        falls = [first(Fraction(border), steps) for border in borders]
        for i in {step + offset for step in falls for offset in (-1, 0) if 0 <= step + offset < steps}:
            expected = 0.1 ** sum(i >= fall for fall in falls) * warm(i, steps, warmup)
            for progress in (Fraction(i, steps), i / steps):  # a caller of the pure function has floats
                assert math.isclose(schedule(progress), expected), (steps, frac, i)


@pytest.mark.parametrize("cycles", range(1, 9))
@pytest.mark.slow
def test_a_cycle_restarts_at_the_first_step_past_its_border(cycles: int) -> None:
    for steps, frac, warmup in runs():
        schedule = make_schedule("cosine_restarts", frac, Fraction(1, steps), cycles=cycles)
        borders = [first(warmup + (1 - warmup) * Fraction(k, cycles), steps) for k in range(cycles)]
        for i in {step + offset for step in borders for offset in (-1, 0) if 0 <= step + offset < steps}:
            place = (Fraction(i, steps) - warmup) / (1 - warmup) * cycles
            cosine = 0.5 * (1 + math.cos(math.pi * (place % 1)))
            expected = cosine if place >= 0 else warm(i, steps, warmup)
            for progress in (Fraction(i, steps), i / steps):
                assert math.isclose(schedule(progress), expected, rel_tol=1e-9), (steps, frac, i)


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_step_of_a_run_is_lost_at_rate_0(name: str) -> None:
    for steps, frac in itertools.product([*range(1, 31), 49, 97, 200], [0.0, 0.1, 0.2, 0.3, 0.5]):
        for every in {1, max(1, steps // 7)}:
            assert all(0 < rate <= 1 + 1e-12 for rate in rates(name, steps, frac, every)), (steps, frac, every)


@pytest.mark.parametrize("name", ["constant", "cosine", "warmup_cosine", "noam", "one_cycle"])
def test_rates_by_the_epoch_are_those_of_a_run_of_so_many_steps(name: str) -> None:
    by_epoch = rates(name, 70, 0.2, every=7)
    assert by_epoch[::7] == pytest.approx(rates(name, 10, 0.2), rel=1e-12)
    assert all(by_epoch[i] == by_epoch[i - i % 7] for i in range(70))


def test_a_warm_up_rises_by_equal_steps_to_the_start_of_the_schedule() -> None:
    assert rates("constant", 10, 0.3) == pytest.approx([0.25, 0.5, 0.75, *[1] * 7])
    assert rates("noam", 10, 0.3)[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates("constant", 10, 0.1, every=1)[0] == pytest.approx(0.5)  # an epoch of ten by the epoch is no full one


@pytest.mark.parametrize("steps", [2, 3, 7, 10, 100])
@pytest.mark.parametrize("rise", [0.25, 0.3, 0.5])
def test_one_cycle_of_any_length_is_torchs_to_its_last_step(steps: int, rise: float) -> None:
    if rise * steps == 1:
        return  # torch divides by zero
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=steps, pct_start=rise)
    theirs = [scheduler.get_last_lr()[0]]
    for _ in range(steps - 1):
        optimizer.step()
        scheduler.step()
        theirs.append(scheduler.get_last_lr()[0])
    assert rates("one_cycle", steps, rise) == pytest.approx(theirs, abs=1e-9)
    assert rates("one_cycle", steps, rise)[-1] == pytest.approx(1 / 25e4)


def test_an_epoch_begun_is_the_end_of_one_cycle() -> None:
    assert rates("one_cycle", 25, every=10)[-1] == pytest.approx(1 / 25e4)


def test_a_border_of_a_long_run_is_exact() -> None:
    steps = 3_000_000
    rate = Rate(1.0, make_schedule("step", 0.1, Fraction(1, steps)), steps)
    assert [rate(steps // 2 + i) for i in (-1, 0)] == pytest.approx([1, 0.1])
    rate = Rate(1.0, make_schedule("cosine_restarts", 0.1, Fraction(1, steps), cycles=3), steps)
    assert [rate(steps * 4 // 10 + i) for i in (-1, 0)] == pytest.approx([0, 1], abs=1e-6)
