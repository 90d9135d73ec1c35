"""Estimates: means with their intervals, and the probability of an improvement.

Sources: BCa bootstrap, Efron 1987, at the level of Hesterberg 2015 for few values; interquartile mean and probability
of improvement as in Agarwal et al. 2021; Wilson 1927. How well they hold is measured by `benchmarks/calibration.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from lab.studies.statistics.bounded import logit_edges

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05
UNBOUNDED = (-math.inf, math.inf)
NUM_RESAMPLES = 4999

BOOTSTRAP_FROM = 10
"""Number of values from which the interval also uses the bootstrap; with fewer it knows too little of the tails."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; a median without one where some values are infinite."""

    value: float
    """The mean. Where a value is infinite the mean says nothing, and this is the median, possibly infinite."""

    interval: tuple[float, float] | None
    """95 % interval of the mean (`mean_interval`); None with fewer than two values, or with an infinite one."""

    n: int
    """Number of values."""

    num_infinite: int
    """How many of them are infinite."""

    iqm: float | None = None
    """Interquartile mean; None where it is not finite."""


def estimate(values: Sequence[float], bounds: tuple[float, float] = UNBOUNDED) -> Estimate | None:
    """Mean and interval of `values`, or None if there are none.

    Args:
        values: one a seed.
        bounds: the least and the greatest value there can be, which the interval does not leave.
    """
    if not values:
        return None
    num_infinite = sum(map(math.isinf, values))
    center = median(values) if num_infinite else math.fsum(values) / len(values)
    return Estimate(center, mean_interval(values, bounds=bounds), len(values), num_infinite, interquartile_mean(values))


def median(values: Sequence[float]) -> float:
    """The median; 0 where it would lie between plus and minus infinity."""
    ranked = sorted(values)
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    if low == high:
        return low
    return 0.0 if math.isinf(low) and math.isinf(high) else (low + high) / 2


def interquartile_mean(values: Sequence[float]) -> float | None:
    """Mean without the lowest and the highest quarter (rounded down); None where an infinite value is left."""
    cut = len(values) // 4
    middle = sorted(values)[cut : len(values) - cut]
    return math.fsum(middle) / len(middle) if all(map(math.isfinite, middle)) else None


