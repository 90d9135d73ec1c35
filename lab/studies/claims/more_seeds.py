"""How many further seeds would decide an undecided claim."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from lab.studies.claims.claim import Claim
from lab.studies.claims.contrast import ClaimTest, p_apart, p_values
from lab.studies.statistics.power import seeds_needed
from lab.studies.statistics.proportions import share_above

MOST_SEEDS = 200
"""Seeds up to which it is worked out how many a claim takes that rests on how often runs train."""


def seeds_to_decide(test: ClaimTest, alpha: float, later: Callable[[int], float]) -> int | None:
    """Further seeds that would decide a claim, whichever way the effect points; None for too many to tell.

    Of a chain, as many as its slowest step needs, or as the first to break it would. Where one side trained in all
    seeds and the other in none, as many as it takes if that goes on.

    Args:
        test: an undecided claim.
        alpha: the level that it was held to.
        later: the level after so many further seeds.
    """
    claim, found = test.claim, test.differences
    if [contrast.modes.kind for contrast in test.contrasts] == ["apart"]:
        return seeds_apart(test, later)
    if test.metric.is_share or any(contrast.modes.kind != "all" for contrast in test.contrasts):
        return None  # a few seeds tell too little of how often runs train
    if test.weakest.effect is None or test.weakest.num_never == len(found) or test.idle_keys:
        return None
    effect = test.weakest.effect.value

    def needed(values: Sequence[float], margins: Sequence[float], share: float = 1.0) -> int | None:
        return seeds_needed(values, margins, alpha * share, lambda further: later(further) * share)

    if claim.kind == "ordered":
        broken = effect < claim.margin
        decisive, share = ([test.weakest], 1 / len(test.contrasts)) if broken else (test.contrasts, 1.0)
        each = [needed(contrast.differences, [claim.margin], share) for contrast in decisive]
        return None if None in each else max(number for number in each if number is not None)
    if claim.kind != "same":
        return needed(found, [-claim.margin if claim.kind == "lower" else claim.margin])
    if abs(effect) < claim.margin:
        return needed(found, [-claim.margin, claim.margin])
    return needed(found, [claim.margin if effect > 0 else -claim.margin], 0.5)


def seeds_apart(test: ClaimTest, later: Callable[[int], float]) -> int | None:
    """Further seeds that decide a claim of which each side trained in all seeds or in none, if they go on like that."""
    (contrast,) = test.contrasts
    there = contrast.modes.num_seeds

    def decides(number: int) -> bool:
        def above(seeds: int, margin: float) -> float:
            return p_apart(contrast, 1, margin, seeds)

        def below(seeds: int, margin: float) -> float:
            return p_apart(contrast, -1, -margin, seeds)

        return min(p_values(test.claim, [number], above, below)) < later(number - there)

    found = first_number(there + 1, decides)
    return None if found is None else found - there


def fewest_seeds(claim: Claim, level: float) -> int | None:
    """The smallest number of seeds with which any outcome supports a claim about shares; None for more than 200."""
    best = {"same": (1.0, 1.0), "interaction": (1.0, 0.0, 0.0, 1.0)}.get(claim.kind, (1.0, 0.0))
    margin = -claim.margin if claim.kind == "same" else claim.margin

    def enough(n: int) -> bool:
        return share_above([[value] * n for value in best], margin) < level

    return first_number(2, enough)


def first_number(start: int, enough: Callable[[int], bool]) -> int | None:
    """The smallest number of seeds from `start` on that is `enough`, as all larger ones are; None for more than 200."""
    found = start + bisect_left(range(start, MOST_SEEDS + 1), True, key=enough)
    return found if found <= MOST_SEEDS else None
