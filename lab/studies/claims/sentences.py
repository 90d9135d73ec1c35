"""What the numbers mean, in sentences for people."""

import math
from collections import Counter
from collections.abc import Sequence

from lab.metric import Metric
from lab.studies.claims.claim import Claim
from lab.studies.claims.contrast import ClaimTest, Contrast
from lab.studies.claims.flips import Flips, flips_text
from lab.studies.claims.trained import (
    diverged_text,
    seeds_text,
    share_reasons,
    shares_text,
    trained_text,
    unseen_text,
    why_open,
)
from lab.studies.select.selectors import Flat, label, show
from lab.studies.statistics.estimate import ALPHA, Estimate
from lab.studies.statistics.numerals import count, decimals, fixed, interval_text
from lab.studies.statistics.p_values import deviations
from lab.studies.statistics.power import MOST_SEEDS

ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth")


def explain(
    test: ClaimTest,
    word: str,
    seeds_needed: int | None,
    p: float,
    analyses: Sequence[int],
    level: float,
    flips: Flips | None,
    ending: Sequence[str] | None = None,
) -> str:
    """The numbers behind a verdict: who is higher by how much, what was asked, and what is missing.

    Args:
        test: what was compared.
        word: `supported`, `refuted` or `undecided`.
        seeds_needed: further seeds that would decide it.
        p: the smaller one of the adjusted p-values for and against.
        analyses: seeds at each interim analysis so far.
        level: what p had to be below.
        flips: which test images the sides tell differently.
        ending: what is said of the analysis and of further seeds in the design of `seeds=auto`.
    """
    claim, effect = test.claim, test.weakest.effect
    who, why = trained_text(test, names_of), why_open(test, word, names_of, seeds_needed)
    if effect is None and test.weakest.modes.num_seeds:
        return " ".join([*who, *why])
    if effect is None:
        if ending:
            return " ".join(ending)
        return unpaired(test)
    parts = [*who, f"{observed(test, effect)}; the claim asks for {asked(claim, test.metric)}."]
    if test.idle_keys:
        return " ".join([*parts, idle_text(test.idle_keys)])
    if left_out := test.weakest.pairs.num_unlike:
        parts.append(f"{count(left_out, 'seed')} with other test images on one side left out.")
    if left_out := test.weakest.pairs.num_incomplete:
        parts.append(f"{count(left_out, 'seed')} without some values of the keys left open left out.")
    if test.num_diverged:
        parts.append(diverged_text(test))
    if flips and any(flips.gained + flips.lost):
        parts.append(flips_text(flips, *side_names(test.weakest.sides)))
    if ending is not None:
        if not why and word == "undecided":
            why = share_reasons(test, level) if test.metric.is_share else [*tied(test), *too_few(test, level)]
        return " ".join([*parts, *why, *unseen_text(test, word), *ending])
    if len(analyses) > 1:
        parts.append(f"{analyses_text(analyses)}: threshold {level:.2g}.")
    elif word == "undecided" and p < ALPHA:
        parts.append(f"First interim analysis, as seeds may be added: threshold {level:.2g}.")
    parts += why
    if not why and word == "undecided":
        ties = [*tied(test), *too_few(test, level), *missing(test, seeds_needed)]
        parts += share_reasons(test, level) if test.metric.is_share else ties
    parts += unseen_text(test, word)
    return " ".join(parts)


def unpaired(test: ClaimTest) -> str:
    """Why no seed has both sides."""
    claim, pairs = test.claim, test.weakest.pairs
    where = f" where {label(claim.where)}" if claim.where else ""
    first, *others = map(label, test.weakest.sides)
    if pairs.num_unlike:
        return f"{first} and {others[0]} are scored on different test images{where}, so they are not subtracted."
    if pairs.num_incomplete:
        return f"No seed has been run at all values of the keys that the claim leaves open{where}."
    return f"No seed has been run with {first if others[1:] else f'both {first}'} and {' and '.join(others)}{where}."


