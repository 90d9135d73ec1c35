"""Factorial designs: main effects and two-way interactions of a full grid, with intervals over the seeds.

Sources: Fisher 1935, chapter VI; Montgomery, Design and Analysis of Experiments, chapter 5. The seed is the unit: every
effect is taken within a seed, where all cells see the same split and the same batches, and the interval is of its
mean over the seeds. So the other factors' levels are averaged over and are no replication.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from lab.metric import apart
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.select.images import scored_alike
from lab.studies.select.modes import pair_trained
from lab.studies.select.pairs import subtract
from lab.studies.select.selectors import canonical, short_keys, show
from lab.studies.statistics.estimate import Estimate, estimate

Cell = tuple[str, ...]
"""A level of each factor, in canonical form."""

MOST_FACTORS = 6


@dataclass(frozen=True)
class Effect:
    """A main effect or an interaction."""

    keys: tuple[str, ...]
    """The factor, or the two of an interaction."""
    label: str
    """`init: he_normal - xavier_normal`; `init: he_normal - xavier_normal, depth: 30 - 22`."""
    values: list[float]
    """One a seed."""
    center: Estimate


@dataclass(frozen=True)
class Grid:
    """A full grid of arms, and what its factors do."""

    factors: dict[str, list[Any]]
    """The levels of each factor, its reference first."""
    seeds: list[int]
    """Those that every cell has."""
    scores: dict[int, dict[Cell, float]]
    """The score of each seed in each cell."""
    main: list[Effect]
    """The mean difference of each level to its factor's reference; of none whose levels have other test images."""
    interactions: list[Effect]
    """How much more (or less) a level of one factor does at a level of another than at that one's reference."""

    def means(self, keys: Sequence[str]) -> dict[Cell, list[float]]:
        """The scores at each combination of the levels of `keys`, one a seed: means over the other factors."""
        return marginal(self.scores, [list(self.factors).index(key) for key in keys])


def find_grid(comparison: Comparison) -> Grid | None:
    """Main effects and interactions of the comparison's arms.

    The reference level of a factor is that of the reference arm, or of the first of several.

    Returns:
        None unless the arms are a full grid of 2 to 6 factors in which one seed at least has a finite score everywhere;
        two where several ran: what one seed of five shows, in which all arms happened to train, is no effect.
    """
    keys = comparison.keys
    arms = {cell_of(arm.keys, keys): arm for arm in comparison.arms}
    levels = {key: {canonical(arm.keys[key]): arm.keys[key] for arm in comparison.arms} for key in keys}
    if not 2 <= len(keys) <= MOST_FACTORS or not len(comparison.arms) == len(arms) == math.prod(
        map(len, levels.values())
    ):
        return None
    scores = seed_scores(comparison, keys)
    fewest = 2 if any(arm.num_run > 1 for arm in comparison.arms) else 1
    if len(scores) < fewest:
        return None
    first = next((arm for arm in comparison.arms if arm.is_reference), comparison.arms[0])
    factors = {}
    for key, there in levels.items():
        own = canonical(first.keys[key])
        factors[key] = [there[own], *(value for name, value in there.items() if name != own)]
    bounds = comparison.metric.difference_bounds
    kept = [index for index in range(len(keys)) if may_contrast(comparison.arms, keys, index)]
    main = [effect for index in kept for effect in main_effects(scores, factors, index, bounds)]
    pairs = [pair for pair in itertools.combinations(range(len(keys)), 2) if {*pair} & {*kept}]
    crossed = [effect for left, right in pairs for effect in interactions(scores, factors, left, right, apart(bounds))]
    return Grid(factors, list(scores), scores, main, crossed)


def may_contrast(arms: Sequence[Arm], keys: Sequence[str], index: int) -> bool:
    """Whether arms that differ in the factor `keys[index]` alone are scored on the same test images."""
    rest = [key for key in keys if key != keys[index]]
    first: dict[Cell, Arm] = {}
    return all(scored_alike(first.setdefault(cell_of(arm.keys, rest), arm).runs, arm.runs) for arm in arms)


def cell_of(values: Mapping[str, Any], keys: Sequence[str]) -> Cell:
    return tuple(canonical(values[key]) for key in keys)


def seed_scores(comparison: Comparison, keys: Sequence[str]) -> dict[int, dict[Cell, float]]:
    """For each seed that has a finite score in every arm (of which all trained, where that differs between seeds) its
    scores by cell, several runs of a cell averaged."""
    found, _, _ = pair_trained(comparison.scores, [arm.runs for arm in comparison.arms], comparison.open_keys, True)
    cells = [cell_of(arm.keys, keys) for arm in comparison.arms]
    rows = sorted(zip(found.seeds, zip(*found.sides, strict=True), strict=True))
    return {seed: dict(zip(cells, row, strict=True)) for seed, row in rows if all(map(math.isfinite, row))}


def main_effects(
    scores: dict[int, dict[Cell, float]], factors: dict[str, list[Any]], index: int, bounds: tuple[float, float]
) -> list[Effect]:
    """The effect of each level of a factor: its mean over the other factors minus the reference's, seed by seed."""
    key, means = list(factors)[index], marginal(scores, [index])
    name = short_keys(factors)[key]
    base, *others = factors[key]
    effects = []
    for level in others:
        values = subtract(means[(canonical(level),)], means[(canonical(base),)])
        effects.append(make_effect((key,), f"{name}: {show(level)} - {show(base)}", values, bounds))
    return effects


def interactions(
    scores: dict[int, dict[Cell, float]],
    factors: dict[str, list[Any]],
    left: int,
    right: int,
    bounds: tuple[float, float],
) -> list[Effect]:
    """Differences of differences (y_ab - y_0b) - (y_a0 - y_00) of two factors, means over the others, a seed each."""
    keys, short = list(factors), short_keys(factors)
    means = marginal(scores, [left, right])
    (base, *firsts), (other_base, *seconds) = factors[keys[left]], factors[keys[right]]
    effects = []
    for a, b in itertools.product(firsts, seconds):
        at_b, at_base = (
            subtract(means[(canonical(a), canonical(level))], means[(canonical(base), canonical(level))])
            for level in (b, other_base)
        )
        words = f"{short[keys[left]]}: {show(a)} - {show(base)}, {short[keys[right]]}: {show(b)} - {show(other_base)}"
        effects.append(make_effect((keys[left], keys[right]), words, subtract(at_b, at_base), bounds))
    return effects


def marginal(scores: dict[int, dict[Cell, float]], indices: Sequence[int]) -> dict[Cell, list[float]]:
    """The mean of the cells at each combination of the levels of some factors, one for each seed."""
    found: dict[Cell, list[float]] = {}
    for cells in scores.values():
        groups: dict[Cell, list[float]] = {}
        for cell, value in cells.items():
            groups.setdefault(tuple(cell[index] for index in indices), []).append(value)
        for group, values in groups.items():
            found.setdefault(group, []).append(fmean(values))
    return found


def make_effect(keys: tuple[str, ...], words: str, values: list[float], bounds: tuple[float, float]) -> Effect:
    center = estimate(values, bounds)
    assert center is not None
    return Effect(keys, words, values, center)
