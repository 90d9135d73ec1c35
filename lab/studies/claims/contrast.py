"""One claim put to the runs of one setting: paired differences, p-values, and the seeds that would decide it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lab.identity import ARM
from lab.metric import Metric, apart
from lab.records.checked import NOTHING_CHECKED, Checked, OneFunction
from lab.records.results import Run
from lab.studies.claims.claim import Claim
from lab.studies.claims.flips import predict_alike
from lab.studies.claims.proofs import find_proof, united
from lab.studies.select.arms import beside
from lab.studies.select.idle import idle_keys
from lab.studies.select.modes import Modes, pair_trained
from lab.studies.select.pairs import Pairs
from lab.studies.select.scores import Scores
from lab.studies.select.selectors import Flat, label, matches
from lab.studies.statistics.estimate import Estimate, estimate
from lab.studies.statistics.p_values import p_above
from lab.studies.statistics.proportions import estimate_share_difference, share_above, share_below, turned

Test = Callable[[Sequence[float], float], float]
"""One-sided: values and margin to the p-value of the hypothesis that the values lie at or below the margin."""


@dataclass(frozen=True)
class Contrast:
    """One comparison within a claim: a - b, or the interaction (a - b) - (c - d)."""

    sides: list[Flat]
    """The selectors of a and b, or of a, b, c and d."""

    cells: list[list[Run]]
    """The runs of each side."""

    pairs: Pairs

    effect: Estimate | None
    """None without seeds."""

    modes: Modes = field(default_factory=Modes)
    """In which seeds the sides trained; where that is mixed, pairs and effect are of the seeds in which all did."""

    compared: list[list[Run]] = field(default_factory=list)
    """The runs of each side that were paired."""

    @property
    def differences(self) -> list[float]:
        """One a seed."""
        return list(self.pairs.differences)

    @property
    def num_never(self) -> int:
        """Seeds in which all sides scored the same infinity: none of them ever reached the threshold."""
        return self.pairs.num_never

    @property
    def name(self) -> str:
        """`init=he_normal - init=xavier_normal`."""
        names = [label(side) for side in self.sides]
        return " - ".join(names) if len(names) == 2 else "({} - {}) - ({} - {})".format(*names)


@dataclass(frozen=True)
class ClaimTest:
    """What the runs of one setting say about a claim, before Holm's adjustment."""

    claim: Claim
    metric: Metric
    contrasts: list[Contrast]
    """Each step of a chain; one for every other claim."""

    weakest: Contrast
    """The one with the smallest effect; one without seeds first."""

    num_runs: int
    num_diverged: int
    proved_same: bool
    """Whether both sides are the same network, by theory or as far as the test images tell."""

    proof: OneFunction | None
    """That they are one function of their weights, or of some, where it was proved before training."""

    p_support: float
    p_refute: float

    idle_keys: list[str] = field(default_factory=list)
    """What the sides of a contrast differ in, where it did nothing: their runs are one and the same."""

    @property
    def differences(self) -> list[float]:
        """Of the weakest contrast."""
        return self.weakest.differences


def put_to_test(
    claim: Claim, scores: Scores, runs: Sequence[Run], swept: Sequence[str], checked: Checked = NOTHING_CHECKED
) -> ClaimTest:
    """Pairs the sides of `claim` among `runs`, one or more of those scored, and tests the claim.

    Args:
        claim: what is claimed.
        scores: of `runs` and maybe others.
        runs: those that may take part.
        swept: full keys that sweeps named.
        checked: which arms were proved to be one function before they trained.
    """
    inside = [run for run in runs if matches(run.config, claim.where)]
    own = claim.own_keys(runs[0].config)
    open_keys = beside(swept, own)
    if ARM in open_keys:
        names = [{run.config.get(ARM) for run in inside if matches(run.config, side)} for side in claim.contrasts()[0]]
        if not set.intersection(*names):  # the claim tells arms apart by their keys
            open_keys.remove(ARM)
    contrasts = [measure(sides, scores, inside, open_keys) for sides in claim.contrasts()]
    used = {id(run): run for contrast in contrasts for cell in contrast.cells for run in cell}
    proof = united([find_proof(contrast.cells, open_keys, checked) for contrast in contrasts])
    proved = proved_same(claim, contrasts[0], open_keys, proof)
    p_support, p_refute = p_contrasts(claim, contrasts, scores.metric, one_network if proved else p_above)
    idle = [key for contrast in contrasts for key in idle_keys(contrast.cells, open_keys)]
    if idle:
        p_support = p_refute = 1.0  # a run compared with itself is no evidence
    return ClaimTest(
        claim=claim,
        metric=scores.metric,
        contrasts=contrasts,
        weakest=min(contrasts, key=effect_size),
        num_runs=len(used),
        num_diverged=sum(run.status == "diverged" for run in used.values()),
        proved_same=proved,
        proof=proof,
        p_support=p_support,
        p_refute=p_refute,
        idle_keys=list(dict.fromkeys(idle)),
    )


def p_contrasts(
    claim: Claim, contrasts: Sequence[Contrast], metric: Metric, plain: Test = p_above
) -> tuple[float, float]:
    """p for and p against `claim`, unadjusted, with regard to who trained and who gets anywhere."""
    p_support, p_refute = p_values(claim, contrasts, *tests(metric, plain))
    if claim.kind == "same" and contrasts[0].modes.kind == "mixed":
        return 1.0, 1.0  # alike among survivors, or apart, hides what the others are
    if any(contrast.num_never == len(contrast.differences) for contrast in contrasts):
        p_support = 1.0  # that none of them gets there does not make them the same
    return p_support, p_refute