def idle_text(keys: Sequence[str]) -> str:
    """`model.norm had no effect in these runs: both sides are one and the same net, trained alike.`"""
    return f"{' and '.join(keys)} had no effect in these runs: both sides are one and the same net, trained alike."


def analyses_text(analyses: Sequence[int]) -> str:
    """`Second interim analysis (3, then 5 seeds)`."""
    number = len(analyses)
    name = f"{ORDINALS[number - 1]} interim analysis" if number <= len(ORDINALS) else f"Interim analysis {number}"
    return f"{name} ({', then '.join(map(str, analyses))} seeds)"


def observed(test: ClaimTest, effect: Estimate) -> str:
    """`he_normal is higher than xavier_normal by 0.871 [0.860, 0.880] over 5 seeds`; of a time to a threshold,
    `he_normal gets there 122 [68, 177] steps sooner than xavier_normal over 5 seeds`."""
    metric, pairs = test.metric, seeds_text(test.weakest, effect.n)
    if metric.is_share:
        return share_difference(test, effect)
    if test.claim.kind == "interaction":
        return effect_apart(test, effect, pairs)
    left, right = side_names(test.weakest.sides)
    if test.weakest.num_never == effect.n:
        return f"Neither {left} nor {right} {'gets there' if metric.is_time_to else 'is finite'} in {pairs}"
    if test.claim.kind == "ordered":
        left = f"At the weakest of {len(test.contrasts)} steps {left}"
    if not any(test.differences):
        return f"{left} and {right} {'get there' if metric.is_time_to else 'score'} exactly alike in {pairs}"
    verb = f"{left} {'gets there' if metric.is_time_to else 'is'}"
    if effect.num_infinite:
        num_higher, num_lower = (sum(sign * d > 0 for d in test.differences) for sign in (1, -1))
        wins, sign = max((num_lower, -1), (num_higher, 1))
        rest = "only one gets there" if metric.is_time_to else "the difference is infinite"
        return f"{verb} {word_of(sign, metric)} than {right} in {wins} of {pairs}; in {effect.num_infinite} {rest}"
    word, size = word_of(effect.value, metric), size_text(effect, metric)
    if metric.is_time_to:
        return f"{verb} {size} {word} than {right} over {pairs}"
    return f"{verb} {word} than {right} by {size} over {pairs}"


def effect_apart(test: ClaimTest, effect: Estimate, pairs: str) -> str:
    """`norm=batch minus norm=none is higher at depth=20 than at depth=56 by 0.120 [0.100, 0.140] over 5 seeds`."""
    first, second = map(label, test.claim.between)
    name = " minus ".join(map(label, test.claim.sides))
    if effect.num_infinite:
        return f"{name} differs between {first} and {second} in the median of {pairs} by {effect.value:g}"
    if not any(test.differences):
        return f"{name} is exactly the same at {first} and at {second} in {pairs}"
    word = "higher" if effect.value > 0 else "lower"
    return f"{name} is {word} at {first} than at {second} by {size_text(effect, test.metric)} over {pairs}"


def share_difference(test: ClaimTest, effect: Estimate) -> str:
    """`he_normal trained in 5 of 5 seeds, xavier_normal in 2 of 5: the share is higher by 0.60 [0.05, 0.95]`."""
    if test.claim.kind == "interaction":
        one, several = "the difference of the differences is", "the differences"
    else:
        one, several = "the share is", "the shares"
    step = f"At the weakest of {len(test.contrasts)} steps " if test.claim.kind == "ordered" else ""
    head = f"{step}{shares_text(test.weakest, names_of(test.weakest))}"
    if not effect.value:
        between = f", their difference within {interval_text(effect, 2)}" if effect.interval else ""
        return f"{head}: {several} are equal{between}"
    return f"{head}: {one} {word_of(effect.value, test.metric)} by {size_text(effect, test.metric)}"


