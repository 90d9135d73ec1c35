"""What changed since runs were made, defaults of the lab or code of the user's: a line each, before the first run."""

from collections.abc import Iterable

from lab.identity import arm_hash
from lab.records.defaults import other_defaults
from lab.records.places import Job
from lab.studies.statistics.numerals import count


def change_notes(jobs: list[Job]) -> list[str]:
    """All lines about `jobs`."""
    return [f"note: {line}" for line in [*replaced_defaults(jobs), *code_notes(jobs), *without_best(jobs)]]


def replaced_defaults(jobs: Iterable[Job]) -> list[str]:
    """A line for each folder whose runs have the hash of one of `jobs`, and were made when a default was another."""
    lines: list[str] = []
    for folder, job in {job.folder.parent: job for job in jobs}.items():
        for other in sorted(folder.parent.glob(f"*-{arm_hash(job.config)}")):
            if other != folder and (found := other_defaults(job.config, other)):
                what = ", ".join(f"{key}={then} (now {now})" for key, (then, now) in found.items())
                lines.append(
                    f"{other} was made with other defaults, {what}; it stays, and {folder.name} is trained anew"
                )
    return lines


def code_notes(jobs: Iterable[Job]) -> list[str]:
    """A line for each module of the user's that is other code now than when runs of `jobs` ended."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        for module in job.changed_code():
            found.setdefault(module, []).append(f"{job.folder.parent.name}/{job.folder.name}")
    return [
        f"the code of {module} changed since {count(len(names), 'run')} ended "
        f"({names[0]}{', ...' if len(names) > 1 else ''}); train again with force=true, or under another name"
        for module, names in found.items()
    ]


def without_best(jobs: Iterable[Job]) -> list[str]:
    """A line if runs of `jobs` have ended that were to keep their best weights and did not."""
    asked = [job for job in jobs if job.config.train.keep_best and job.is_terminal()]
    found = [f"{job.folder.parent.name}/{job.folder.name}" for job in asked if not (job.folder / "best.pt").exists()]
    if not found:
        return []
    return [
        f"train.keep_best=true: {count(len(found), 'run')} ended without keeping the best weights ({found[0]}"
        f"{', ...' if len(found) > 1 else ''}); force=true trains again"
    ]
