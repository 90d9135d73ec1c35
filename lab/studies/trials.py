"""One claim put to the runs of one setting: paired differences, p-values, and the seeds that would decide it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from lab.records.results import Run
from lab.studies.arms import pairs
from lab.studies.claims import Claim
from lab.studies.selectors import matches
from lab.studies.statistics import differences, estimate, p_above, p_below, seeds_needed


@dataclass(frozen=True)
class Trial:
    """A claim beside what one setting has to say about it, before Holm's adjustment."""

    claim: Claim
    metric: str
    differences: list[float]
    num_seeds: int
    num_runs: int
    num_diverged: int
    p_support: float
    p_refute: float


def hold_trial(claim: Claim, metric: str, scored: Sequence[tuple[Run, float]], swept: Sequence[str]) -> Trial:
    """Pairs the two sides of `claim` among runs and their scores, and tests the claim."""
    left, right = (
        [(run, score) for run, score in scored if matches(run.config, claim.where) and matches(run.config, side)]
        for side in (claim.left, claim.right)
    )
    own = claim.own_keys(scored[0][0].config)
    paired = pairs(left, right, [key for key in swept if key not in own])
    found = differences([a for _, a, _ in paired], [b for _, _, b in paired])
    p_support, p_refute = p_values(claim, found)
    return Trial(
        claim=claim,
        metric=metric,
        differences=found,
        num_seeds=len({seed for seed, _, _ in paired}),
        num_runs=len(left) + len(right),
        num_diverged=sum(run.status == "diverged" for run, _ in left + right),
        p_support=p_support,
        p_refute=p_refute,
    )


def p_values(claim: Claim, found: Sequence[float]) -> tuple[float, float]:
    """p for and p against `claim`, unadjusted; see the rule in `lab.studies.verdicts`."""
    margin = claim.margin
    if claim.kind == "higher":
        return p_above(found, margin), p_below(found, margin)
    if claim.kind == "lower":
        return p_below(found, -margin), p_above(found, -margin)
    beyond = min(p_above(found, margin), p_below(found, -margin))
    return max(p_above(found, -margin), p_below(found, margin)), min(1.0, 2 * beyond)


def seeds_to_decide(trial: Trial, alpha: float) -> int | None:
    """Further seeds that would decide a claim, whichever way the effect points; None for too many to tell."""
    claim, found = trial.claim, trial.differences
    effect = estimate(found)
    if effect is None:
        return None
    if claim.kind != "same":
        pairs_needed = seeds_needed(found, [claim.margin if claim.kind == "higher" else -claim.margin], alpha)
    elif abs(effect.value) < claim.margin:
        pairs_needed = seeds_needed(found, [-claim.margin, claim.margin], alpha)
    else:
        pairs_needed = seeds_needed(found, [claim.margin if effect.value > 0 else -claim.margin], alpha / 2)
    return pairs_needed and ceil(pairs_needed * trial.num_seeds / len(found))