def mean_interval(
    values: Sequence[float], level: float = 1 - ALPHA, bounds: tuple[float, float] = UNBOUNDED
) -> tuple[float, float] | None:
    """Interval of the mean of `values`, the same at every call.

    The t interval; from ten values on each edge is the farther one of it and of the BCa bootstrap interval. The first
    is too short on the side of a long tail, the second where tails are heavy; together they cover what they say
    (`benchmarks/README.md`). Within `bounds` each edge is also as far as the t interval on their logit scale
    (`logit_edges`), and does not leave them. Whatever it leaves out the t-test rejects, too.

    Returns:
        (low, high); both the mean where all values are alike; None with fewer than two values or an infinite one.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    if alike(values):
        return values[0], values[0]
    from scipy import special

    n, center = len(values), math.fsum(values) / len(values)
    # `stdtrit` is what `stats.t.isf` calls, without a hundred microseconds of checks.
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * spread(values) / math.sqrt(n)
    edges = [(center - half, center + half), logit_edges(center, half, bounds)]
    if n >= BOOTSTRAP_FROM:
        import numpy as np

        (low,), (high,) = bca_edges(np.array(values, dtype=float)[:, None], level)
        edges.append((low, high))
    lows, highs = zip(*edges, strict=True)
    return max(float(min(lows)), bounds[0]), min(float(max(highs)), bounds[1])


def mean_intervals(values: "np.ndarray", bounds: tuple[float, float] = UNBOUNDED) -> tuple["np.ndarray", "np.ndarray"]:
    """`mean_interval` of each column of finite `values` (n, columns), two or more a column, computed together.

    Returns:
        The lower and the upper edges, each (columns,).
    """
    import numpy as np
    from scipy import special

    n, center, deviation = len(values), values.mean(axis=0), values.std(axis=0, ddof=1)
    half = special.stdtrit(n - 1, 1 - ALPHA / 2) * deviation / math.sqrt(n)
    low, high = logit_edges(center, half, bounds)
    lows, highs = np.minimum(low, center - half), np.maximum(high, center + half)
    varied = np.ptp(values, axis=0) > 1e-12 * np.maximum(1.0, abs(values).max(axis=0))
    lows[~varied] = highs[~varied] = center[~varied]
    if n >= BOOTSTRAP_FROM and varied.any():
        edges = np.array(bca_edges(values[:, varied]))
        lows[varied], highs[varied] = np.minimum(lows[varied], edges[0]), np.maximum(highs[varied], edges[1])
    return lows.clip(*bounds), highs.clip(*bounds)


def bca_edges(values: "np.ndarray", level: float = 1 - ALPHA) -> tuple["np.ndarray", "np.ndarray"]:
    """BCa bootstrap intervals of the means of the columns of `values` (n, columns), finite and not all alike in any.

    The bootstrap's variance lacks a factor n / (n - 1) and the normal's quantiles are not those of t; both are made
    good by asking it for the level 1 - 2 Phi(-sqrt(n / (n - 1)) t_(n-1)) (Hesterberg 2015, section 4.4). What
    `scipy.stats.bootstrap` computes for any statistic is written out for the mean: a hundred arms ask three hundred
    times, and importing `scipy.stats` alone takes half a second.
    """
    import numpy as np
    from scipy import special

    n, mean = len(values), values.mean(axis=0)
    means = np.sort(values.T @ draws(n) / n, axis=1)  # (columns, resamples)
    room = 1e-12 * np.maximum(1.0, abs(mean))  # what the order of a sum may change
    below = (means < (mean - room)[:, None]).sum(axis=1)
    not_above = (means <= (mean + room)[:, None]).sum(axis=1)
    bias = special.ndtri((below + not_above) / (2 * NUM_RESAMPLES))
    apart = values - mean
    acceleration = (apart**3).sum(axis=0) / (6 * (apart**2).sum(axis=0) ** 1.5)
    edges = []
    for sign in (-1, 1):
        z = bias + sign * math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + level) / 2)
        place = special.ndtr(bias + z / (1 - acceleration * z)) * (NUM_RESAMPLES - 1)
        floor = np.minimum(place.astype(int), NUM_RESAMPLES - 2)
        left, right = (np.take_along_axis(means, (floor + k)[:, None], axis=1)[:, 0] for k in (0, 1))
        edges.append(left + (place - floor) * (right - left))
    return edges[0], edges[1]


@lru_cache(8)  # one is of all arms with as many seeds, and holds 40 kB a seed
def draws(n: int) -> "np.ndarray":
    """How often each of n values is drawn, with replacement, in each resample: (n, resamples)."""
    import numpy as np

    drawn = np.random.default_rng(0).integers(0, n, (NUM_RESAMPLES, n)) + n * np.arange(NUM_RESAMPLES)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * NUM_RESAMPLES).reshape(NUM_RESAMPLES, n).T.astype(float)


def improvement(values: Sequence[float], level: float = 1 - ALPHA) -> tuple[float, float, float] | None:
    """Probability that a paired difference is above 0, ties counted half, with its Wilson interval.

    Returns:
        (share, low, high), each in [0, 1]; None without values.
    """
    if not values:
        return None
    from scipy import special

    n, share = len(values), (sum(v > 0 for v in values) + sum(v >= 0 for v in values)) / (2 * len(values))
    z = float(special.ndtri((1 + level) / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return share, max(0.0, middle - half), min(1.0, middle + half)


def spread(values: Sequence[float]) -> float:
    """Standard deviation (n - 1); 0 where the values differ by rounding only."""
    if alike(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def alike(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 1e-12 * max(1.0, *map(abs, values))
