"""How often an experiment was looked at while seeds were added, and how small p has to be at each look.

Who tests again and again as seeds come in finds something in the end. So the 5 % of false verdicts are spent bit by
bit: four fifths at the first look, half of what is left at each further one. The level of a look is then the largest
that spends no more than this, given what the looks before it have spent (Slud and Wei 1982; significance levels found
for normal means are used for t, Jennison and Turnbull 2000, section 4.4).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lab.studies.statistics.paired import ALPHA

FIRST = 0.04
"""Of the 5 % what the first look may spend."""

MOST_LOOKS = 8
"""Looks up to which levels take account of what looks have in common; a later one gets just what it may spend."""


def spending(look: int) -> float:
    """What look number `look`, counted from 1, adds at most to the chance of a false verdict."""
    return FIRST if look == 1 else (ALPHA - FIRST) * 0.5 ** (look - 1)


def counted_looks(recorded: Sequence[int], num_seeds: int) -> list[int]:
    """The seeds at each look up to the one at `num_seeds`, which counts whether it is recorded yet or not."""
    return sorted({*(seeds for seeds in recorded if seeds < num_seeds), num_seeds})


def level(looks: Sequence[int]) -> float:
    """What p has to be below at the last of `looks`, numbers of seeds in increasing order; `ALPHA` without any."""
    return levels(tuple(looks))[-1] if looks else ALPHA


@lru_cache(maxsize=4096)
def levels(looks: tuple[int, ...]) -> tuple[float, ...]:
    """The level of each look.

    Under the null hypothesis the sum of standard normal scores over seeds is a random walk; its density among those
    experiments that no look has stopped is carried from look to look on a grid (Armitage, McPherson and Rowe 1969).
    """
    import numpy as np
    from scipy import special

    found: list[float] = []
    grid, weight, before = np.zeros(1), np.ones(1), 0
    for number, seeds in enumerate(looks, start=1):
        if number > MOST_LOOKS:
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
        if number == len(looks):
            break  # the density is for the next look, and is what takes the time
        bound = float(critical) * root
        fine = np.linspace(-8 * root, bound, 1201)
        density = np.exp(-(((fine[:, None] - grid) / step) ** 2) / 2) @ weight / (step * math.sqrt(2 * math.pi))
        grid, before = fine, seeds
        weight = density * (fine[1] - fine[0])
        weight[[0, -1]] /= 2
    return tuple(found)
