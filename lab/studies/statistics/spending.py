"""Interim analyses of an experiment to which seeds are added, and the threshold of p at each of them.

Who tests again and again as seeds come in finds something in the end. So the 5 % of false verdicts are spent bit by
bit: four fifths at the first analysis, half of the rest at each further one. The level of an analysis is then the
largest that spends no more than this, given what those before it have spent (Slud and Wei 1982; significance levels
found for normal means are used for t, Jennison and Turnbull 2000, section 4.4).
"""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lab.studies.statistics.estimate import ALPHA

FIRST = 0.04
"""Of the 5 % what the first analysis may spend."""

MOST_ANALYSES = 8
"""Analyses up to which levels take account of what analyses have in common; a later one gets what it may spend."""


def spending(number: int) -> float:
    """What analysis `number`, counted from 1, adds at most to the chance of a false verdict."""
    return FIRST if number == 1 else (ALPHA - FIRST) * 0.5 ** (number - 1)


def counted_analyses(recorded: Sequence[int], num_seeds: int) -> list[int]:
    """The seeds at each analysis up to the one of `num_seeds`, which counts whether it is recorded yet or not."""
    return sorted({*(seeds for seeds in recorded if seeds < num_seeds), num_seeds})


def level(analyses: Sequence[int]) -> float:
    """The threshold of p at the last of `analyses`, numbers of seeds in their order; `ALPHA` without any.

    Where the numbers do not increase, as runs were replaced by others, an analysis gets what it may spend, which holds
    whatever analyses have in common (Bonferroni).
    """
    if not analyses:
        return ALPHA
    increasing = all(before < seeds for before, seeds in itertools.pairwise(analyses))
    return levels(tuple(analyses))[-1] if increasing else spending(len(analyses))


@lru_cache(maxsize=4096)
def levels(analyses: tuple[int, ...]) -> tuple[float, ...]:
    """The level of each of `analyses`.

    Under the null hypothesis the sum of standard normal scores over seeds is a random walk; its density among those
    experiments that no analysis has stopped is carried from each to the next on a grid (Armitage, McPherson and Rowe
    1969).
    """
    import numpy as np
    from scipy import special

    found: list[float] = []
    grid, weight, before = np.zeros(1), np.ones(1), 0
    for number, seeds in enumerate(analyses, start=1):
        if number > MOST_ANALYSES:
            found.append(spending(number))
            continue
        step = math.sqrt(max(seeds - before, 1))
        root = math.sqrt(seeds)

        def overspent(z: float) -> float:
            crossing = float(weight @ special.ndtr((grid - z * root) / step))  # noqa: B023 (used at once)
            return crossing - spending(number)  # noqa: B023

        critical: Any = -special.ndtri(FIRST)
        if number > 1:
            from scipy.optimize import brentq  # late: slow to import

            critical = brentq(overspent, 0.0, 10.0)
        found.append(FIRST if number == 1 else float(special.ndtr(-critical)))
        if number == len(analyses):
            break  # the density is for the next one, and is what takes the time
        bound = float(critical) * root
        fine = np.linspace(-8 * root, bound, 1201)
        density = np.exp(-(((fine[:, None] - grid) / step) ** 2) / 2) @ weight / (step * math.sqrt(2 * math.pi))
        grid, before = fine, seeds
        weight = density * (fine[1] - fine[0])
        weight[[0, -1]] /= 2
    return tuple(found)
