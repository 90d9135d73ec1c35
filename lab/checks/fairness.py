"""Rules about a comparison: whether its arms differ, in what, and whether each gets what it needs."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lab.checks.arm_facts import ArmFacts
from lab.checks.lint.finding import Rule
from lab.checks.sameness import MOST_NAMED
from lab.identity import ARM
from lab.studies.select.arms import prefixes, values_of
from lab.studies.select.selectors import label_full, show

UNFIT = "arms-unfit"

SCALE = 3.0
"""Times that first updates may differ before one rate for all is worth a line."""

SIZE = 1.05
"""Times that parameters or multiplications may differ before that is worth a line."""


@dataclass(frozen=True)
class Line:
    """One line about a lineup."""

    text: str
    arms: tuple[str, ...] = ()
    """Hashes of the arms that it is about; empty for all."""
    severity: str = ""
    """In place of the rule's own."""


@dataclass(frozen=True)
class Same:
    """Arms that are proved to be one function of their weights."""

    arms: Sequence[ArmFacts]
    """Of each form, and at each level of what else is swept."""
    pair: Sequence[ArmFacts]
    """Two of them that differ in nothing else."""
    reasons: Sequence[str]
    """The identities that make them so."""
    free: bool
    """Whether that holds for some weights only, so that they train otherwise."""


@dataclass(frozen=True)
class Lineup:
    """The arms of a sweep before the first run."""

    arms: Sequence[ArmFacts]
    keys: Sequence[str]
    """What is swept, tuned keys aside."""
    tuned: Sequence[str]
    """Keys that each arm gets its own best value of."""
    same: Sequence[Same]
    """Groups of arms that are one function."""


def ids(arms: Sequence[ArmFacts]) -> tuple[str, ...]:
    return tuple(arm.arm_id for arm in arms)


def one_function(lineup: Lineup) -> Iterator[Line]:
    """Arms that are one function, written in two ways.

    Their outputs are equal for equal weights, in training and evaluation: what is measured between them is speed and
    rounding. Proved by rewriting both nets to a normal form, and checked by evaluating both in float64.
    """
    alike: dict[tuple[Any, ...], list[Same]] = {}
    for group in lineup.same:
        key = (differing(group.pair, lineup.keys), tuple(group.reasons), group.free)
        alike.setdefault(key, []).append(group)
    for (names, reasons, free), found in alike.items():
        for arms in joined([group.arms for group in found], lineup):
            why = f" ({'; '.join(reasons)})" if reasons else ""
            ending = "they can differ in how they train" if free else "they differ in speed and rounding alone"
            who = f"{names} {place(arms, lineup, apart(found[0].pair, lineup.keys))}".strip()
            yield Line(f"{who} are one function{why}: {ending}", ids(arms))


def init_behind_norm(lineup: Lineup) -> Iterator[Line]:
    """An init that is swept where a norm follows every layer but the last.

    The norm divides by the scale of the weights before it, so the function does not depend on it; gradients shrink as
    1 / scale, so that the init acts as a learning rate only (Ioffe and Szegedy 2015, section 3.3; van Laarhoven 2017).
    """
    keys = [key for key in ("model.init", "model.init_gain", "model.init_fan") if key in lineup.keys]
    normed = [arm for arm in lineup.arms if arm.form and arm.form.normed and arm.form.maps - arm.form.normed <= 1]
    others = [key for key in lineup.keys if key not in keys]
    found = [group for group in groups(normed, others) if len(group) > 1] if keys else []
    for group in joined(found, lineup):
        if group:
            text = f"{' and '.join(keys)} {place(group, lineup, keys)} acts as a learning rate only"
            yield Line(" ".join(text.split()) + ": a norm follows every layer but the last", ids(group))


def also_differ(lineup: Lineup) -> Iterator[Line]:
    """Arms that differ in more than what is compared.

    A better score of a larger net, or of one that computes more, is no evidence for the key that made it larger.
    """
    for key in lineup.keys:
        others = [one for one in lineup.keys if one != key]
        pairs = [group for group in groups(lineup.arms, others) if len(group) > 1]
        told = [
            f"{name} ({low:,} to {high:,})"
            for name, read in (("parameters", num_params), ("multiply-adds", multiply_adds))
            for low, high in [widest(pairs, read)]
            if low and high / low > SIZE
        ]
        told += brought(key, pairs, [*lineup.keys, *lineup.tuned])
        if told:
            who = "arms" if key == ARM else f"arms of {key}"
            yield Line(f"{who} also differ in {', '.join(told)}")


