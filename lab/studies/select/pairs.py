"""Which runs stand against which: the one place where runs are paired, by seed and by what a claim leaves open.

The seed is the unit of evidence. Runs of one seed share split, order and noise, so what they score at several levels of
other keys is no replication: it is averaged within the seed first, and there is one number a seed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from lab.records.results import Run
from lab.studies.select.arms import values_of
from lab.studies.select.images import scored_alike
from lab.studies.select.scores import Scores

Levels = tuple[str, ...]
"""Values of the keys that are left open."""


@dataclass(frozen=True)
class Pairs:
    """What one side or more score side by side, a number a seed."""

    seeds: tuple[int, ...] = ()

    sides: tuple[tuple[float, ...], ...] = ()
    """The scores of each side: means over the levels of the keys left open."""

    differences: tuple[float, ...] = ()
    """First side minus second, or the interaction (first - second) - (third - fourth); empty for another number of
    sides. The mean over the levels, so that levels which tie at infinity leave the others to speak."""

    num_never: int = 0
    """Seeds in which all sides scored the same infinity at every level."""

    num_incomplete: int = 0
    """Seeds left out: all sides have them, but not at all levels."""

    num_unlike: int = 0
    """Seeds left out: the sides are scored on different test images."""

    left_out: tuple[float, ...] = ()
    """Differences in seeds left out because some side did not train (`lab.studies.select.modes`)."""


def pair(scores: Scores, sides: Sequence[Iterable[Run]], open_keys: Sequence[str] = (), crossed: bool = False) -> Pairs:
    """Pairs the scores of runs that share their seed and the values of `open_keys`, and averages within each seed.

    Args:
        scores: of all the runs.
        sides: the runs of each side.
        open_keys: keys whose levels are averaged over.
        crossed: whether the sides are the cells of a grid, which may have different test images.

    Returns:
        The seeds that all sides have at every level, in the order of the first side. A seed without one of the levels
        is left out: its mean would be of something else. Several runs of a side that share seed and levels count by
        their mean.
    """
    sides = [list(side) for side in sides]
    everything = match(sides, open_keys, crossed=True)
    matched = everything if crossed else [row for row in everything if may_subtract(row[2])]
    by_seed: dict[int, list[list[float]]] = {}  # a row a level: one score a side
    for seed, cells in complete_rows(matched):
        by_seed.setdefault(seed, []).append([mean(scores.of(runs)) for runs in cells])
    rows = by_seed.values()
    return Pairs(
        tuple(by_seed),
        tuple(tuple(mean([row[side] for row in levels]) for levels in rows) for side in range(len(sides))),
        tuple(mean([difference(row) for row in levels]) for levels in rows) if len(sides) in (2, 4) else (),
        sum(all(len(set(row)) == 1 and math.isinf(row[0]) for row in levels) for levels in rows),
        len({seed for seed, _, _ in matched}) - len(by_seed),
        len({seed for seed, _, _ in everything} - {seed for seed, _, _ in matched}),
    )


def match(
    sides: Sequence[Iterable[Run]], open_keys: Sequence[str] = (), crossed: bool = False
) -> list[tuple[int, Levels, list[list[Run]]]]:
    """(seed, levels, runs of each side) for each seed and values of `open_keys` that all sides have.

    Args:
        sides: the runs of each side.
        open_keys: keys in which the runs of a match agree.
        crossed: whether sides that would be subtracted may be scored on different test images.
    """
    groups: list[dict[tuple[int, Levels], list[Run]]] = [{} for _ in sides]
    for side, group in zip(sides, groups, strict=True):
        for run in side:
            group.setdefault((run.seed, values_of(run.config, open_keys)), []).append(run)
    first, *others = groups
    found = [(*key, [group[key] for group in groups]) for key in first if all(key in other for other in others)]
    return found if crossed else [row for row in found if may_subtract(row[2])]


def may_subtract(cells: Sequence[Sequence[Run]]) -> bool:
    """Whether the runs of two sides, or of either difference of an interaction, are scored on the same test images."""
    return all(scored_alike(left, right) for left, right in zip(cells[::2], cells[1::2], strict=False))


def complete_rows(rows: Sequence[tuple[int, Levels, list[list[Run]]]]) -> list[tuple[int, list[list[Run]]]]:
    """(seed, runs of each side) of those matches whose seed has all levels that any seed has."""
    levels: dict[int, set[Levels]] = {}
    for seed, values, _ in rows:
        levels.setdefault(seed, set()).add(values)
    every = set().union(*levels.values())
    return [(seed, cells) for seed, _, cells in rows if levels[seed] == every]


def difference(row: Sequence[float]) -> float:
    """One level's a - b, or (a - b) - (c - d)."""
    left, right = subtract(row[::2], row[1::2]) if len(row) == 4 else (row[0], row[1])
    return subtract([left], [right])[0]


def mean(values: Sequence[float]) -> float:
    """The mean; 0, no side's favour, where values of both infinities meet."""
    return 0.0 if {math.inf, -math.inf} <= set(values) else fmean(values)


def subtract(left: Sequence[float], right: Sequence[float]) -> list[float]:
    """`left - right`, pair by pair; two equal infinities are a tie, 0."""
    return [0.0 if a == b else a - b for a, b in zip(left, right, strict=True)]
