"""Paired statistics: means and their intervals, one-sided tests, Holm's adjustment, and the seeds still needed.

Sources: BCa bootstrap, Efron 1987 (`scipy.stats.bootstrap`); Holm 1979; power of the t-test from the noncentral t.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1000
NUM_RESAMPLES = 4999


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; a median without one where some values are infinite."""

    value: float
    """The mean. Where a value is infinite the mean says nothing, and this is the median, possibly infinite."""

    interval: tuple[float, float] | None
    """95 % BCa bootstrap interval of the mean; None with fewer than two values, or with an infinite one."""

    n: int
    """Number of values."""

    num_infinite: int
    """How many of them are infinite."""


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and interval of `values`, or None if there are none."""
    if not values:
        return None
    num_infinite = sum(map(math.isinf, values))
    center = median(values) if num_infinite else math.fsum(values) / len(values)
    return Estimate(center, mean_interval(values), len(values), num_infinite)


def median(values: Sequence[float]) -> float:
    """The median; 0 where it would lie between plus and minus infinity."""
    ranked = sorted(values)
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    if low == high:
        return low
    return 0.0 if math.isinf(low) and math.isinf(high) else (low + high) / 2


def mean_interval(values: Sequence[float], level: float = 1 - ALPHA) -> tuple[float, float] | None:
    """BCa bootstrap interval of the mean of `values`, the same at every call.

    Returns:
        (low, high); both the mean where all values are alike; None with fewer than two values or an infinite one.
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    if alike(values):
        return values[0], values[0]
    import numpy as np
    from scipy import stats

    interval = stats.bootstrap(
        (np.asarray(values, dtype=float),),
        np.mean,
        confidence_level=level,
        n_resamples=NUM_RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """`a - b`, pair by pair; two equal infinities are a tie, 0."""
    return [0.0 if x == y else x - y for x, y in zip(a, b, strict=True)]


def difference(a: Sequence[float], b: Sequence[float]) -> Estimate | None:
    """Mean of the paired differences `a - b` with its interval, or None without pairs."""
    return estimate(differences(a, b))


def p_above(values: Sequence[float], margin: float) -> float:
    """One-sided p-value of the hypothesis that `values` lie at or below `margin`, in the mean.

    A t-test where all values are finite, and its limit where they are all alike. Where one is infinite, an exact sign
    test: the chance that so many of the values other than `margin` fall above it, were each side equally likely.

    Returns:
        p in [0, 1]; 1 with fewer than two values.
    """
    if len(values) < 2:
        return 1.0
    from scipy import stats

    shifted = [value - margin for value in values]
    if not all(map(math.isfinite, shifted)):
        signs = [value > 0 for value in shifted if value != 0]
        return float(stats.binom.sf(sum(signs) - 1, len(signs), 0.5)) if signs else 1.0
    mean, deviation = math.fsum(shifted) / len(shifted), spread(shifted)
    if deviation == 0:
        # Rounding aside, the values sit on one point: beyond the margin without doubt, or not at all.
        return 0.0 if mean > 1e-9 * max(1.0, abs(margin)) else 1.0
    return float(stats.t.sf(mean / deviation * math.sqrt(len(shifted)), len(shifted) - 1))


def p_below(values: Sequence[float], margin: float) -> float:
    """One-sided p-value of the hypothesis that `values` lie at or above `margin`; see `p_above`."""
    return p_above([-value for value in values], -margin)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: reject where the result is below alpha, and one false rejection has chance alpha."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def seeds_needed(values: Sequence[float], margins: Sequence[float], alpha: float = ALPHA) -> int | None:
    """Further pairs until one-sided tests against all of `margins` reject with power 0.8, if things go on as observed.

    Args:
        values: paired differences so far, at least two.
        margins: one value for a test away from it on the side of the mean; two for the mean to lie between them.
        alpha: level of each test.

    Returns:
        A number of at least 1; None if it is above 1,000, or if the observed values give no ground for one.
    """
    if len(values) < 2:
        return None
    import numpy as np

    n = np.arange(len(values) + 1, len(values) + MOST_SEEDS + 1)
    power_of = t_power(values) if all(map(math.isfinite, values)) else sign_power(values)
    power = sum(power_of(margin, n, alpha) for margin in margins) - (len(margins) - 1)
    enough = np.flatnonzero(power >= POWER)
    return int(enough[0]) + 1 if len(enough) else None


def t_power(values: Sequence[float]) -> Callable:
    """Power of the one-sided t-test away from a margin, at the observed mean and spread, for each of many sizes n."""
    import numpy as np
    from scipy import stats

    mean, deviation = math.fsum(values) / len(values), spread(values)

    def power(margin, n, alpha):
        if deviation == 0:
            return np.full(len(n), float(not math.isclose(mean, margin, rel_tol=1e-9, abs_tol=1e-9)))
        effect = abs(mean - margin) / deviation
        return stats.nct.sf(stats.t.isf(alpha, n - 1), n - 1, effect * np.sqrt(n))

    return power


def sign_power(values: Sequence[float]) -> Callable:
    """Power of the sign test against a margin, at the observed share on its larger side, for each of many sizes n."""
    from scipy import stats

    def power(margin, n, alpha):
        above, below = sum(value > margin for value in values), sum(value < margin for value in values)
        return stats.binom.sf(stats.binom.isf(alpha, n, 0.5), n, max(above, below) / len(values))

    return power


def spread(values: Sequence[float]) -> float:
    """Standard deviation (n - 1); 0 where the values differ by rounding only."""
    if alike(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def alike(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 1e-12 * max(1.0, *map(abs, values))
