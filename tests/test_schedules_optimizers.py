"""Schedules and optimizers agree with torch's own and with the formulas on paper."""

import math

import pytest
import torch
from torch import nn

from lab.config import OptimizerConfig, RunConfig, ScheduleConfig
from lab.errors import UserError
from lab.training.schedules import SCHEDULES, make_schedule
from lab.validation import validate

N = 40


def torch_rates(scheduler_class, **settings) -> list[float]:
    """What torch's scheduler makes of a peak rate of 1, step by step, from 0 to N."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = scheduler_class(optimizer, **settings)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(N):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def our_rates(name: str, warmup_frac: float = 0.0) -> list[float]:
    schedule = make_schedule(name, warmup_frac)
    return [schedule(i / N) for i in range(N + 1)]


@pytest.mark.parametrize(
    ("name", "start", "middle", "end"),
    [("constant", 1, 1, 1), ("step", 1, 0.1, 0.01), ("cosine", 1, 0.5, 0), ("one_cycle", 1 / 25, None, 1 / 25e4)],
)
def test_start_middle_and_end(name: str, start: float, middle: float | None, end: float) -> None:
    rates = our_rates(name)
    assert rates[0] == pytest.approx(start)
    assert rates[-1] == pytest.approx(end)
    assert middle is None or rates[N // 2] == pytest.approx(middle)


def test_step_falls_at_a_half_and_at_three_quarters() -> None:
    schedule = make_schedule("step", 0.0)
    before = [schedule(progress - 1e-9) for progress in (0.5, 0.75, 1.0)]
    assert before == pytest.approx([1, 0.1, 0.01])


def test_cosine_is_torchs() -> None:
    theirs = torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=N)
    assert our_rates("cosine") == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("rise", [0.3, 0.5])
def test_one_cycle_is_torchs(rise: float) -> None:
    # torch counts N + 1 rates and puts the peak at pct_start * total_steps - 1
    pct_start = (rise * N + 1) / (N + 1)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR
    theirs = torch_rates(one_cycle, max_lr=1.0, total_steps=N + 1, pct_start=pct_start, anneal_strategy="cos")
    assert our_rates("one_cycle", rise) == pytest.approx(theirs, abs=1e-9)


def test_one_cycle_rises_for_three_tenths_unless_told() -> None:
    assert our_rates("one_cycle") == our_rates("one_cycle", 0.3)
    assert max(our_rates("one_cycle")) == our_rates("one_cycle")[12] == pytest.approx(1)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup_frac", [0.1, 0.25, 0.9])
def test_warm_up_rises_in_a_line_and_then_the_schedule_begins(name: str, warmup_frac: float) -> None:
    schedule = make_schedule(name, warmup_frac)
    rising = [schedule(warmup_frac * i / 10) for i in range(11)]
    assert rising == pytest.approx([i / 10 for i in range(11)])
    assert rising == sorted(rising)
    for progress in (0.0, 0.3, 0.8, 1.0):
        assert schedule(warmup_frac + progress * (1 - warmup_frac)) == pytest.approx(
            SCHEDULES[name](progress), abs=1e-9
        )


@pytest.mark.parametrize("warmup_frac", [0.1, 0.25, 0.9])
def test_step_behind_and_in_a_warm_up_falls_at_shares_of_the_run(warmup_frac: float) -> None:
    schedule, rise = make_schedule("step", warmup_frac), make_schedule("constant", warmup_frac)
    for progress in (0.0, 0.1, 0.3, 0.49, 0.5, 0.6, 0.75, 0.8, 1.0):
        assert schedule(progress) == pytest.approx(rise(progress) * SCHEDULES["step"](progress))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup_frac", [0.0, 0.2])
def test_no_schedule_leaves_zero_to_one(name: str, warmup_frac: float) -> None:
    assert all(0 <= rate <= 1 + 1e-12 for rate in our_rates(name, warmup_frac))


@pytest.mark.parametrize("warmup_frac", [-0.1, 1.0, math.nan])
def test_a_warm_up_out_of_range_is_named(warmup_frac: float) -> None:
    with pytest.raises(UserError, match=r"schedule\.warmup_frac=.* is out of range; allowed: at least 0 and below 1"):
        validate(RunConfig(schedule=ScheduleConfig("cosine", warmup_frac)))


def test_an_unknown_schedule_is_named() -> None:
    with pytest.raises(
        UserError, match=r"schedule\.name=cosin is unknown \(did you mean 'cosine'\?\); there are: const"
    ):
        make_schedule("cosin", 0.0)


def test_own_schedule_is_a_function_of_progress() -> None:
    assert make_schedule("math:sqrt", 0.0)(0.25) == 0.5
    assert make_schedule("math:sqrt", 0.5)(0.625) == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, r"optimizer\.lr=0\.0 is out of range; allowed: above 0"),
        ({"lr": math.nan}, r"optimizer\.lr=nan is out of range"),
        ({"weight_decay": -1.0}, r"optimizer\.weight_decay=-1\.0 is out of range; allowed: 0 or more"),
        ({"momentum": 1.0}, r"optimizer\.momentum=1\.0 is out of range; allowed: at least 0 and below 1"),
        ({"name": "nag", "momentum": 0.0}, r"optimizer\.momentum=0\.0 is out of range; allowed: above 0 for nag"),
        ({"name": "adan"}, r"optimizer\.name=adan is unknown \(did you mean 'adam'\?\); there are: sgd, momentum,"),
    ],
)
def test_a_bad_setting_is_named(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(RunConfig(optimizer=OptimizerConfig(**settings)))
