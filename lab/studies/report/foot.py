"""The foot of the table: what else differs between arms, what does not, and how much of the scatter is chance."""

from collections import Counter
from collections.abc import Iterable, Sequence

from lab.records.outcome import EARLY, ended_by
from lab.records.results import Run
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.noise import SPLITS, NoiseFloor, noise_floor
from lab.studies.select.arms import differing_keys, is_group, prefixes, values_of
from lab.studies.select.idle import idle_keys
from lab.studies.select.images import may_meet
from lab.studies.select.selectors import show
from lab.studies.statistics.numerals import count

MOST_KEYS = 6
MOST_ARMS = 3

NOT_ENDED = {"failed": "failed", "interrupted": "stopped before the end"}

MACHINE = {"device": "device", "torch": "version of torch"}
"""What of a run's environment changes its numbers."""


def foot(comparison: Comparison) -> list[str]:
    """A sentence for each thing that a reader of the table has to know, most important first."""
    noise = noise_floor(comparison.arms, comparison.metric)
    return [
        *images_apart(comparison),
        *without_pairs(comparison),
        *confounded(comparison),
        *early(comparison.runs),
        *not_ended(comparison),
        *idle(comparison),
        *pairing(comparison.arms),
        *([noise_text(noise)] if noise else []),
    ]


def early(runs: Sequence[Run]) -> list[str]:
    """That runs ended before their last step, by which key."""
    counts = Counter(way for run in runs if (way := ended_by(run.result)) in EARLY.values())
    words = [f"{number} by {key}" for key, number in counts.items()]
    if not words:
        return []
    return [f"{sum(counts.values())} of {count(len(runs), 'run')} ended before the last step: {', '.join(words)}."]


def not_ended(comparison: Comparison) -> list[str]:
    """That runs do not count, and what to do about it."""
    counts = Counter(run.status for run in comparison.failed)
    words = [f"{count(counts[way], 'run')} {verb}" for way, verb in NOT_ENDED.items() if counts[way]]
    if not words:
        return []
    whose = "does" if len(comparison.failed) == 1 else "do"
    return [f"{' and '.join(words)}, and {whose} not count: the same 'lab train' makes what is missing."]


def images_apart(comparison: Comparison) -> list[str]:
    """That arms of different test images are not subtracted, where there are some."""
    arms = [arm for arm in comparison.arms if arm.runs]
    if all(may_meet(arms[0].runs, arm.runs) for arm in arms):
        return []
    return ["Arms scored on different test images are not subtracted: each set of images has its own reference."]


def without_pairs(comparison: Comparison) -> list[str]:
    """Why arms have no difference to their reference although both have runs."""
    references, lines = {arm.label: arm for arm in comparison.arms}, []
    for arm in comparison.arms:
        first = references.get(arm.reference)
        if arm.difference or arm.is_reference or first is None or not (arm.runs and first.runs):
            continue
        keys = [key for key in comparison.open_keys if not values_there(arm, key) & values_there(first, key)]
        if not keys and {run.seed for run in arm.runs} & {run.seed for run in first.runs}:
            lines.append(f"In no seed did {arm.label} and its reference both train, so there is no difference.")
            continue
        what = "no seed" if not keys else f"no value of {first_of(keys, MOST_KEYS)}"
        lines.append(f"{arm.label} shares {what} with its reference, so there is no difference.")
    return lines


def values_there(arm: Arm, key: str) -> set[tuple[str, ...]]:
    return {values_of(run.config, [key]) for run in arm.runs}


def confounded(comparison: Comparison) -> list[str]:
    """What arms differ in from their reference besides their label."""
    references = {arm.label: arm for arm in comparison.arms}
    told: dict[str, list[str]] = {}
    for arm in comparison.arms:
        reference = references.get(arm.reference)
        if arm.difference and reference is not None and (what := differences(arm, reference, comparison)):
            told.setdefault(what, []).append(arm.label)
    lines = []
    for what, names in told.items():
        verb, whose = ("differs", "its") if len(names) == 1 else ("differ", "their")
        lines.append(f"{first_of(names, MOST_ARMS)} also {verb} from {whose} reference in {what}.")
    return lines


