"""Finished runs beside one that are the same but for their length, from which it may go on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.config import ScheduleConfig
from lab.identity import arm_hash, default_leaves, flatten
from lab.records.places import Job, arm_folders
from lab.records.results import read_result

LENGTH = ("train.epochs", "train.steps")
"""The keys that give a run its length."""

MOST_STEPS = 10**12
"""More than any run has."""

_hashes: dict[Path, str] = {}
"""Of arms that were met: every seed of one has one configuration."""


def hash_but_length(config: Mapping[str, Any]) -> str:
    """`arm_hash` of a flat configuration, the same for all lengths."""
    return arm_hash({**config, **{key: default_leaves()[key] for key in LENGTH}})


FLAT = ("constant", "plateau")
"""Schedules whose rate, but for a warm-up, does not depend on how long the run is."""


def is_flat(schedule: ScheduleConfig) -> bool:
    """Whether the learning rate of a step is known to be the same however long the run is."""
    return schedule.name in FLAT and not schedule.warmup_frac


def share_done_by(job: Job) -> tuple[float, dict[str, Any]] | None:
    """The longest finished run that differs from `job` in length alone and is shorter: its share of the steps of `job`,
    by the keys that give both their length, and its result. None where there is none, or the share is not known."""
    train = job.config.train
    for _, result in shorter_runs(job, MOST_STEPS):
        config = result["config"]
        if train.steps is not None:
            done, whole = result["steps"], train.steps
        elif config["train.steps"] is None:
            done, whole = config["train.epochs"], train.epochs
        else:
            continue
        if 0 < done < whole:
            return done / whole, result
    return None


def shorter_runs(job: Job, steps: int) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and result of each finished run of fewer than `steps` that differs from `job` in length alone.

    They lie in the same experiment, and have the same seed; the longest comes first.
    """
    wanted, found = hash_but_length(flatten(job.config)), list[tuple[Path, dict[str, Any]]]()
    for arm in arm_folders(job.folder.parent.parent).values():
        folder = arm / f"seed={job.config.seed}"
        if arm == job.folder.parent or _hashes.get(arm, wanted) != wanted or not folder.is_dir():
            continue
        result = read_result(folder)
        if result is None:
            continue
        _hashes[arm] = hash_but_length(result["config"])
        same = _hashes[arm] == wanted and result["seed"] == job.config.seed and result["status"] == "finished"
        if same and 0 < (result.get("steps") or 0) < steps:
            found.append((folder, result))
    return sorted(found, key=lambda one: one[1]["steps"], reverse=True)
