"""One claim put to the runs of one setting: paired differences, p-values, and the seeds that would decide it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.records.results import Run
from lab.studies.claims.claim import Claim
from lab.studies.select.arms import matched
from lab.studies.select.selectors import Flat, label, matches
from lab.studies.statistics.paired import Estimate, differences, estimate, p_above
from lab.studies.statistics.power import seeds_needed

Test = Callable[[Sequence[float], float], float]
"""One-sided: values and margin to the p-value of the hypothesis that the values lie at or below the margin."""


@dataclass(frozen=True)
class Step:
    """One contrast of a claim: a - b, or the interaction (a - b) - (c - d)."""

    sides: list[Flat]
    """The selectors of a and b, or of a, b, c and d."""

    cells: list[list[Run]]
    """The runs of each side."""

    differences: list[float]
    effect: Estimate | None
    """None without pairs."""
    num_never: int
    """Pairs in which all sides scored the same infinity: none of them ever got to the mark."""

    @property
    def name(self) -> str:
        """`init=he_normal - init=xavier_normal`."""
        names = [label(side) for side in self.sides]
        return " - ".join(names) if len(names) == 2 else "({} - {}) - ({} - {})".format(*names)


@dataclass(frozen=True)
class Trial:
    """A claim beside what one setting has to say about it, before Holm's adjustment."""

    claim: Claim
    metric: str
    steps: list[Step]
    """The contrasts: each step of a chain, one for every other claim."""
    weakest: Step
    """The step with the smallest effect, the one that there is for any claim but `ordered`; one without pairs first."""
    num_seeds: int
    """Seeds in the pairs of the weakest step."""
    num_runs: int
    num_diverged: int
    p_support: float
    p_refute: float

    @property
    def differences(self) -> list[float]:
        """Of the weakest step."""
        return self.weakest.differences


def hold_trial(claim: Claim, metric: str, scored: Sequence[tuple[Run, float]], swept: Sequence[str]) -> Trial:
    """Pairs the sides of `claim` among runs and their scores, and tests the claim."""
    inside = [(run, score) for run, score in scored if matches(run.config, claim.where)]
    own = claim.own_keys(scored[0][0].config)
    keys = [key for key in swept if key not in own]
    steps, seeds, used = [], [], {}
    for sides in claim.contrasts():
        cells = [[(run, score) for run, score in inside if matches(run.config, side)] for side in sides]
        used |= {id(run): run for cell in cells for run, _ in cell}
        rows = matched(cells, keys)
        columns = list(zip(*(values for _, values in rows), strict=True)) or [[]] * len(cells)
        found = differences(columns[0], columns[1])
        if len(cells) == 4:
            found = differences(found, differences(columns[2], columns[3]))
        num_never = sum(len(set(values)) == 1 and math.isinf(values[0]) for _, values in rows)
        steps.append(Step(list(sides), [[run for run, _ in cell] for cell in cells], found, estimate(found), num_never))
        seeds.append(len({seed for seed, _ in rows}))
    worst = min(range(len(steps)), key=lambda index: effect_size(steps[index]))
    p_support, p_refute = p_values(claim, [step.differences for step in steps])
    if any(step.num_never == len(step.differences) for step in steps):
        p_support = 1.0  # that none of them gets there does not make them the same
    return Trial(
        claim=claim,
        metric=metric,
        steps=steps,
        weakest=steps[worst],
        num_seeds=seeds[worst],
        num_runs=len(used),
        num_diverged=sum(run.status == "diverged" for run in used.values()),
        p_support=p_support,
        p_refute=p_refute,
    )


def effect_size(step: Step) -> float:
    return step.effect.value if step.effect else -math.inf


def p_values(claim: Claim, steps: Sequence[Sequence[float]], above: Test = p_above) -> tuple[float, float]:
    """p for and p against `claim`, unadjusted; see the rule in `lab.studies.claims.verdict`.

    Args:
        claim: what is claimed.
        steps: the differences of each of its contrasts.
        above: the one-sided test.
    """

    def below(values: Sequence[float], margin: float) -> float:
        return above([-value for value in values], -margin)

    margin, found = claim.margin, steps[0]
    if claim.kind == "lower":
        return below(found, -margin), above(found, -margin)
    if claim.kind == "same":
        beyond = min(above(found, margin), below(found, -margin))
        return max(above(found, -margin), below(found, margin)), min(1.0, 2 * beyond)
    # A chain holds where all its steps do (intersection-union), and is broken where one is, of as many as there are.
    p_refute = min(1.0, len(steps) * min(below(values, margin) for values in steps))
    return max(above(values, margin) for values in steps), p_refute


def seeds_to_decide(trial: Trial, alpha: float, later: Callable[[int], float]) -> int | None:
    """Further seeds that would decide a claim, whichever way the effect points; None for too many to tell.

    Of a chain, as many as its slowest step needs, or as the first to break it would.

    Args:
        trial: an undecided claim.
        alpha: the level that it was held to.
        later: the level after so many further seeds.
    """
    claim, found = trial.claim, trial.differences
    if trial.weakest.effect is None or trial.weakest.num_never == len(found):
        return None
    effect = trial.weakest.effect.value

    def seeds_of(pairs: int) -> int:
        return math.ceil(pairs * trial.num_seeds / len(found))

    def needed(values: Sequence[float], margins: Sequence[float], share: float = 1.0) -> int | None:
        return seeds_needed(values, margins, alpha * share, lambda pairs: later(seeds_of(pairs)) * share)

    if claim.kind == "ordered":
        broken = effect < claim.margin
        decisive, share = ([trial.weakest], 1 / len(trial.steps)) if broken else (trial.steps, 1.0)
        each = [needed(step.differences, [claim.margin], share) for step in decisive]
        pairs_needed = None if None in each else max(number for number in each if number is not None)
    elif claim.kind != "same":
        pairs_needed = needed(found, [-claim.margin if claim.kind == "lower" else claim.margin])
    elif abs(effect) < claim.margin:
        pairs_needed = needed(found, [-claim.margin, claim.margin])
    else:
        pairs_needed = needed(found, [claim.margin if effect > 0 else -claim.margin], 0.5)
    return pairs_needed and seeds_of(pairs_needed)