def proved_same(claim: Claim, contrast: Contrast, open_keys: Sequence[str], proof: OneFunction | None) -> bool:
    """Whether the two sides of a claim score alike in all seeds, and are one function of their weights or predict the
    same for every test image."""
    if len(claim.sides) != 2 or len(contrast.cells) != 2:
        return False
    left, right = contrast.cells
    tied = len(contrast.differences) > 1 and not any(contrast.differences)
    return tied and ((proof is not None and not proof.free) or predict_alike(left, right, open_keys))


def one_network(values: Sequence[float], margin: float) -> float:
    """p of `p_above` where the sides are the same, so that the difference is 0 for certain."""
    return float(margin >= 0)


def measure(sides: Sequence[Flat], scores: Scores, runs: Sequence[Run], open_keys: Sequence[str]) -> Contrast:
    """The contrast of two or four `sides`, selectors, among `runs`."""
    return contrast_of(sides, scores, [[run for run in runs if matches(run.config, side)] for side in sides], open_keys)


def contrast_of(
    sides: Sequence[Flat], scores: Scores, cells: list[list[Run]], open_keys: Sequence[str] = ()
) -> Contrast:
    """The contrast of two or four `sides`, selectors, whose runs are `cells`."""
    (found, modes, compared), bounds = pair_trained(scores, cells, open_keys), scores.metric.difference_bounds
    bounds = apart(bounds) if len(sides) == 4 else bounds
    effect = estimate_share_difference(found.sides) if scores.metric.is_share else estimate(found.differences, bounds)
    return Contrast(list(sides), cells, found, effect, modes, compared)


def tests(metric: Metric, plain: Test) -> tuple[Callable[[Contrast, float], float], Callable[[Contrast, float], float]]:
    """The one-sided tests of a contrast, `above` and `below`: of shares, or `plain` with regard to who trained."""
    if metric.is_share:
        return (
            lambda contrast, margin: share_above(contrast.pairs.sides, margin),
            lambda contrast, margin: share_below(contrast.pairs.sides, margin),
        )
    return partial(p_trained, metric, plain, 1), partial(p_trained, metric, plain, -1)


def p_trained(metric: Metric, plain: Test, sign: int, contrast: Contrast, margin: float) -> float:
    """p of the hypothesis that the effect, times `sign`, lies at or below `margin` times `sign`, of runs that train.

    Where each side is in one mode but not in the same, the effect is that of training, and a few seeds may have it by
    chance: p is at least that of the shares which train being no further apart than brings the mean effect to the
    margin (`share_above`). Where modes are mixed, a difference among the seeds in which all trained may hide failures:
    it is no evidence for sides that train less often. Where no side ever trained it is evidence of nothing.
    """
    kind, margin = contrast.modes.kind, sign * margin
    if kind == "none":
        return 1.0
    p = plain([sign * value for value in contrast.differences], margin)
    if kind == "all":
        return p
    if kind == "mixed":
        ahead = trained_more(contrast)
        return 1.0 if ahead * (-sign if metric.lower_is_better else sign) < 0 else p
    return max(p, p_apart(contrast, sign, margin))


def trained_more(contrast: Contrast) -> int:
    """In how many more seeds the first side trained than the second; of four, (a - b) - (c - d) of them."""
    return sum(side * number for side, number in zip((1, -1, -1, 1), contrast.modes.trained, strict=False))


def p_apart(contrast: Contrast, sign: int, margin: float, num_seeds: int = 0) -> float:
    """p of the hypothesis that the shares of runs which train are no further apart than brings the mean effect, times
    `sign`, to `margin`, where each side trained in all seeds or in none.

    Args:
        contrast: its sides.
        sign: 1 or -1.
        margin: of the effect times `sign`.
        num_seeds: seeds of each side, all like those there are; as many as there are if 0.
    """
    effect, ahead = contrast.effect, trained_more(contrast)
    if not (ahead and effect and effect.value):  # of an interaction: it is not that of training
        return 1.0
    shares = [side[:1] * num_seeds if num_seeds else side for side in contrast.modes.indicators()]
    shares = shares if sign > 0 else turned(shares)
    slope = effect.value / (ahead / contrast.modes.num_seeds)  # how much higher a run scores that trained
    return (share_above if slope > 0 else share_below)(shares, margin / slope)


def effect_size(contrast: Contrast) -> float:
    return contrast.effect.value if contrast.effect else -math.inf


def p_values(
    claim: Claim,
    contrasts: Sequence[Any],
    above: Callable[[Any, float], float] = p_above,
    below: Callable[[Any, float], float] | None = None,
) -> tuple[float, float]:
    """p for and p against `claim`, unadjusted; see the rule in `lab.studies.claims.verdict`.

    Args:
        claim: what is claimed.
        contrasts: the differences of each of its contrasts, or whatever the tests take.
        above: the one-sided test.
        below: that of the other side; by default `above` of the differences with their signs changed.
    """

    def mirrored(values: Sequence[float], margin: float) -> float:
        return above([-value for value in values], -margin)

    below = below or mirrored
    margin, found = claim.margin, contrasts[0]
    if claim.kind == "lower":
        return below(found, -margin), above(found, -margin)
    if claim.kind == "same":
        beyond = min(above(found, margin), below(found, -margin))
        return max(above(found, -margin), below(found, margin)), min(1.0, 2 * beyond)
    # A chain holds where all its steps do (intersection-union), and is broken where one is, of as many as there are.
    p_refute = min(1.0, len(contrasts) * min(below(values, margin) for values in contrasts))
    return max(above(values, margin) for values in contrasts), p_refute
