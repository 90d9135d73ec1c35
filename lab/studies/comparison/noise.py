"""The noise floor: how far scores scatter by the choice of test images alone, beside their scatter over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from lab.metric import Metric
from lab.studies.comparison.arm import Arm
from lab.studies.statistics.shared import binomial_spread

SPLITS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class NoiseFloor:
    """Two standard deviations of a score; root mean squares over the arms."""

    split: str
    """`val` or `test`: which images."""

    num_images: int

    accuracy: float
    """Mean over the arms."""

    by_images: float
    """Binomial: that of other images of the same kind, if the net stayed the same."""

    by_seeds: float
    """That over the seeds of an arm."""


def noise_floor(arms: Sequence[Arm], metric: Metric) -> NoiseFloor | None:
    """The noise floor of a share of right answers; None of another metric, where no arm has two seeds, or where the
    number of images is not known or not the same in all runs."""
    split, _, name = metric.tags[0].partition("/") if metric.tags else ("", "", "")
    if metric.kind != "last" or split not in SPLITS or name not in ("accuracy", "top5"):
        return None
    # Where some seeds train and others do not, the spread over seeds is of these two.
    several = [arm for arm in arms if arm.num_seeds > 1 and arm.num_trained in (0, arm.num_run)]
    numbers = {(run.result.get("num_images") or {}).get(split) for arm in several for run in arm.runs}
    num_images = numbers.pop() if len(numbers) == 1 else None
    if num_images is None:
        return None
    means = [fmean(arm.values) for arm in several]
    by_images = [binomial_spread(mean, num_images) for mean in means]
    by_seeds = [math.sqrt(variance(arm.values)) for arm in several]
    return NoiseFloor(split, num_images, fmean(means), root_mean_square(by_images), root_mean_square(by_seeds))


def root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(fmean([value * value for value in values]))
