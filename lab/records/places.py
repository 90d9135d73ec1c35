"""Where runs live: `<out>/<name>/<arm>/seed=<n>`, the same configuration always in the same place."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.errors import DamagedFileError, InTheWayError, UserError
from lab.identity import ARM, arm_hash, flatten
from lab.records.code import changes, own_code
from lab.records.defaults import other_defaults
from lab.records.lock import Held, locked
from lab.records.registration import FILE
from lab.records.results import TRIALS, read_result
from lab.records.tuning import is_trial

TERMINAL = ("finished", "diverged")
"""The statuses of a run that has come to its end: a second start leaves it alone."""


ARMS_LOCK = ".arms.lock"
"""Lock of an experiment's folder that is held while folders of arms are made, so that none gets two."""


@dataclass(frozen=True)
class Job:
    """One run to do: its configuration, its folder, and the overrides that the user typed for it."""

    config: RunConfig
    folder: Path
    arm: dict[str, Any]
    """The keys that were swept, or typed, with their values."""
    overrides: list[str]
    command: str
    place: int = 0
    """The arm's place in its sweep, from 0: comparisons keep the order in which the arms were typed."""
    names: tuple[str, ...] = ()
    """Every name of the arm in `study.arms`: of several that mean one configuration the run is trained once."""
    whole: tuple["Job", ...] = ()
    """A run of each arm that the experiment's file asks for by itself, where the command may leave some of them out; at
    the first job of the command alone."""

    def views(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(flat configuration, keys that were typed) as each of its names has them; one where it has no name."""
        flat = flatten(self.config)
        return [({**flat, ARM: name}, {**self.arm, ARM: name}) for name in self.names] or [(flat, self.arm)]

    def is_terminal(self) -> bool:
        """Whether the run has a terminal status, and is not to be started over.

        Raises:
            DamagedFileError: its folder holds a run of another seed, a copy.
        """
        result = None if self.config.force else read_result(self.folder)
        if result is not None and result["seed"] != self.config.seed:
            what = f"holds a run of seed={result['seed']}, which is no result of seed={self.config.seed}"
            raise DamagedFileError(f"{self.folder} {what}; move it away, or give force=true to replace it")
        return result is not None and result.get("status") in TERMINAL

    def changed_code(self) -> list[str]:
        """The user's modules that were other code when this run ended; none where it has not."""
        result = read_result(self.folder) if self.is_terminal() else None
        return changes(own_code(flatten(self.config)), result.get("code") or {}) if result else []

    @property
    def group(self) -> str:
        """The row of TensorBoard's HParams tab of the run: its arm's, or that of the arm's tuning trials."""
        digits = arm_hash(self.config)
        return f"{TRIALS}-{digits}" if is_trial(self.config.name) else digits

    def record(self) -> dict[str, Any]:
        """The content of `result.json` before the first step; the status is `failed` until the run has another."""
        return {
            "status": "failed",
            "arm": self.arm,
            "arm_id": arm_hash(self.config),
            "seed": self.config.seed,
            "overrides": self.overrides,
            "command": self.command,
            "place": self.place,
            "config": flatten(self.config),
            "registered": (self.folder.parent.parent / FILE).exists(),
            **({"code": code} if (code := own_code(flatten(self.config))) else {}),
        }


def short_name(key: str) -> str:
    """The last part of a dotted key, or the group's name where that part is `name`: `init`, `optimizer`."""
    parts = key.split(".")
    return parts[-2] if parts[-1] == "name" and len(parts) > 1 else parts[-1]


def arm_label(arm: dict[str, Any]) -> str:
    """`init=he_normal,depth=30`, `before,depth=30`: readable, and a legal part of a path on every system."""
    shown = {key: _plain(value) for key, value in arm.items() if key != "start.source"}  # long: the hash tells
    words = [text if key == ARM else f"{short_name(key)}={text}" for key, text in shown.items()]
    return ",".join(words)[:120] or "default"


def _plain(value: Any) -> str:
    text = "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("_")


def arm_folders(experiment: Path) -> dict[str, Path]:
    """The folders of arms in `experiment`, by the hash that ends their names."""
    if not experiment.is_dir():
        return {}
    return {
        entry.name[-8:]: entry
        for entry in experiment.iterdir()
        if entry.is_dir() and re.search(r"-[0-9a-f]{8}$", entry.name)
    }


def arm_folder(config: RunConfig, arm: dict[str, Any], known: dict[str, Path] | None = None) -> Path:
    """The folder of an arm, under whatever label it was first made, else a new one labelled by `arm`.

    The hash tells what differs from the defaults, so a folder may hold runs from when a default was another: they stay,
    and the arm gets a folder that bears the new value.

    Args:
        config: the configuration of one of its runs.
        arm: the keys that tell this arm from its neighbours, for a new folder's label.
        known: result of `arm_folders`, where many arms are looked up at once.
    """
    experiment = Path(config.out) / config.name
    digits = arm_hash(config)
    known = arm_folders(experiment) if known is None else known
    if digits not in known:
        return experiment / f"{arm_label(arm)}-{digits}"
    values: dict[str, Any] = {}
    for folder in sorted(experiment.glob(f"*-{digits}")):
        if not (differing := other_defaults(config, folder)):
            return folder
        values |= {key: now for key, (_, now) in differing.items()}
    return experiment / f"{arm_label({**arm, **values})}-{digits}"


def run_folder(config: RunConfig, arm: dict[str, Any], known: dict[str, Path] | None = None) -> Path:
    """The folder of a run, in its arm's (`arm_folder`)."""
    return arm_folder(config, arm, known) / f"seed={config.seed}"


def by_arm(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """`jobs` by the hash of their arm, which is worked out once for each arm's folder."""
    hashes: dict[Path, str] = {}
    found: dict[str, list[Job]] = {}
    for job in jobs:
        home = job.folder.parent
        if home not in hashes:
            hashes[home] = arm_hash(job.config)
        found.setdefault(hashes[home], []).append(job)
    return found


def settled(job: Job) -> Job:
    """`job` in its arm's folder as it lies now: another command may have made one, under another label, meanwhile."""
    if job.folder.parent.is_dir():
        return job
    return replace(job, folder=run_folder(job.config, job.arm))


def inside(root: Path, *names: str) -> Path:
    """`root`/`names`..., a folder that the lab may fill and empty.

    Raises:
        UserError: a part of it leads elsewhere; `InTheWayError` if it is a link.
    """
    path = root
    for name in names:
        path = path / name
        if name in ("", ".", "..") or Path(name).name != name:
            raise UserError(f"{path} is not a folder within {root}")
        if path.is_symlink():
            raise InTheWayError(f"{path} is a link, which the lab does not write through; remove it")
    return path


@contextmanager
def claimed(job: Job) -> Iterator[tuple[Job, Held]]:
    """Makes the folder of `job` and locks it; yields the job with its final folder, and the lock.

    Raises:
        LockedError: another process holds the lock.
        InTheWayError: a folder is a link.
        OSError: the folder cannot be written.
    """
    inside(job.folder.parent.parent, job.folder.parent.name, job.folder.name)
    if not job.folder.parent.is_dir():
        root = job.folder.parent.parent
        root.mkdir(parents=True, exist_ok=True)
        with locked(root, ARMS_LOCK, wait=True):  # so that no arm gets two folders
            job = settled(job)
            job.folder.parent.mkdir(exist_ok=True)
    job.folder.mkdir(exist_ok=True)
    with locked(job.folder) as held:
        yield job, held
