"""What the numbers mean, in sentences for people."""

from collections.abc import Sequence

from lab.studies.claims.claim import Claim
from lab.studies.claims.contrast import Trial
from lab.studies.claims.flips import Flips, flips_text
from lab.studies.select.scores import parse_mark
from lab.studies.select.selectors import Flat, label, show
from lab.studies.statistics.numerals import count, decimals, fixed, interval_text
from lab.studies.statistics.paired import ALPHA, Estimate
from lab.studies.statistics.power import MOST_SEEDS


def explain(
    trial: Trial,
    word: str,
    seeds_needed: int | None,
    p: float,
    looks: Sequence[int],
    level: float,
    flips: Flips | None,
) -> str:
    """The numbers behind a verdict: who is higher by how much, what was asked, and what is missing.

    Args:
        trial: what was compared.
        word: `supported`, `refuted` or `undecided`.
        seeds_needed: further seeds that would decide it.
        p: the smaller one of the adjusted p-values for and against.
        looks: seeds at each look so far.
        level: what p had to be below.
        flips: which test pictures the sides tell differently.
    """
    claim, effect = trial.claim, trial.weakest.effect
    if effect is None:
        where = f" where {label(claim.where)}" if claim.where else ""
        first, *others = map(label, trial.weakest.sides)
        return (
            f"No seed has been run with {first if others[1:] else f'both {first}'} and {' and '.join(others)}{where}."
        )
    parts = [f"{observed(trial, effect)}; the claim asks for {asked(claim)}."]
    if trial.num_diverged:
        parts.append(f"{trial.num_diverged} of {count(trial.num_runs, 'run')} diverged, scored at the worst there is.")
    if flips and any(flips.gained + flips.lost):
        parts.append(flips_text(flips, *side_names(trial.weakest.sides)))
    if len(looks) > 1:
        at = ", ".join(map(str, looks))
        parts.append(f"Looked at {len(looks)} times (at {at} seeds), so p has to be below {level:.2g}.")
    elif word == "undecided" and p < ALPHA:
        parts.append(f"As seeds may be added, p has to be below {level:.2g} at the first look.")
    if word == "undecided":
        parts.append(missing(effect.n, seeds_needed))
    return " ".join(parts)


def observed(trial: Trial, effect: Estimate) -> str:
    """`he_normal is higher than xavier_normal by 0.871 [0.860, 0.880] over 5 seeds`."""
    pairs = count(effect.n, "seed" if effect.n == trial.num_seeds else "pair")
    if trial.claim.kind == "interaction":
        return effect_apart(trial, effect, pairs)
    left, right = side_names(trial.weakest.sides)
    if trial.weakest.num_never == effect.n:
        arrives = parse_mark(trial.metric) is not None
        return f"Neither {left} nor {right} gets there in {pairs}" if arrives else f"All are infinite in {pairs}"
    if trial.claim.kind == "ordered":
        left = f"At the weakest of {len(trial.steps)} steps {left}"
    if not any(trial.differences):
        return f"{left} and {right} score exactly alike in {pairs}"
    if effect.num_infinite:
        num_higher, num_lower = (sum(sign * d > 0 for d in trial.differences) for sign in (1, -1))
        wins, word = max((num_lower, "lower"), (num_higher, "higher"))
        return f"{left} is {word} than {right} in {wins} of {pairs}, {effect.num_infinite} of the differences infinite"
    return f"{left} is {word_of(effect)} than {right} by {size_text(effect)} over {pairs}"


def effect_apart(trial: Trial, effect: Estimate, pairs: str) -> str:
    """`norm=batch minus norm=none is higher at depth=20 than at depth=56 by 0.120 [0.100, 0.140] over 5 seeds`."""
    first, second = map(label, trial.claim.between)
    name = " minus ".join(map(label, trial.claim.sides))
    if effect.num_infinite:
        return f"{name} differs between {first} and {second} in the median of {pairs} by {effect.value:g}"
    if not any(trial.differences):
        return f"{name} is exactly the same at {first} and at {second} in {pairs}"
    return f"{name} is {word_of(effect)} at {first} than at {second} by {size_text(effect)} over {pairs}"


def word_of(effect: Estimate) -> str:
    return "higher" if effect.value > 0 else "lower"


def size_text(effect: Estimate) -> str:
    """The size of a finite effect with its interval, both turned to be positive: `0.871 [0.860, 0.880]`."""
    sign = 1 if effect.value > 0 else -1
    interval = effect.interval and (min(sign * e for e in effect.interval), max(sign * e for e in effect.interval))
    size = Estimate(sign * effect.value, interval, effect.n, 0)
    places = decimals([size])
    return f"{fixed(size.value, places)} {interval_text(size, places)}" if interval else fixed(size.value, places)


def asked(claim: Claim) -> str:
    """What the claim wants to see."""
    if claim.kind == "ordered":
        return f"each to be higher than the next by more than {claim.margin:g}"
    if claim.kind == "interaction":
        return f"higher by more than {claim.margin:g}"
    if claim.kind == "same":
        return f"a difference within {claim.margin:g}"
    return f"{claim.kind} by more than {claim.margin:g}"


def missing(num_pairs: int, seeds_needed: int | None) -> str:
    """What would decide an undecided claim."""
    if num_pairs < 2:
        return "A verdict needs at least 2 seeds."
    if seeds_needed is None:
        return f"As far as can be told from these runs, {MOST_SEEDS:,} further seeds would not decide it."
    return f"About {count(seeds_needed, 'further seed')} would decide it."


def side_names(sides: Sequence[Flat]) -> tuple[str, str]:
    """Names of two sides: their values alone where both set the same single key, and to a word."""
    left, right = sides
    values = [*left.values(), *right.values()]
    if len(values) == 2 and left.keys() == right.keys() and all(show(v)[:1].isalpha() for v in values):
        return show(values[0]), show(values[1])
    return label(left), label(right)
