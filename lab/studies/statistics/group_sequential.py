"""The plan of `seeds=auto`: when claims are analysed, and the threshold of p at each analysis.

A group-sequential design by alpha spending (Lan and DeMets 1983; Jennison and Turnbull 2000, chapter 7): by n of at
most N seeds no more than n/N of the 5 % of false verdicts is spent, however few or many analyses there were. The
thresholds are exact for the t-test of normal differences, since those of normal means are too liberal with few seeds.
`benchmarks/sequential.py` measures errors, power and seeds, and compares other spendings.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from lab.studies.statistics.estimate import ALPHA

if TYPE_CHECKING:
    import numpy as np

FIRST_SEEDS = 3
"""Seeds at the first analysis; two would decide next to nothing."""

FUTILE = 0.1
"""Chance of a verdict with all seeds below which no seeds are added for a claim."""

CELLS = 301
"""Cells of the grid of angles; odd, so that no edge of it is a singular point of `moves`."""


def planned_analyses(max_seeds: int) -> tuple[int, ...]:
    """Seeds at each analysis: 3, 4, 5, 6, 8, 10, 13, 16, 20, a quarter more each time, up to `max_seeds`, 3 or more."""
    found = [FIRST_SEEDS]
    while found[-1] < max_seeds:
        found.append(int(1.25 * found[-1] + 0.5))
    return (*(seeds for seeds in found if seeds <= 0.9 * max_seeds), max_seeds)


def spend_evenly(share: float) -> float:
    """What is spent of the chance of a false verdict by a `share` of the seeds: as much."""
    return share


@lru_cache(maxsize=64)
def planned_levels(
    analyses: tuple[int, ...], alpha: float = ALPHA, spending: Callable[[float], float] = spend_evenly
) -> tuple[float, ...]:
    """The threshold of a one-sided t-test's p at each of `analyses`, which together reject wrongly with chance `alpha`.

    The angle between the values and (1, ..., 1) tells t, t = sqrt(n - 1) / tan(angle), and under the null hypothesis it
    is a Markov chain, since the size of normal values is independent of their direction. Its density among those
    experiments that no analysis has stopped is carried from seed to seed on a grid, as Armitage, McPherson and Rowe
    (1969) do it for means.
    """
    import numpy as np
    from scipy import special

    edges = np.linspace(0, math.pi, CELLS + 1)
    seeds = analyses[0]
    chances = np.sin((edges[1:] + edges[:-1]) / 2) ** (seeds - 2)
    chances /= chances.sum()
    found, spent = [], 0.0
    for number in analyses:
        while seeds < number:
            chances, seeds = chances @ moves(seeds), seeds + 1
        due = alpha * spending(number / analyses[-1])
        angle = float(np.interp(due - spent, np.concatenate([[0.0], chances.cumsum()]), edges))
        found.append(float(special.stdtr(number - 1, -math.sqrt(number - 1) / math.tan(angle))))
        chances = chances * np.clip((edges[1:] - angle) / (edges[1] - edges[0]), 0, 1)
        spent = due
    return tuple(found)


@lru_cache(maxsize=128)
def moves(n: int) -> "np.ndarray":
    """Chances (from, to) of the angle's cells with one value more than `n`.

    With u = sqrt(n) cos(angle), the next one is (u + y) / sqrt(1 + y^2), where y sqrt(n) has Student's t distribution
    with n degrees of freedom: the new value, in units of the length of those before it. It exceeds v > 0 between the
    two roots of the equation, or above the only one where v < 1.
    """
    import numpy as np
    from scipy import special

    edges = np.linspace(0, math.pi, CELLS + 1)
    u = math.sqrt(n) * np.cos((edges[1:] + edges[:-1]) / 2)[:, None]
    v = math.sqrt(n + 1) * np.cos(edges[1:-1])[None, :]
    u, size = np.where(v < 0, -u, u), np.abs(v)  # the chain is symmetric
    root = np.sqrt(np.maximum(u * u + 1 - size * size, 0))
    low, high = (special.stdtr(n, (u + sign * size * root) / (size * size - 1) * math.sqrt(n)) for sign in (-1, 1))
    between = np.where((u > 0) & (u * u + 1 > size * size), high - low, 0)
    above = np.where(size < 1, 1 - low, between)
    above = np.where(v < 0, 1 - above, above)
    ends = np.zeros((CELLS, 1)), np.ones((CELLS, 1))
    return np.diff(np.concatenate([ends[0], above, ends[1]], axis=1), axis=1)


def holm_levels(analyses: tuple[int, ...], num_claims: int) -> list[list[float]]:
    """The thresholds at each analysis, a row for each number of claims that are not rejected yet, from 1 on.

    Holm's procedure for group-sequential designs (Maurer and Bretz 2013): of m claims each may spend an m-th of the
    5 %, and one that is rejected leaves its part to the others.
    """
    return [list(planned_levels(analyses, ALPHA / number)) for number in range(1, num_claims + 1)]


def chance_later(p: float, n: int, total: int, level: float) -> float:
    """The chance that a test with p-value `p` after `n` seeds is below `level` with `total`, if the effect is unknown.

    Predictive power under a flat prior (Jennison and Turnbull 2000, section 10.3), for a normal statistic.
    """
    from scipy import special

    if n >= total:
        return float(p < level)
    z = -float(special.ndtri(min(max(p, 1e-300), 1 - 1e-16)))
    return float(special.ndtr((z * math.sqrt(total / n) + special.ndtri(level)) / math.sqrt((total - n) / n)))


def crossed(ps: Sequence[float], levels: Sequence[Sequence[float]], analysis: int, num_rejected: int) -> list[int]:
    """The places of `ps`, of claims not rejected yet, that Holm's procedure rejects at one analysis, in its order.

    Args:
        ps: unadjusted; 1 for a claim that is not tested now.
        levels: result of `holm_levels`.
        analysis: its place, from 0.
        num_rejected: claims that were rejected before.
    """
    found: list[int] = []
    for place in sorted(range(len(ps)), key=ps.__getitem__):
        if not ps[place] < levels[len(levels) - num_rejected - len(found) - 1][analysis]:
            break
        found.append(place)
    return found
