"""The paired comparison by test image: which images one side gets right and the other wrong, seed by seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.records.predictions import COLUMNS
from lab.records.results import Run
from lab.studies.select.pairs import match

MOST_SHOWN = 50
"""Images of each kind that `verdict.json` names."""


FEWEST_WRONG = 10
"""Misclassified images on which two sides must agree to be taken for the same: nets of two seeds agree on perhaps 60 %
of such images, so on all of 10 in one case of 100."""


@dataclass(frozen=True)
class Flips:
    """How the predictions of two sides differ over the test images, right and wrong only."""

    seeds: list[int]
    """The seeds compared."""

    num_pictures: int
    """Test images in each."""

    gained: list[int]
    """For each seed, images that the left side gets right and the right side wrong."""

    lost: list[int]
    """For each seed, images that the left side gets wrong and the right side right."""

    p: list[float]
    """For each seed, McNemar's exact two-sided p (1947): is gained as likely as lost? It is about these two nets on
    images like these, not about the arms."""

    always_gained: list[int]
    """Images gained in every seed: their places in the data set's own test part."""

    always_lost: list[int]
    """Images lost in every seed."""

    def as_json(self) -> dict[str, Any]:
        """The table for `verdict.json`; of the images at most 50 of each kind are named."""
        stable = {name: getattr(self, name) for name in ("always_gained", "always_lost")}
        counts = {f"num_{name}": len(pictures) for name, pictures in stable.items()}
        return {**vars(self), **counts, **{name: pictures[:MOST_SHOWN] for name, pictures in stable.items()}}


def find_flips(left: Iterable[Run], right: Iterable[Run]) -> Flips | None:
    """Compares the runs of two sides that are the only ones of their seed, as far as both kept their predictions.

    Returns:
        None where no seed is left, or where there is more than one run of a seed on a side.
    """
    import numpy as np

    sides = [list(left), list(right)]
    if any(len({run.seed for run in side}) < len(side) for side in sides):
        return None
    seeds, gained, lost = [], [], []
    reference: dict[str, Any] | None = None
    for seed, _, ((one,), (other,)) in match(sides):
        a, b = one.predictions, other.predictions
        if a is None or b is None:
            continue
        reference = a if reference is None else reference
        # Other test images, or read to another limit: nothing to pair.
        if any(not np.array_equal(side[key], reference[key]) for side in (a, b) for key in ("index", "label")):
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


def predict_alike(left: Iterable[Run], right: Iterable[Run], open_keys: Sequence[str]) -> bool:
    """Whether the runs of two sides predict the same label for every test image, in every seed and at every level.

    Where hardly an image is misclassified, equal labels say no more than equal scores: any two nets agree on what both
    get right. So at least 10 misclassified images must be among them, over all seeds.
    """
    import numpy as np

    num_wrong = 0
    for _, _, cells in match([left, right], open_keys):
        found = [run.predictions for runs in cells for run in runs]
        first = found[0]
        if first is None or any(
            other is None or any(not np.array_equal(other[key], first[key]) for key in COLUMNS) for other in found
        ):
            return False
        num_wrong += int((first["predicted"] != first["label"]).sum())
    return num_wrong >= FEWEST_WRONG


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p of as uneven a split of the images that differ, were either side equally likely."""
    from scipy import special

    # `bdtr` is the binomial's distribution function, without the checks of `stats.binomtest`.
    return min(1.0, 2 * float(special.bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0


def stable_text(flips: Flips) -> str:
    """How many images are gained, and how many lost, in every seed: `3 and 1`, or `none`."""
    stable = len(flips.always_gained), len(flips.always_lost)
    return f"{stable[0]} and {stable[1]}" if any(stable) else "none"


def flips_text(flips: Flips, left: str, right: str) -> str:
    """`Of 360 test images he_normal is right on 12.4 that xavier_normal misclassifies, and wrong on 3.2 that ...`."""
    means = [sum(kind) / len(kind) for kind in (flips.gained, flips.lost)]
    every = ""
    if len(flips.seeds) > 1:
        every = f" (means over {len(flips.seeds)} seeds; {stable_text(flips)} in all of them)"
    return (
        f"Of {flips.num_pictures:,} test images {left} is right on {means[0]:.3g} that {right} misclassifies, "
        f"and wrong on {means[1]:.3g} that it gets right{every}."
    )
