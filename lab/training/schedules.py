"""Learning-rate schedules: pure functions of progress in [0, 1] that return a multiplier of the peak rate.

Further arguments of a schedule have the names of their fields in `ScheduleConfig`, or are `grain`, the share of the run
between two rates (0: a rate at every moment). One that takes `warmup_frac` makes its own warm-up; the others start
after a linear one.

A border falls on the first step at or past it. Floats may place it one step late, so progress is an exact fraction
until it is handed to a schedule as the nearest float, which is at or past a border where the fraction is.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lab.config import ScheduleConfig
from lab.errors import choose
from lab.training.plateau import Plateau

Schedule = Callable[[float], float]


@dataclass(frozen=True)
class Rate:
    """The learning rate of a step: peak x schedule(progress), times the multiplier of a plateau."""

    peak: float
    schedule: Callable[[Fraction], float]
    steps: int
    """Length of the run."""
    every: int = 1
    """Steps for which the scheduled rate stays as it is."""
    plateau: Plateau | None = None

    def __call__(self, step: int) -> float:
        """The rate of step `step`, counted from 0."""
        rate = self.peak * self.schedule(Fraction(step - step % self.every, self.steps))
        return rate * self.plateau.multiplier if self.plateau else rate


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def step(progress: float) -> float:
    """Divided by 10 at a half and again at three quarters of the run (He et al. 2016, section 4.2)."""
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def multistep(progress: float, milestones: Sequence[float], factor: float) -> float:
    """Times `schedule.factor` at each of `schedule.milestones` (torch's MultiStepLR)."""
    return factor ** sum(progress >= milestone for milestone in milestones)


def exponential(progress: float, low: float) -> float:
    """`schedule.low` to the power of progress, from 1 to `schedule.low` (torch's ExponentialLR)."""
    return low**progress


def cosine(progress: float) -> float:
    """(1 + cos(pi progress)) / 2, from 1 to 0 (Loshchilov and Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def warmup_cosine(progress: Fraction | float, warmup_frac: float, grain: float) -> float:
    """Up in a line for `schedule.warmup_frac` of the run (0.1 if 0), then `cosine` (Goyal et al. 2017)."""
    return warmed(progress, cosine, warmup_frac or 0.1, grain)


def cosine_restarts(progress: float, cycles: int) -> float:
    """`cosine`, `schedule.cycles` times in a row: SGDR with cycles of one length (Loshchilov and Hutter 2017)."""
    restarts = progress == round(progress * cycles) / cycles  # progress * cycles may round to just below an integer
    return cosine(0.0 if restarts else progress * cycles % 1) if progress < 1 else 0.0


def linear(progress: float) -> float:
    """1 - progress, from 1 to 0."""
    return 1 - progress


def poly(progress: float, power: float) -> float:
    """(1 - progress) to the power of `schedule.power`, from 1 to 0 (Caffe's poly; torch's PolynomialLR)."""
    return (1 - progress) ** power


def one_cycle(progress: Fraction | float, warmup_frac: float, grain: float) -> float:
    """From 1/25 up to 1 and at the last step down to 1/250,000, by half cosines (Smith and Topin 2018; torch's)."""
    low, end, rise = 1 / 25, 1 / 25e4, warmup_frac or 0.3
    peak = rise - grain  # the last step of the rise
    if progress < peak:
        return low + (1 - low) * (1 - cosine(progress / peak))
    return end + (1 - end) * cosine(min(1.0, (progress - peak) / (1 - rise)))


def triangular(progress: float, cycles: int, low: float) -> float:
    """In lines from `schedule.low` to 1 and back, `schedule.cycles` times (Smith 2017; torch's CyclicLR)."""
    return low + (1 - low) * (1 - abs(2 * (progress * cycles % 1) - 1))


def triangular2(progress: float, cycles: int, low: float) -> float:
    """`triangular` whose height above `schedule.low` halves with every cycle (Smith 2017; torch's CyclicLR)."""
    return low + math.ldexp(triangular(progress, cycles, low) - low, -int(progress * cycles))


def noam(progress: Fraction | float, warmup_frac: float, grain: float) -> float:
    """Up in a line for `schedule.warmup_frac` (0.1 if 0), then down as 1 / sqrt(step) (Vaswani et al. 2017)."""
    peak, place = warmup_frac or 0.1, progress + grain  # the paper counts steps from 1
    return place / peak if place < peak else math.sqrt(peak / place)


def plateau(progress: float) -> float:
    """1, times `schedule.factor` whenever `schedule.metric` stalls for more than `schedule.patience` evaluations."""
    return 1.0  # the drops need state: `lab.training.plateau`


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": step,
    "multistep": multistep,
    "exponential": exponential,
    "cosine": cosine,
    "warmup_cosine": warmup_cosine,
    "cosine_restarts": cosine_restarts,
    "linear": linear,
    "poly": poly,
    "one_cycle": one_cycle,
    "triangular": triangular,
    "triangular2": triangular2,
    "noam": noam,
    "plateau": plateau,
}


OF_THE_RUN = ("step", "multistep")
"""Schedules whose borders are shares of the whole run, warm-up included."""


def exact(number: Fraction | float) -> Fraction:
    """The fraction that `number` stands for: of a float, one up to a denominator of 10^6 that rounds to it, if any."""
    if isinstance(number, Fraction):
        return number
    near = Fraction(number).limit_denominator(10**6)
    return near if float(near) == number else Fraction(number)


def warmed(
    progress: Fraction | float, schedule: Schedule, warmup_frac: Fraction | float, grain: Fraction | float
) -> float:
    """`schedule` over the rest of the run after a linear rise in the first `warmup_frac` of it.

    The rise has the multiplier (i + 1) / (w + 1) at step i of w, as in nanoGPT: no step is lost at 0, and the schedule
    starts at step w.
    """
    i, n = exact(progress).as_integer_ratio()
    w, m = exact(warmup_frac).as_integer_ratio()
    if i * m < w * n:
        return (i / n + float(grain)) / (w / m + float(grain))
    return schedule((i * m - w * n) / (n * (m - w)))  # a quotient of integers is the float nearest to it


def make_schedule(
    name: str, warmup_frac: float, grain: Fraction | float = 0.0, **knobs: Any
) -> Callable[[Fraction | float], float]:
    """The schedule `name` after a linear warm-up in the first `warmup_frac` of the run.

    Args:
        name: a key of `SCHEDULES`, or a user's own `package.module:attribute`, a function from progress to multiplier.
        warmup_frac: share of the run, in [0, 1); a schedule with its own warm-up documents its use.
        grain: share of the run between two rates, `every / steps` of a `Rate`.
        knobs: the other fields of `ScheduleConfig`, with its defaults for those not given.

    Raises:
        UserError: an unknown name.
    """
    schedule = choose("schedule.name", name, SCHEDULES, (float, int))
    config = ScheduleConfig(name, warmup_frac, **knobs)
    rise = exact(warmup_frac)
    known = inspect.signature(schedule).parameters if name in SCHEDULES else {}
    taken = {key: value for key, value in (vars(config) | {"grain": float(grain)}).items() if key in known}

    def plain(progress: Fraction | float) -> float:
        return schedule(progress if "grain" in taken else float(progress), **taken)

    if name not in SCHEDULES:
        plain(0.0)  # a user's own that fails does so before the first step
    if "warmup_frac" in taken or warmup_frac == 0:
        return plain
    if name in OF_THE_RUN:
        return lambda progress: plain(progress) * warmed(progress, constant, rise, grain)
    return lambda progress: warmed(progress, plain, rise, grain)


def interval_steps(interval: str, steps_per_epoch: int) -> int:
    """Steps between updates of the rate: 1, or those of an epoch."""
    return steps_per_epoch if interval == "epochs" else 1
