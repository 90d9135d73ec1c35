"""The paired comparison by test picture: which pictures one side gets right and the other wrong, seed by seed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.records.results import Run

MOST_SHOWN = 50
"""Pictures of each kind that `verdict.json` names."""


@dataclass(frozen=True)
class Flips:
    """How the predictions of two sides differ over the test pictures, right and wrong only."""

    seeds: list[int]
    """The seeds compared."""

    num_pictures: int
    """Test pictures in each."""

    gained: list[int]
    """For each seed, pictures that the left side gets right and the right side wrong."""

    lost: list[int]
    """For each seed, pictures that the left side gets wrong and the right side right."""

    p: list[float]
    """For each seed, McNemar's exact two-sided p (1947): is gained as likely as lost? It is about these two nets on
    pictures like these, not about the arms."""

    always_gained: list[int]
    """Pictures gained in every seed: their places in the data set's own test part."""

    always_lost: list[int]
    """Pictures lost in every seed."""

    def as_json(self) -> dict[str, Any]:
        """The table for `verdict.json`; of the pictures at most 50 of each kind are named."""
        stable = {name: getattr(self, name) for name in ("always_gained", "always_lost")}
        counts = {f"num_{name}": len(pictures) for name, pictures in stable.items()}
        return {**vars(self), **counts, **{name: pictures[:MOST_SHOWN] for name, pictures in stable.items()}}


def find_flips(left: Iterable[Run], right: Iterable[Run]) -> Flips | None:
    """Compares the runs of two sides that are the only ones of their seed, as far as both kept their predictions.

    Returns:
        None where no seed is left, or where there is more than one run of a seed on a side.
    """
    import numpy as np

    sides: list[dict[int, list[Run]]] = []
    for runs in (left, right):
        sides.append(defaultdict(list))
        for run in runs:
            sides[-1][run.seed].append(run)
    if any(len(runs) > 1 for side in sides for runs in side.values()):
        return None
    seeds, gained, lost = [], [], []
    reference: dict[str, Any] | None = None
    for seed in sides[0]:
        a, b = (side[seed][0].predictions if seed in sides[1] else None for side in sides)
        if a is None or b is None:
            continue
        reference = a if reference is None else reference
        # Other test pictures, or read to another limit: nothing to pair.
        if any(not np.array_equal(one[key], reference[key]) for one in (a, b) for key in ("index", "label")):
            continue
        right_a, right_b = a["predicted"] == a["label"], b["predicted"] == b["label"]
        seeds.append(seed)
        gained.append(right_a & ~right_b)
        lost.append(right_b & ~right_a)
    if reference is None or not seeds:
        return None
    counts = [[int(flipped.sum()) for flipped in kind] for kind in (gained, lost)]
    stable = [reference["index"][np.logical_and.reduce(kind)].tolist() for kind in (gained, lost)]
    p = [mcnemar(up, down) for up, down in zip(*counts, strict=True)]
    return Flips(seeds, len(reference["label"]), counts[0], counts[1], p, stable[0], stable[1])


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of as uneven a split of the pictures that differ, were either side equally likely."""
    from scipy import special

    # `bdtr` is the binomial's distribution function, without the checks of `stats.binomtest`.
    return min(1.0, 2 * float(special.bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0


def flips_text(flips: Flips, left: str, right: str) -> str:
    """`Of 360 test pictures he_normal gets 12.4 right that xavier_normal gets wrong, and 3.2 the other way (...)`."""
    mean = [sum(kind) / len(kind) for kind in (flips.gained, flips.lost)]
    stable: Sequence[int] = [len(flips.always_gained), len(flips.always_lost)]
    every = f"; in every seed {stable[0]} and {stable[1]}" if len(flips.seeds) > 1 else ""
    return (
        f"Of {flips.num_pictures:,} test pictures {left} gets {mean[0]:.3g} right that {right} gets wrong, "
        f"and {mean[1]:.3g} wrong that it gets right{every}."
    )
