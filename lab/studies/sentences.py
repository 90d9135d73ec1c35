"""What the numbers mean, in sentences for people."""

from lab.studies.claims import Claim
from lab.studies.numerals import count, decimals, fixed, interval_text
from lab.studies.selectors import label, show
from lab.studies.statistics import MOST_SEEDS, Estimate
from lab.studies.trials import Trial


def explain(trial: Trial, effect: Estimate | None, word: str, seeds_needed: int | None) -> str:
    """The numbers behind a verdict: who is higher by how much, what was asked, and what is missing."""
    claim = trial.claim
    if effect is None:
        where = f" where {label(claim.where)}" if claim.where else ""
        return f"No seed has been run with both {label(claim.left)} and {label(claim.right)}{where}."
    parts = [f"{observed(trial, effect)}; the claim asks for {asked(claim)}."]
    if trial.num_diverged:
        parts.append(f"{trial.num_diverged} of {count(trial.num_runs, 'run')} diverged, scored at the worst there is.")
    if word == "undecided":
        parts.append(missing(effect.n, seeds_needed))
    return " ".join(parts)


def observed(trial: Trial, effect: Estimate) -> str:
    """`he_normal is higher than xavier_normal by 0.871 [0.860, 0.880] over 5 seeds`."""
    left, right = side_names(trial.claim)
    pairs = count(effect.n, "seed" if effect.n == trial.num_seeds else "pair")
    if not any(trial.differences):
        return f"{left} and {right} score exactly alike in {pairs}"
    if effect.num_infinite:
        num_higher, num_lower = (sum(sign * d > 0 for d in trial.differences) for sign in (1, -1))
        wins, word = max((num_lower, "lower"), (num_higher, "higher"))
        return f"{left} is {word} than {right} in {wins} of {pairs}, {effect.num_infinite} of the differences infinite"
    sign, word = (1, "higher") if effect.value > 0 else (-1, "lower")
    interval = effect.interval and (min(sign * e for e in effect.interval), max(sign * e for e in effect.interval))
    size = Estimate(sign * effect.value, interval, effect.n, 0)
    places = decimals([size])
    bounds = f" {interval_text(size, places)}" if interval else ""
    return f"{left} is {word} than {right} by {fixed(size.value, places)}{bounds} over {pairs}"


def asked(claim: Claim) -> str:
    if claim.kind == "same":
        return f"a difference within {claim.margin:g}"
    return f"{claim.kind} by more than {claim.margin:g}"


def missing(num_pairs: int, seeds_needed: int | None) -> str:
    """What would decide an undecided claim."""
    if num_pairs < 2:
        return "A verdict needs at least 2 seeds."
    if seeds_needed is None:
        return f"If the runs go on like this, {MOST_SEEDS:,} further seeds would not decide it."
    return f"About {count(seeds_needed, 'further seed')} would decide it."


def side_names(claim: Claim) -> tuple[str, str]:
    """Names of the two sides: their values alone where both set the same single key, and to a word."""
    values = [*claim.left.values(), *claim.right.values()]
    if len(values) == 2 and claim.left.keys() == claim.right.keys() and all(show(v)[:1].isalpha() for v in values):
        return show(values[0]), show(values[1])
    return label(claim.left), label(claim.right)