def word_of(effect: float, metric: Metric) -> str:
    """What a side is that has a positive, or a negative, effect."""
    low, high = ("sooner", "later") if metric.is_time_to else ("lower", "higher")
    return high if effect > 0 else low


def size_text(effect: Estimate, metric: Metric) -> str:
    """The size of a finite effect with its interval, both turned to be positive: `0.871 [0.860, 0.880]`, and unit."""
    sign = 1 if effect.value > 0 else -1
    interval = effect.interval and (min(sign * e for e in effect.interval), max(sign * e for e in effect.interval))
    size = Estimate(sign * effect.value, interval, effect.n, 0)
    places = decimals([size])
    words = [fixed(size.value, places), interval_text(size, places) if interval else "", metric.unit]
    return " ".join(filter(None, words))


def asked(claim: Claim, metric: Metric) -> str:
    """What the claim wants to see."""
    margin = f"{claim.margin:g} {metric.unit}".rstrip()
    if metric.is_share and claim.kind in ("higher", "lower"):
        return f"a share {claim.kind} by more than {margin}"
    if claim.kind == "same":
        return f"a difference within {margin}"
    if claim.kind == "ordered":
        return f"each to {'get there later' if metric.is_time_to else 'be higher'} than the next by more than {margin}"
    if claim.kind == "interaction":
        return f"higher by more than {margin}"
    return f"{word_of(1 if claim.kind == 'higher' else -1, metric)} by more than {margin}"


def tied(test: ClaimTest) -> list[str]:
    """Why ties leave a claim undecided."""
    found, number = test.differences, len(test.differences)
    if number < 2 or test.weakest.num_never == number or not all(map(math.isfinite, found)):
        return []
    ((_, num_tied),) = Counter(round(difference, 12) for difference in found).most_common(1)
    if num_tied == number:
        what = "Tied" if not any(found) else "The same difference"
        return [f"{what} in all {number} seeds; ties do not show that rarer differences are absent."]
    edges = [(sign, sign * margin) for sign in (1, -1) for margin in (test.claim.margin, -test.claim.margin)]
    if any(deviations([sign * difference for difference in found], edge) for sign, edge in edges):
        return [f"{num_tied} of {number} seeds tie; how rare other differences are is not known well enough."]
    return []


def too_few(test: ClaimTest, level: float) -> list[str]:
    """That seeds which are told apart by their signs alone are too few for any verdict."""
    effect = test.weakest.effect
    if effect is None or effect.n < 2 or not effect.num_infinite or 0.5**effect.n < level:
        return []
    return [f"By signs alone {effect.n} seeds cannot decide it: the smallest p is {0.5**effect.n:.2g}."]


def missing(test: ClaimTest, seeds_needed: int | None) -> list[str]:
    """What would decide an undecided claim; nothing where all seeds tie, which says all there is to say."""
    if len(test.differences) < 2:
        return ["A verdict needs at least 2 seeds."]
    if seeds_needed is not None:
        return [f"About {count(seeds_needed, 'further seed')} would decide it."]
    if not any(test.differences) and test.weakest.num_never < len(test.differences):
        return []
    return [f"As far as can be told from these runs, {MOST_SEEDS:,} further seeds would not decide it."]


def names_of(contrast: Contrast) -> Sequence[str]:
    """Names of the sides of a contrast, for sentences."""
    return side_names(contrast.sides) if len(contrast.sides) == 2 else list(map(label, contrast.sides))


def side_names(sides: Sequence[Flat]) -> tuple[str, str]:
    """Names of two sides: their values alone where both set the same single key, and to a word."""
    left, right = sides
    values = [*left.values(), *right.values()]
    if len(values) == 2 and left.keys() == right.keys() and all(show(v)[:1].isalpha() for v in values):
        return show(values[0]), show(values[1])
    return label(left), label(right)
