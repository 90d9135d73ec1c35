"""Paired statistics: means and their intervals, one-sided tests, and Holm's adjustment.

Sources: BCa bootstrap, Efron 1987, at the level of Hesterberg 2015 for few values; Holm 1979; interquartile mean and
probability of improvement as in Agarwal et al. 2021; Wilson 1927. How well they hold is measured by
`benchmarks/calibration.py`.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05
NUM_RESAMPLES = 4999

BOOTSTRAP_FROM = 10
"""Number of values from which the interval also looks at the bootstrap; with fewer it knows too little of the tails."""

MOST_EXACT = 12
"""Number of values up to which all changes of sign are counted, 4,096; above, as many are drawn."""


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


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and interval of `values`, or None if there are none."""
    if not values:
        return None
    num_infinite = sum(map(math.isinf, values))
    center = median(values) if num_infinite else math.fsum(values) / len(values)
    return Estimate(center, mean_interval(values), len(values), num_infinite, interquartile_mean(values))


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


def mean_interval(values: Sequence[float], level: float = 1 - ALPHA) -> tuple[float, float] | None:
    """Interval of the mean of `values`, the same at every call.

    The t interval; from ten values on each edge is the farther one of it and of the BCa bootstrap interval. The first
    is too short on the side of a long tail, the second where tails are heavy; together they cover what they say
    (`benchmarks/README.md`). Whatever it leaves out the t-test rejects, too.

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
    if n < BOOTSTRAP_FROM:
        return center - half, center + half
    low, high = bca_interval(values, level)
    return min(low, center - half), max(high, center + half)


def bca_interval(values: Sequence[float], level: float = 1 - ALPHA) -> tuple[float, float]:
    """BCa bootstrap interval of the mean of finite `values` that are not all alike.

    The bootstrap's variance lacks a factor n / (n - 1) and the normal's quantiles are not those of t; both are made
    good by asking it for the level 1 - 2 Phi(-sqrt(n / (n - 1)) t_(n-1)) (Hesterberg 2015, section 4.4). What
    `scipy.stats.bootstrap` computes for any statistic is written out for the mean: a hundred arms ask three hundred
    times, and importing `scipy.stats` alone takes half a second.
    """
    import numpy as np
    from scipy import special

    n, data = len(values), np.asarray(values, dtype=float)
    means, mean = data[resamples(n)].mean(axis=1), data.mean()
    bias = special.ndtri(((means < mean).mean() + (means <= mean).mean()) / 2)
    apart = data - mean
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    z = bias + np.array([-1.0, 1.0]) * math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + level) / 2)
    low, high = np.quantile(means, special.ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


@lru_cache(8)  # one is of all arms with as many seeds, and holds 40 kB a seed
def resamples(n: int) -> "np.ndarray":
    """Indices (resamples, n) of values drawn with replacement."""
    import numpy as np

    return np.random.default_rng(0).integers(0, n, (NUM_RESAMPLES, n))


def differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """`a - b`, pair by pair; two equal infinities are a tie, 0."""
    return [0.0 if x == y else x - y for x, y in zip(a, b, strict=True)]


def difference(a: Sequence[float], b: Sequence[float]) -> Estimate | None:
    """Mean of the paired differences `a - b` with its interval, or None without pairs."""
    return estimate(differences(a, b))


def p_above(values: Sequence[float], margin: float) -> float:
    """One-sided p-value of the hypothesis that `values` lie at or below `margin`, in the mean.

    A t-test, which keeps its level where the values are symmetric about the margin, as differences between two arms are
    that do not differ. It is not justified, and an exact test takes its place, where the values have no spread (2^-n,
    the chance of as many equal signs) and where one is infinite (`sign_test`). Values that are all 0 count as certain:
    two networks that score the same to the last bit in every seed are one.

    Returns:
        p in [0, 1]; 1 with fewer than two values.
    """
    if len(values) < 2:
        return 1.0
    shifted = [value - margin for value in values]
    if not all(map(math.isfinite, shifted)):
        return sign_test(shifted)
    n, mean, deviation = len(shifted), math.fsum(shifted) / len(shifted), spread(shifted)
    if deviation == 0:
        # Rounding aside, the values sit on one point: on the margin, or on one side of it.
        certain = 0.0 if max(map(abs, values)) <= 1e-12 else 0.5**n
        return certain if mean > 1e-9 * max(1.0, abs(margin)) else 1.0
    from scipy import special

    return float(special.stdtr(n - 1, -mean / deviation * math.sqrt(n)))


def p_below(values: Sequence[float], margin: float) -> float:
    """One-sided p-value of the hypothesis that `values` lie at or above `margin`; see `p_above`."""
    return p_above([-value for value in values], -margin)


def sign_test(values: Sequence[float]) -> float:
    """The chance that so many of the values other than 0 are above it, were each side equally likely."""
    from scipy import stats

    signs = [value > 0 for value in values if value != 0]
    return float(stats.binom.sf(sum(signs) - 1, len(signs), 0.5)) if signs else 1.0


def p_above_exact(values: Sequence[float], margin: float) -> float:
    """The hypothesis of `p_above`, by permutation: the share of changes of sign with as high a sum (Fisher 1935).

    It asks for nothing but symmetry, and cannot fall below 2^-n. With more than 12 values 4,095 changes are drawn,
    and the observed signs are counted among them. With an infinite value, `sign_test`.
    """
    if len(values) < 2:
        return 1.0
    shifted = [value - margin for value in values]
    if not all(map(math.isfinite, shifted)):
        return sign_test(shifted)
    import numpy as np

    sums = sign_changes(len(shifted)) @ np.array(shifted)
    return float((sums >= sums[0] - 1e-9 * np.abs(shifted).sum()).mean())


def sign_changes(n: int):
    """Signs (m, n), the first row all plus: all 2^n of them, or 4,096 from 13 values on."""
    import numpy as np

    if n <= MOST_EXACT:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    signs = np.random.default_rng(0).choice([1.0, -1.0], size=(2**MOST_EXACT, n))
    signs[0] = 1.0
    return signs


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


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: reject where the result is below alpha, and one false rejection has chance alpha."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def spread(values: Sequence[float]) -> float:
    """Standard deviation (n - 1); 0 where the values differ by rounding only."""
    if alike(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def alike(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 1e-12 * max(1.0, *map(abs, values))
