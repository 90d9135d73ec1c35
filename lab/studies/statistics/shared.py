"""What two sides share over seeds, and how far a number of test images alone makes a share scatter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import correlation, variance

from lab.studies.statistics.estimate import alike

FEWEST_PAIRS = 3
"""Pairs from which a correlation is told: of two it is always 1 or -1."""


@dataclass(frozen=True)
class Shared:
    """What pairing by seed is worth."""

    correlation: float
    """Pearson's, of the two sides over the seeds."""

    saved: float
    """Share of the variance of an unpaired difference that pairing takes away, 1 - var(a - b) / (var a + var b): the
    correlation itself where both sides scatter alike. Negative where pairing adds variance."""

    n: int
    """Number of pairs."""


def find_shared(left: Sequence[float], right: Sequence[float]) -> Shared | None:
    """What `left` and `right` share, a pair a seed; None with fewer than three, an infinite one, or a side without
    spread."""
    if len(left) < FEWEST_PAIRS or not all(map(math.isfinite, [*left, *right])):
        return None
    if alike(left) or alike(right):
        return None
    apart = variance([a - b for a, b in zip(left, right, strict=True)])
    return Shared(correlation(left, right), 1 - apart / (variance(left) + variance(right)), len(left))


def binomial_spread(share: float, num_images: int) -> float:
    """Standard deviation of the share of right answers among `num_images` independent ones, each right with
    probability `share`."""
    return math.sqrt(share * (1 - share) / num_images)
