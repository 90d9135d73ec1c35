"""Learning-rate schedules: pure functions of progress in [0, 1] that return a multiplier of the peak rate."""

import math
from collections.abc import Callable

from lab.config import check_range, choose

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """1 all along."""
    return 1.0


def step(progress: float) -> float:
    """Divided by 10 at a half and again at three quarters of the run (He et al. 2016, section 4.2)."""
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def cosine(progress: float) -> float:
    """(1 + cos(pi progress)) / 2, from 1 to 0 (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def one_cycle(progress: float, rise: float = 0.3) -> float:
    """From 1/25 up to 1 and down to 1/250,000 by half cosines (Smith and Topin 2018; torch's OneCycleLR)."""
    low, end = 1 / 25, 1 / 25e4
    if progress < rise:
        return low + (1 - low) * (1 - cosine(progress / rise))
    return end + (1 - end) * cosine((progress - rise) / (1 - rise))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "step": step, "cosine": cosine, "one_cycle": one_cycle}


def make_schedule(name: str, warmup_frac: float) -> Schedule:
    """The schedule `name` after a linear warm-up over the first `warmup_frac` of the run.

    Args:
        name: a key of `SCHEDULES`, or a user's own `package.module:attribute`, a function from progress to multiplier.
        warmup_frac: share of the run, in [0, 1); for `one_cycle` the rising share of the cycle (0.3 if 0).

    Raises:
        UserError: an unknown name, or a share out of range.
    """
    schedule = choose("schedule.name", name, SCHEDULES)
    check_range("schedule.warmup_frac", warmup_frac, 0 <= warmup_frac < 1, "at least 0 and below 1")
    if schedule is one_cycle:
        return lambda progress: one_cycle(progress, warmup_frac or 0.3)
    if warmup_frac == 0:
        return schedule

    def warmed(progress: float) -> float:
        if progress < warmup_frac:
            return progress / warmup_frac
        return schedule((progress - warmup_frac) / (1 - warmup_frac))

    return warmed
