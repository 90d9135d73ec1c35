"""What a verdict says of runs that did not train, in sentences for people."""

from collections.abc import Callable, Sequence

from lab.studies.claims.claim import Claim
from lab.studies.claims.contrast import ClaimTest, Contrast
from lab.studies.claims.more_seeds import MOST_SEEDS, fewest_seeds
from lab.studies.select.modes import SPLIT
from lab.studies.statistics.numerals import count
from lab.studies.statistics.proportions import is_binary, share_above, turned, unseen
from lab.studies.statistics.spending import FIRST

WORDS = {2: "both", 4: "all four"}


def seeds_text(contrast: Contrast, number: int) -> str:
    """`5 seeds`; `the 3 seeds in which both trained` where modes are mixed."""
    seeds = count(number, "seed")
    return f"the {seeds} in which {WORDS[len(contrast.sides)]} trained" if contrast.modes.kind == "mixed" else seeds


def trained_text(test: ClaimTest, names: Callable[[Contrast], Sequence[str]]) -> list[str]:
    """`he_normal trained in 5 of 5 seeds, xavier_normal in 3 of 5.`, unless all did; of a chain all sides."""
    if all(contrast.modes.kind == "all" for contrast in test.contrasts):
        return []
    found: dict[str, tuple[int, int]] = {}
    for contrast in test.contrasts:
        for name, number in zip(names(contrast), contrast.modes.trained, strict=False):
            found.setdefault(name, (number, contrast.modes.num_seeds))
    (first, (number, seeds)), *others = found.items()
    texts = [f"{first} trained in {number} of {count(seeds, 'seed')}"]
    return [", ".join([*texts, *(f"{name} in {number} of {seeds}" for name, (number, seeds) in others)]) + "."]


def diverged_text(test: ClaimTest) -> str:
    """`1 of 10 runs diverged, scored at the worst value.`"""
    kinds = {contrast.modes.kind for contrast in test.contrasts}
    text = f"{test.num_diverged} of {count(test.num_runs, 'run')} diverged"
    if test.metric.kind in SPLIT and kinds == {"all"}:
        return f"{text}, without a counterpart."
    return f"{text}." if "mixed" in kinds else f"{text}, scored at the worst value."


def unseen_share(test: ClaimTest) -> float | None:
    """The share of failures that the seeds of a claim do not exclude, where they have seen none."""
    seen = [contrast.modes.num_seeds for contrast in test.contrasts if contrast.modes.kind == "all"]
    whole = len(seen) == len(test.contrasts) and min(seen) > 0 and not test.num_diverged
    return unseen(min(seen), FIRST) if whole and test.metric.kind in SPLIT else None


def unseen_text(test: ClaimTest, word: str) -> list[str]:
    """What a decided claim of a size does not say of rare failures; nothing for a network that is the same twice."""
    share = unseen_share(test)
    sized = test.claim.kind == "same" or (word == "refuted" and test.claim.margin > 0)
    if share is None or not sized or word == "undecided" or test.proved_same:
        return []
    seeds = count(len(test.differences), "seed")
    return [f"{seeds} without a failure do not exclude failures in up to {100 * share:.0f} % of runs."]


def why_open(
    test: ClaimTest, word: str, naming: Callable[[Contrast], Sequence[str]], seeds_needed: int | None
) -> list[str]:
    """Why runs that did not train leave a claim undecided, and what else to claim; nothing where all did."""
    contrast = next((one for one in test.contrasts if one.modes.kind != "all"), None)
    if contrast is None:
        return []
    names = naming(contrast)
    modes, found = contrast.modes, []
    if word == "undecided" and modes.kind == "none":
        found.append("A claim about scores is about runs that train, and none did.")
    if word == "undecided" and modes.kind == "apart":
        found.append(apart_text(test.claim, contrast))
        if seeds_needed:
            found.append(f"{count(seeds_needed, 'further seed')} that end like these would decide it.")
    if word == "undecided" and modes.kind == "mixed":
        found.append(mixed_text(test, contrast, names))
    if modes.kind == "mixed" or word == "undecided":
        found.append("How often runs train is a separate claim, by metric: trains(...).")
    return found


def apart_text(claim: Claim, contrast: Contrast) -> str:
    """Who trained may be chance where seeds are few: the p at which the claim is left open."""
    shares = contrast.modes.indicators()
    if len(shares) == 4 or contrast.effect is None:
        return "So few seeds do not show that it is not chance which sides trained."
    effect = contrast.effect.value
    towards = {"lower": -effect, "same": abs(effect)}.get(claim.kind, effect)
    needed = claim.margin / abs(effect) if towards > claim.margin else 0.0
    p = min(share_above(shares, needed), share_above(turned(shares), needed))
    shown = f"{p:.2g} for {'such' if needed else 'equal'} shares"
    chance = f"that one side trained in every seed and the other in none may be chance (p = {shown})."
    if needed == 0:
        return f"{chance[0].upper()}{chance[1:]}"
    return f"For more than {claim.margin:g} the shares that train have to differ by more than {needed:.2f}; {chance}"


def mixed_text(test: ClaimTest, contrast: Contrast, names: Sequence[str]) -> str:
    """Why nothing is decided among the seeds in which all sides trained."""
    if len(contrast.differences) < 2:
        return f"Fewer than 2 seeds are left in which {WORDS[len(contrast.sides)]} trained."
    if test.claim.kind == "same":
        return "Sides of which some runs fail are not taken for the same."
    trained, open_end = contrast.modes.trained, "how many seeds would decide it is not predicted."
    if len(trained) == 2 and trained[0] != trained[1]:
        less = names[trained[0] > trained[1]]
        return f"Nothing is decided in favour of {less}, which trained less often; {open_end}"
    return f"Some runs do not train, so {open_end}"


def share_reasons(test: ClaimTest, level: float) -> list[str]:
    """Why a claim about shares is undecided, and from how many seeds on it can be supported at all."""
    if not is_binary(test.weakest.pairs.sides):
        return ["A share is tested by runs that train or do not; name the keys left open in the claim."]
    found = fewest_seeds(test.claim, level)
    if found is None:
        return [f"Not even {MOST_SEEDS} seeds could support it."]
    if found > len(test.differences):
        return [f"It takes {found} seeds at least to support it."]
    return ["How many seeds would decide it is not predicted for shares."]


def shares_text(contrast: Contrast, names: Sequence[str]) -> str:
    """`he_normal trained in 5 of 5 seeds, xavier_normal in 2 of 5`, by the condition of the claim."""
    found, n = contrast.pairs, len(contrast.pairs.seeds)
    (first, *rest), (name, *others) = [f"{sum(side):.3g} of" for side in found.sides], names
    ends = [f"{other} in {seeds} {n}" for other, seeds in zip(others, rest, strict=True)]
    return ", ".join([f"{name} trained in {first} {count(n, 'seed')}", *ends])