def num_params(arm: ArmFacts) -> int:
    return arm.num_params


def multiply_adds(arm: ArmFacts) -> int:
    return arm.multiply_adds


def widest(groups_found: Sequence[Sequence[ArmFacts]], read: Callable[[ArmFacts], int]) -> tuple[int, int]:
    """The least and the greatest of the group in which they lie furthest apart."""
    ends = [(min(map(read, group)), max(map(read, group))) for group in groups_found]
    return max(ends, key=lambda pair: pair[1] / max(pair[0], 1), default=(0, 0))


def brought(key: str, pairs: Sequence[Sequence[ArmFacts]], keys: Sequence[str]) -> list[str]:
    """The keys that come with the choice of a group, `optimizer.lr (0.001, 0.1)`."""
    there = [
        one for one in (pairs[0][0].config if pairs else ()) if one.startswith(prefixes([key])) and one not in keys
    ]
    found = []
    for one in there:
        values = list(dict.fromkeys(show(arm.config[one]) for group in pairs for arm in group))
        if len(values) > 1 and not one.endswith(".name"):
            found.append(f"{one} ({', '.join(values[:MOST_NAMED])}{', ...' if len(values) > MOST_NAMED else ''})")
    return found


def one_rate(lineup: Lineup) -> Iterator[Line]:
    """One learning rate for arms of different scales.

    The arm that the rate suits wins, whatever is compared. The first step of each arm says how far its rate moves its
    weights; what moves them by 1e-4 to 1e-1 of their size is usual.
    """
    if "optimizer.lr" in (*lineup.keys, *lineup.tuned):
        return
    if ARM in lineup.keys and len({arm.config["optimizer.lr"] for arm in lineup.arms}) > 1:  # set by hand
        return
    remedy = "study.tune={optimizer.lr: [...]} gives each arm its own"
    names = list(dict.fromkeys(str(arm.config["optimizer.name"]) for arm in lineup.arms))
    if len(names) > 1:
        rates = list(dict.fromkeys(show(arm.config["optimizer.lr"]) for arm in lineup.arms))
        what = f"the rate {rates[0]} for all" if len(rates) == 1 else f"rates that nobody tuned ({', '.join(rates)})"
        yield Line(f"{', '.join(names[:MOST_NAMED])} have {what}; {remedy}")
        return
    worst = None
    for key in lineup.keys:
        for group in groups(lineup.arms, [one for one in lineup.keys if one != key]):
            found = sorted((arm for arm in group if arm.update), key=lambda arm: arm.update or 0.0)
            if len(found) > 1 and found[0].update and found[-1].update:
                ratio = found[-1].update / found[0].update
                worst = max(worst or (0.0, key, found), (ratio, key, found), key=lambda one: one[0])
    if worst and worst[0] > SCALE:
        ratio, key, found = worst
        low, high = (f"{show(arm.config[key])} ({arm.update:.1e})" for arm in (found[0], found[-1]))
        yield Line(
            f"one rate moves the weights of {key}={high} {ratio:.0f} times as far at the first step as those of {low}; "
            f"{remedy}",
            ids([found[0], found[-1]]),
        )


def unfit_arms(lineup: Lineup) -> Iterator[Line]:
    """Arms in which `lab lint` finds errors or warnings.

    An arm that will not train, or that has a fault besides what is compared, decides the comparison.
    """
    found: dict[tuple[str, str], list[tuple[ArmFacts, Any]]] = {}
    for arm in lineup.arms:
        for one in {one.rule.code: one for one in reversed(arm.said)}.values():
            found.setdefault((one.severity, one.rule.code), []).append((arm, one))
    for (severity, code), members in sorted(found.items()):
        arms = [arm for arm, _ in members]
        who = named(arms, lineup)
        finding = members[0][1].finding
        layer = f"{finding.layer}: " if finding.layer else ""
        yield Line(f"{who}: {code}: {layer}{finding.what}", ids(arms), severity)