def differences(arm: Arm, reference: Arm, comparison: Comparison) -> str:
    """`optimizer.name (adam, not sgd) and optimizer.lr (0.001, not 0.1)`: settings that neither label nor pairing tells
    of, and machines; empty where there are none."""
    tuned = comparison.tuning.keys if comparison.tuning else []
    told = {*comparison.keys, *comparison.open_keys, *tuned}
    sides = [[run.config for run in one.runs] for one in (arm, reference)]
    words = []
    differing = differing_keys([*sides[0], *sides[1]])
    groups = prefixes(key for key in (*told, *differing) if is_group(key))  # a choice tells what it holds
    for key in differing:
        own, other = ({values_of(config, [key]) for config in side} for side in sides)
        if key not in told and not key.startswith(groups) and own != other:
            here, there = (several_values(config[key] for config in side) for side in sides)
            words.append(f"{key} ({here}, not {there})")
    for key, name in MACHINE.items():
        here, there = (
            several_values(run.result.get("environment", {}).get(key) for run in one.runs) for one in (arm, reference)
        )
        words += [f"{name} ({here}, not {there})"] if here != there and "null" not in (here, there) else []
    return first_of(words, MOST_KEYS)


def several_values(values: Iterable[object]) -> str:
    return " or ".join(sorted({show(value) or "''" for value in values}))


def first_of(words: Sequence[str], most: int) -> str:
    """`a`, `a and b`, `a, b and 3 more`."""
    shown = [*words[:most], f"{len(words) - most} more"] if len(words) > most else list(words)
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def idle(comparison: Comparison) -> list[str]:
    """Which keys did nothing, and in which arms."""
    firsts: list[tuple[Arm, set[str]]] = []
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for arm in comparison.arms:
        digits = {str(run.result["fingerprint"]) for run in arm.runs if run.result.get("fingerprint")}
        for first, known in firsts:
            if digits & known and (keys := idle_keys([first.runs, arm.runs], comparison.open_keys)):
                found.setdefault(tuple(keys), []).append((arm.label, first.label))
                break
        else:
            firsts.append((arm, digits))
    lines = []
    for keys, pairs in found.items():
        words = [f"{one} is the same net as {other}, trained alike" for one, other in pairs[:MOST_ARMS]]
        words += [f"and {len(pairs) - MOST_ARMS} more"] if len(pairs) > MOST_ARMS else []
        lines.append(f"{' and '.join(keys)} had no effect: {'; '.join(words)}.")
    return lines


def pairing(arms: Sequence[Arm]) -> list[str]:
    """What pairing by seed is worth: of one pair of arms, or the range over several; arms that tie tell nothing."""
    several = [(arm, arm.shared) for arm in arms if arm.shared and any(arm.differences)]
    if not several:
        return []
    found = [shared for _, shared in several]
    low, high = (pick([one.correlation for one in found]) for pick in (min, max))
    saved = [pick([one.saved for one in found]) for pick in (min, max)]
    numbers = sorted({one.n for one in found})
    over = f"Over {' to '.join(dict.fromkeys(map(str, (numbers[0], numbers[-1]))))} seeds"
    if len(found) == 1:
        verb = f"saves {100 * saved[0]:.0f} %" if saved[0] >= 0 else f"adds {-100 * saved[0]:.0f} %"
        who = "the two arms" if len(arms) == 2 else f"{several[0][0].label} and its reference"
        return [f"{over} {who} correlate by {low:.2f}, so pairing {verb} of the variance."]
    least, most = (100 * share for share in saved)
    what = f"saves {least:.0f} to {most:.0f} % of the variance"
    if most <= 0:
        what = f"adds {-most:.0f} to {-least:.0f} % to the variance"
    elif least < 0:
        what = f"saves up to {most:.0f} % of the variance, or adds up to {-least:.0f} %"
    return [f"{over} arms correlate with their reference by {low:.2f} to {high:.2f}, so pairing {what}."]


def noise_text(noise: NoiseFloor) -> str:
    """`288 validation images alone make accuracies of 0.95 scatter by 0.013; the seeds scatter by 0.007.`"""
    return (
        f"{noise.num_images:,} {SPLITS[noise.split]} images alone make accuracies of {noise.accuracy:.3g} scatter by "
        f"{noise.by_images:.2g} (binomial standard deviation); the seeds scatter by {noise.by_seeds:.2g}."
    )
