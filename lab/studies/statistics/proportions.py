"""Shares of runs: exact tests of their differences, and intervals.

Sources: the unconditional test of Barnard 1945, ordered by the score statistic of Farrington and Manning 1990, so that
it has a margin; Clopper and Pearson 1934. They take the sides as independent. Luck that the runs of a seed share makes
both fail together, which makes a difference rarer and the test conservative (`benchmarks/calibration.py --modes`).
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from lab.studies.statistics.estimate import ALPHA, Estimate

if TYPE_CHECKING:
    import numpy as np

GRID = 401
"""Values of the nuisance parameter at which the p-value is computed."""

Sides = Sequence[Sequence[float]]
"""1 or 0 a seed: of a and b, or of a, b, c and d for (a - b) - (c - d)."""


def is_binary(sides: Sides) -> bool:
    """Whether every value is 0 or 1, so that shares can be tested."""
    return all(value in (0.0, 1.0) for side in sides for value in side)


def share_above(sides: Sides, margin: float) -> float:
    """p of the hypothesis that the share of the first side exceeds that of the second by `margin` at most.

    For four sides, that (a - b) - (c - d) does so: the level at which four Clopper-Pearson limits, a quarter of it
    each, exclude it (Bonferroni), whatever the runs of a seed have in common. Conservative: six seeds never pass 0.04.

    Returns:
        p in [0, 1]; 1 with fewer than two seeds, and where a value is neither 0 nor 1.
    """
    if min(map(len, sides)) < 2 or not is_binary(sides):
        return 1.0
    counts = [(round(sum(side)), len(side)) for side in sides]
    if len(counts) == 2:
        (a, n), (b, m) = counts
        return p_difference(a, n, b, m, round(margin, 12))
    return p_interaction(tuple(counts), margin)


def share_below(sides: Sides, margin: float) -> float:
    """p of the hypothesis that the difference of `share_above` is `margin` at least."""
    return share_above(turned(sides), -margin)


def turned(sides: Sides) -> Sides:
    """The sides in such an order that the difference changes its sign."""
    return [sides[i] for i in (1, 0, 3, 2)[: len(sides)]]


@lru_cache(4096)
def p_difference(a: int, n: int, b: int, m: int, margin: float) -> float:
    """p of "p1 - p2 <= margin" when `a` of `n` and `b` of `m` were seen.

    The chance, at the value of the nuisance parameter where it is largest, of counts whose score statistic is as high.
    """
    import numpy as np
    from scipy import special

    if not -1 <= margin < 1:
        return float(margin >= 1)
    scores = score_statistics(n, m, margin)  # (n + 1, m + 1)
    region = scores >= scores[a, b] - 1e-9
    second = np.linspace(max(0.0, -margin), min(1.0, 1 - margin), GRID)
    chances = [
        special.binom(size, counts) * shares[:, None] ** counts * (1 - shares[:, None]) ** (size - counts)
        for size, counts, shares in (
            (n, np.arange(n + 1), (second + margin).clip(0, 1)),
            (m, np.arange(m + 1), second),
        )
    ]
    return min(1.0, float(((chances[0] @ region) * chances[1]).sum(axis=1).max()))


@lru_cache(64)
def score_statistics(n: int, m: int, margin: float) -> "np.ndarray":
    """The score statistic of "p1 - p2 <= margin" for all counts: (n + 1, m + 1).

    Its variance is that at the most likely p1 and p2 which differ by `margin`: the root in [0, 1] of a cubic equation,
    in closed form (Farrington and Manning 1990, appendix). Infinite where that is 0, but the difference not the margin.
    """
    import numpy as np

    first, second = np.meshgrid(np.arange(n + 1) / n, np.arange(m + 1) / m, indexing="ij")
    ratio = m / n
    a = 1 + ratio
    b = -(1 + ratio + first + ratio * second + margin * (ratio + 2))
    c = margin**2 + margin * (2 * first + ratio + 1) + first + ratio * second
    d = -first * margin * (1 + margin)
    v = (b / (3 * a)) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    u = np.where(v < 0, -1, 1) * np.sqrt(np.maximum((b / (3 * a)) ** 2 - c / (3 * a), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = (math.pi + np.arccos(np.where(u == 0, 0, v / u**3).clip(-1, 1))) / 3
        one = (2 * u * np.cos(angle) - b / (3 * a)).clip(max(0, margin), min(1, 1 + margin))
        other = (one - margin).clip(0, 1)
        deviation = np.sqrt(one * (1 - one) / n + other * (1 - other) / m)
        apart = first - second - margin
        apart = np.where(abs(apart) < 1e-12, 0, apart)
        return np.where(apart == 0, 0, apart / np.where(deviation < 1e-9, 0, deviation))


@lru_cache(4096)
def p_interaction(counts: tuple[tuple[int, int], ...], margin: float) -> float:
    """p of "(p1 - p2) - (p3 - p4) <= margin" by four limits, for the counts (k of n) of each side."""

    def excluded(level: float) -> bool:
        return interaction_edges(counts, level)[0] > margin

    return crossing(excluded, 0.0, 1.0) if excluded(1.0) else 1.0


def interaction_edges(counts: Sequence[tuple[int, int]], tail: float) -> tuple[float, float]:
    """The limits of (p1 - p2) - (p3 - p4), each wrong with a chance of at most `tail`."""
    (low_a, high_a), (low_b, high_b), (low_c, high_c), (low_d, high_d) = (
        clopper_pearson(k, n, tail / 4) for k, n in counts
    )
    return low_a - high_b - high_c + low_d, high_a - low_b - low_c + high_d


def crossing(holds: Callable[[float], bool], without: float, having: float) -> float:
    """Where a monotone condition begins to hold, between a point `without` it and one `having` it, to 1e-6."""
    while abs(having - without) > 1e-6:
        middle = (without + having) / 2
        without, having = (without, middle) if holds(middle) else (middle, having)
    return having


def clopper_pearson(k: int, n: int, tail: float) -> tuple[float, float]:
    """The exact limits of a share seen as `k` of `n`, each wrong with a chance of at most `tail`."""
    from scipy import special

    low = float(special.betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(special.betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return low, high


def unseen(n: int, tail: float) -> float:
    """The largest share of failures of which `n` runs show none with a chance of `tail`: 1 - tail^(1/n)."""
    return 1 - tail ** (1 / n)


def estimate_share(values: Sequence[float]) -> Estimate | None:
    """The share of ones among `values` with its Clopper-Pearson interval, None without values.

    Args:
        values: 0 or 1 a seed; where one is between them there is no interval.
    """
    if not values:
        return None
    n, total = len(values), math.fsum(values)
    binary = n > 1 and is_binary([values])
    return Estimate(total / n, clopper_pearson(round(total), n, ALPHA / 2) if binary else None, n, 0)


def estimate_share_difference(sides: Sides) -> Estimate | None:
    """The difference of shares, or the interaction of four, with its interval: what no test at 2.5 % rejects."""
    n = len(sides[0])
    if not n:
        return None
    means = [math.fsum(side) / n for side in sides]
    value = means[0] - means[1] - (means[2] - means[3] if len(means) == 4 else 0.0)
    if n < 2 or not is_binary(sides):
        return Estimate(value, None, n, 0)
    if len(sides) == 4:
        return Estimate(value, interaction_edges([(round(sum(side)), n) for side in sides], ALPHA / 2), n, 0)
    low = crossing(lambda margin: share_above(sides, margin) > ALPHA / 2, -1.0, value)
    high = crossing(lambda margin: share_below(sides, margin) > ALPHA / 2, 1.0, value)
    return Estimate(value, (min(low, value), max(high, value)), n, 0)
