"""Runs under every name that their arm has in `study.arms`: two names of one configuration share its runs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lab.identity import ARM
from lab.records.registration import read_registration
from lab.records.results import Run


def in_all_names(runs: Iterable[Run]) -> list[Run]:
    """`runs`, each once for every name that the last command gave its arm (`study.json`).

    A run whose experiment has names, but none for it, has none, whatever it was called when it was trained.
    """
    known: dict[Path, Mapping[str, list[str]]] = {}
    found: list[Run] = []
    for run in runs:
        if run.is_named:
            found.append(run)
            continue
        root = run.path.parent.parent
        if root not in known:
            registration = read_registration(root)
            known[root] = registration.names if registration else {}
        if not known[root]:
            found.append(run)
            continue
        for name in known[root].get(run.arm_id) or [""]:
            arm = {key: value for key, value in run.arm.items() if key != ARM}
            named = {ARM: name, **arm} if name else arm
            found.append(replace(run, config={**run.config, ARM: name}, arm=named, is_named=True))
    return found
