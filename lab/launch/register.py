"""Writes `study.json`: before the first run what is asked and claimed, and what each later command adds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.identity import identity
from lab.records.lock import locked
from lab.records.places import Job, arm_label, by_arm
from lab.records.registration import (
    STUDY,
    Registration,
    as_stored,
    new_entry,
    read_registration,
    run_folders,
    scored_runs,
    with_names,
    with_runs,
    write_registration,
)
from lab.records.results import Run, read_run
from lab.studies.claims.study import stored_study

LOCK = ".study.lock"


def register(jobs: Sequence[Job], root: Path) -> None:
    """Adds to `study.json` in `root` what the command of `jobs` asks for and no command before it did.

    Earlier entries stay as they are. Of runs that are older than the record, the newest says what they were for.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    root.mkdir(parents=True, exist_ok=True)
    with locked(root, LOCK, wait=True):
        before, scored = read_registration(root), scored_runs(root)
        known = Registration() if before is None else before
        study = jobs[0].config.study
        asked = as_stored({key: getattr(study, key) for key in STUDY})
        if before is None and scored:
            older = [run for _, _, path in run_folders(root) if (run := read_run(path))]
            known = Registration(older_entries(older, scored))
        says = bool(study.claims or study.tune) or not known.entries
        news = asked if says and asked != known.current() else None
        arms = {digits: members[-1] for digits, members in by_arm(jobs).items()}
        new_arms = [arm_entry(digits, job) for digits, job in arms.items() if digits not in known.arms]
        new_seeds = sorted({job.config.seed for job in jobs} - known.seeds)
        if news is not None or new_arms or new_seeds:
            known = replace(known, entries=(*known.entries, new_entry(news, new_arms, new_seeds, scored)))
        names = {digits: job.names for digits, job in arms.items()}
        after = with_names(with_runs(known, scored), study.arms or {}, names)
        if after != before:
            write_registration(root, after)


def older_entries(runs: Sequence[Run], scored: dict[str, list[int]]) -> tuple:
    """The entry that runs from before the record make; none where they know of a record, which is gone then."""
    if not runs or any(run.result.get("registered") for run in runs):
        return ()
    entry = new_entry(stored_study(runs), [], [], {})
    return (replace(entry, older_runs=sum(map(len, scored.values()))),)


def arm_entry(digits: str, job: Job) -> dict[str, object]:
    """An arm as `study.json` has it."""
    return {
        "label": arm_label(job.arm),
        "arm_id": digits,
        "keys": job.arm,
        "config": identity(job.config),
    }


def remember_runs(root: Path) -> None:
    """Notes in `study.json` which runs have scores by now: they are missed if they are gone one day."""
    with locked(root, LOCK, wait=True):
        if (before := read_registration(root)) and (after := with_runs(before, scored_runs(root))) != before:
            write_registration(root, after)
