"""What was submitted to a cluster: in `_tasks/` of an experiment's folder a small file for each batch of tasks.

A batch is written before its scheduler is asked, and its tasks are found again by its name. So whoever comes later
knows of them, also if the command that submitted them was killed in between.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.records.read import damaged, read_json
from lab.records.write import remove_file, write_json

TASKS = "_tasks"
"""Folder, within that of an experiment, of its batches and of what their tasks print."""

LOCK = ".tasks.lock"
"""Lock of an experiment's folder that is held while a batch is submitted."""

REMEDY = "remove it; tasks that it names may then be submitted again"

Given = dict[str, Any]
"""A run as a task is given it: its `folder` within the experiment's, and what `result.json` repeats of the command."""


@dataclass(frozen=True)
class Batch:
    """Tasks that were submitted together."""

    name: str
    """What its scheduler finds its tasks by; unique."""

    scheduler: str
    """`slurm` or `ray`."""

    address: str
    """Of the Ray cluster."""

    at: str
    """UTC, as `2026-11-25T10:59:07Z`."""

    command: str
    """What the user typed."""

    cpus: int
    """Cores of each task."""

    tasks: tuple[tuple[Given, ...], ...]
    """The runs of each task."""

    job: str = ""
    """What the scheduler calls it; empty until that has answered."""

    cancelled: bool = False
    """Whether it was cancelled by `lab cancel`: nobody submits its runs again, but for a new command."""

    def runs(self) -> Iterator[tuple[int, str]]:
        """(number of its task, folder) of each run."""
        return ((number, run["folder"]) for number, task in enumerate(self.tasks) for run in task)


def file_of(root: Path, name: str) -> Path:
    """Where the batch `name` of the experiment in `root` is kept."""
    return root / TASKS / f"{name}.json"


def log_of(root: Path, name: str, number: int | str) -> Path:
    """Where task `number` of a batch prints to."""
    return root / TASKS / f"{name}-{number}.log"


def write_batch(root: Path, batch: Batch) -> None:
    """Keeps `batch` in the experiment's folder `root`; atomically."""
    (root / TASKS).mkdir(exist_ok=True)
    write_json(file_of(root, batch.name), asdict(batch))


def read_batch(root: Path, name: str) -> Batch:
    """The batch `name`.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: its file cannot be read.
    """
    path = file_of(root, name)
    found = read_json(path, REMEDY)
    try:
        batch = Batch(**{**found, "tasks": tuple(map(tuple, found["tasks"]))})
        if batch.name != name or not all(is_inside(folder) for _, folder in batch.runs()):
            raise ValueError("it names what is not its own")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise damaged(path, error, REMEDY) from error
    return batch


def is_inside(folder: Any) -> bool:
    """Whether `folder` is that of a run, `<arm>/seed=<n>`."""
    return re.fullmatch(r"[^/\\]+-[0-9a-f]{8}/seed=\d+", folder) is not None and not folder.startswith(".")


def read_batches(root: Path) -> list[Batch]:
    """The batches of the experiment in `root`, oldest first; damaged files are left out."""
    found = []
    for path in sorted((root / TASKS).glob("*.json")):
        try:
            found.append(read_batch(root, path.stem))
        except (FileNotFoundError, DamagedFileError):
            continue
    return sorted(found, key=lambda batch: batch.at)


def forget_batch(root: Path, batch: Batch, done: Sequence[int]) -> None:
    """Removes the file of `batch`, and what its tasks `done` printed: the others' is kept, for whoever asks why."""
    for number in done:
        remove_file(log_of(root, batch.name, number))
    remove_file(file_of(root, batch.name))
    if not any((root / TASKS).iterdir()):
        (root / TASKS).rmdir()