def groups(arms: Sequence[ArmFacts], keys: Sequence[str]) -> list[list[ArmFacts]]:
    """Arms that agree in `keys`."""
    found: dict[tuple[str, ...], list[ArmFacts]] = {}
    for arm in arms:
        found.setdefault(values_of(arm.config, keys), []).append(arm)
    return list(found.values())


def apart(arms: Sequence[ArmFacts], keys: Sequence[str]) -> list[str]:
    """Those of `keys` in which `arms` differ."""
    return [key for key in keys if len({values_of(arm.config, [key]) for arm in arms}) > 1]


def differing(arms: Sequence[ArmFacts], keys: Sequence[str]) -> str:
    """The values that tell `arms` apart: `model.block=conv-act-pool and model.block=conv-pool-act`."""
    own = apart(arms, keys)
    texts = list(dict.fromkeys(label_full({key: arm.config.get(key) for key in own}) for arm in arms))
    return " and ".join(texts if len(texts) <= MOST_NAMED else [*texts[:MOST_NAMED], f"{len(texts) - MOST_NAMED} more"])


def levels(arms: Sequence[ArmFacts], keys: Sequence[str]) -> dict[str, list[str]]:
    """The values that `arms` have of each of `keys`."""
    return {key: list(dict.fromkeys(value for arm in arms for value in values_of(arm.config, [key]))) for key in keys}


def covers(arms: Sequence[ArmFacts], lineup: Lineup) -> bool:
    """Whether `arms` are all that have one of their values of each key."""
    there = levels(arms, lineup.keys)
    return len(arms) == sum(
        all(values_of(arm.config, [key])[0] in values for key, values in there.items()) for arm in lineup.arms
    )


def joined(found: Sequence[Sequence[ArmFacts]], lineup: Lineup) -> list[Sequence[ArmFacts]]:
    """Groups of which one thing is said, as one where that is true of all arms with their values."""
    whole = [arm for group in found for arm in group]
    return [whole] if covers(whole, lineup) else list(found)


def place(arms: Sequence[ArmFacts], lineup: Lineup, about: Collection[str]) -> str:
    """`where model.pool=max model.act=relu or tanh`: the keys of which other arms have further values; empty for all.

    Args:
        arms: some of them.
        lineup: all of them.
        about: keys that the line speaks of already.
    """
    own, every = levels(arms, lineup.keys), levels(lineup.arms, lineup.keys)
    parts = []
    for key in lineup.keys:
        if key not in about and len(own[key]) < len(every[key]):
            values = list(dict.fromkeys(show(arm.config[key]) for arm in arms))
            parts.append(f"{key}={' or '.join(values[:MOST_NAMED])}{' ...' if len(values) > MOST_NAMED else ''}")
    return f"where {' '.join(parts)}" if parts else ""


def named(arms: Sequence[ArmFacts], lineup: Lineup) -> str:
    """`all arms`, or what sets `arms` apart, with their number."""
    total = len(lineup.arms)
    if len(arms) == total:
        return "every arm" if total > 1 else "the arm"
    alike = [key for key in lineup.keys if len({values_of(arm.config, [key]) for arm in arms}) == 1]
    telling = [key for key in alike if len({values_of(arm.config, [key]) for arm in lineup.arms}) > 1]
    if sum(values_of(arm.config, telling) == values_of(arms[0].config, telling) for arm in lineup.arms) == len(arms):
        return label_full({key: arms[0].config.get(key) for key in telling})
    labels = [label_full({key: arm.config.get(key) for key in lineup.keys}) for arm in arms]
    return ", ".join(labels) if len(labels) < MOST_NAMED else f"{len(arms)} of {total} arms"


ARM_RULES = (
    Rule("arms-same", "note", one_function),
    Rule("arms-init", "note", init_behind_norm),
    Rule("arms-differ", "note", also_differ),
    Rule("arms-rate", "note", one_rate),
    Rule("arms-unfit", "warning", unfit_arms),
)
