"""Arms that are one and the same: swept keys that do nothing, found by the fingerprints of what each arm builds."""

from collections.abc import Hashable, Sequence

from lab.errors import UserError
from lab.studies.select.arms import differing_keys, values_of
from lab.studies.select.selectors import Flat, label_full, show

MOST_NAMED = 4
"""Values that a line names."""


def idle_notes(arms: Sequence[Flat], fingerprints: Sequence[Hashable]) -> list[str]:
    """A line for each swept key without effect in some arms or in all.

    Args:
        arms: complete flat configurations of different arms.
        fingerprints: of a run of each arm, all of one seed; None where it is not known.

    Raises:
        UserError: all of two arms or more are the same.
    """
    alike: dict[Hashable, list[Flat]] = {}
    for arm, digits in zip(arms, fingerprints, strict=True):
        alike.setdefault(digits, []).append(arm)
    if len(arms) > 1 and len(alike) == 1 and None not in alike:
        raise UserError(refusal(arms))
    groups = [group for digits, group in alike.items() if digits is not None and len(group) > 1]
    found: dict[tuple[str, ...], list[Sequence[Flat]]] = {}
    for group in groups:
        found.setdefault(tuple(keys_apart(group)), []).append(group)
    return [line(keys, members, arms) for keys, members in found.items()]


def keys_apart(arms: Sequence[Flat]) -> list[str]:
    """The keys that differ between `arms`; between folders of one content, where they lie."""
    return differing_keys(arms) or ["data.root"]


def refusal(arms: Sequence[Flat]) -> str:
    """Why a sweep of nothing but one arm is not worth its time."""
    keys = keys_apart(arms)
    who = "both arms are" if len(arms) == 2 else f"all {len(arms)} arms are"
    return (
        f"{' and '.join(keys)} {'has' if len(keys) == 1 else 'have'} no effect here: {who} built alike"
        f"{why_idle(keys, arms)}; sweep a key that changes something"
    )


def line(keys: Sequence[str], groups: Sequence[Sequence[Flat]], arms: Sequence[Flat]) -> str:
    """`model.norm has no effect where model.block=conv-act-pool: 2 arms are built alike (...)`.

    Args:
        keys: what the arms of each group differ in.
        groups: arms that are the same, a group each.
        arms: all of the sweep.
    """
    rest = [key for key in differing_keys(arms) if key not in keys]
    places = {values_of(group[0], rest) for group in groups}
    there = [arm for arm in arms if values_of(arm, rest) in places]
    members = [arm for group in groups for arm in group]
    built = f"only {len(groups)} of {len(members)} arms are built differently"
    built = f"{len(members)} arms are built alike" if len(groups) == 1 else built
    built += why_idle(keys, members)
    if len(there) == len(members):  # whatever the values
        verb = "has" if len(keys) == 1 else "have"
        return f"{' and '.join(keys)} {verb} no effect {where(rest, there, arms)}: {built}"
    values = " and ".join(label_full({key: arm[key] for key in keys}) for arm in groups[0][:MOST_NAMED])
    return f"{values} do not differ {where(rest, there, arms)}: {built}"


def where(rest: Sequence[str], there: Sequence[Flat], arms: Sequence[Flat]) -> str:
    """`here`, or the first key whose values set `there` apart from the other `arms`: `where model.block=conv-act`."""
    others = [arm for arm in arms if arm not in there]
    if not others:
        return "here"
    for key in rest:
        own = {values_of(arm, [key]) for arm in there}
        if own.isdisjoint(values_of(arm, [key]) for arm in others):
            values = list(dict.fromkeys(show(arm[key]) for arm in there))
            return f"where {key}={' or '.join(values[:MOST_NAMED])}{' ...' if len(values) > MOST_NAMED else ''}"
    return f"at {label_full({key: there[0][key] for key in rest})}{' and elsewhere' if len(there) > 1 else ''}"


WORDS = {f"model.{word}": word for word in ("act", "norm", "pool", "drop")} | {"model.drop_rate": "drop"}
"""The word of a block that a key belongs to."""


def why_idle(keys: Sequence[str], arms: Sequence[Flat]) -> str:
    """Why `keys` do nothing in `arms`, in brackets, as far as it can be told in a few words; else nothing."""
    found = [reason(key, arm) for key in keys for arm in arms]
    told = [text for text in dict.fromkeys(found) if text]
    return f" ({'; '.join(told)})" if 0 < len(told) <= MOST_NAMED else ""


def reason(key: str, arm: Flat) -> str:
    """Why `key` does nothing in `arm`; empty where it takes more than a few words."""
    group, name, block = key.partition(".")[0], arm["model.name"], str(arm["model.block"])
    if group == "model" and name != "recipe" and key != "model.name":
        return f"model.name={name} does not read it"
    if key in WORDS and WORDS[key] not in block.split("-"):
        return f"the block {block} has no '{WORDS[key]}'"
    owner = f"{group}.name"
    return f"{owner}={arm[owner]} does not read it" if group in ("optimizer", "schedule") and key != owner else ""
