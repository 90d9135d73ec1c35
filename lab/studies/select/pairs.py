"""Which runs stand against which: the one place where runs are paired, by seed and by what a claim leaves open."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from lab.records.results import Run
from lab.studies.select.arms import values_of
from lab.studies.select.scores import Scores


@dataclass(frozen=True)
class Pairs:
    """What two sides or more score side by side."""

    seeds: tuple[int, ...]
    """The seed of each pair; the same one several times where levels of other keys are left open."""

    sides: tuple[tuple[float, ...], ...]
    """The scores of each side, one a pair."""

    @property
    def differences(self) -> list[float]:
        """First side minus second, or the interaction (first - second) - (third - fourth), a number a pair."""
        found = subtract(*self.sides[:2])
        return subtract(found, subtract(*self.sides[2:])) if len(self.sides) == 4 else found


def pair(scores: Scores, sides: Sequence[Iterable[Run]], open_keys: Sequence[str] = ()) -> Pairs:
    """Pairs the scores of runs that share their seed and the values of `open_keys`.

    Args:
        scores: of all the runs.
        sides: the runs of each side.
        open_keys: keys each of whose levels makes a separate pair.

    Returns:
        The pairs that all sides have, in the order of the first. Where several runs of a side share seed and values,
        their mean stands for them.
    """
    rows = match(sides, open_keys)
    values = [[fmean(scores.of(runs)) for runs in cells] for _, cells in rows]
    return Pairs(tuple(seed for seed, _ in rows), tuple(zip(*values, strict=True)) or ((),) * len(sides))


def match(sides: Sequence[Iterable[Run]], open_keys: Sequence[str] = ()) -> list[tuple[int, list[list[Run]]]]:
    """(seed, runs of each side) for each seed and values of `open_keys` that all sides have, in the first's order."""
    groups: list[dict[tuple[int, tuple[str, ...]], list[Run]]] = [{} for _ in sides]
    for side, group in zip(sides, groups, strict=True):
        for run in side:
            group.setdefault((run.seed, values_of(run.config, open_keys)), []).append(run)
    first, *others = groups
    return [(key[0], [group[key] for group in groups]) for key in first if all(key in other for other in others)]


def subtract(left: Sequence[float], right: Sequence[float]) -> list[float]:
    """`left - right`, pair by pair; two equal infinities are a tie, 0."""
    return [0.0 if a == b else a - b for a, b in zip(left, right, strict=True)]
