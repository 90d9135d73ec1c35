"""Runs that do not fit the others of a comparison: which they are, and what to type to leave them out."""

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lab.records.results import Run
from lab.studies.select.arms import complete, differing_keys, values_of
from lab.studies.select.selectors import canonical

MOST_FOLDERS = 4
"""Folders that a command in a message names."""

MOST_VALUES = 3
"""Values of a key that a message names."""


def misfit_text(fitting: Sequence[Run], others: Sequence[Run], problem: str) -> str:
    """The `problem` of the first of `others`, and commands that compare without them, or them alone.

    Args:
        fitting: the runs that can be compared.
        others: those that cannot; one at least.
        problem: what is wrong with the first of them.
    """
    number = "" if len(others) == 1 else f", nor did {len(others) - 1} more of {len(fitting) + len(others)} runs"
    if not fitting:
        return f"{problem}{number}; compare by another metric (--metric)"
    key = telling_key(fitting, others)
    roots = shlex.join(dict.fromkeys(str(run.path.parent.parent) for run in [*fitting, *others]))
    if key:
        without, alone = (" or ".join(f"--where {one}" for one in choices(key, side)) for side in (fitting, others))
        return f"{problem}{number}; lab compare {roots} {without} leaves out what differs, and {alone} compares that"
    arms = list(dict.fromkeys(str(run.path.parent) for run in fitting))
    if set(arms) & {str(run.path.parent) for run in others}:
        arms = [str(run.path) for run in fitting]
    shown = f"{shlex.join(arms[:MOST_FOLDERS])}{' ...' if len(arms) > MOST_FOLDERS else ''}"
    return f"{problem}{number}; lab compare {shown} leaves out what differs, and --metric compares by another metric"


def telling_key(fitting: Sequence[Run], others: Sequence[Run]) -> str:
    """A key in which all of `fitting` differ from all of `others`, best one that picks either whole; empty if none."""
    sides = [[complete(run.config) for run in side] for side in (fitting, others)]
    found: list[tuple[int, bool, str]] = []
    for key in differing_keys([*sides[0], *sides[1]]):
        left, right = ({values_of(config, [key]) for config in side} for side in sides)
        if not left & right:
            found.append((len(left) + len(right), not key.startswith("data."), key))
    return min(found, default=(0, False, ""))[2]


def choices(key: str, runs: Sequence[Run]) -> list[str]:
    """`key=value` as `--where` takes it, quoted for a shell, for the commonest values of `key`, that of most runs
    first."""
    there = Counter(canonical(complete(run.config)[key]) for run in runs)
    values = {canonical(value := complete(run.config)[key]): value for run in runs}
    return [shlex.quote(f"{key}={typed(values[one])}") for one, _ in there.most_common(MOST_VALUES)]


def typed(value: Any) -> str:
    """A value as it is typed: `[16,32]`, `null`, `true`."""
    return canonical(value) if isinstance(value, list | bool) or value is None else str(value)
