"""Removes and archives runs: only what the lab has written, and nothing that a process is at work on."""

import os
import re
import tarfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lab.errors import UserError
from lab.records import checked, design, interim, registration, tuning
from lab.records.batches import TASKS
from lab.records.ledger import EVENTS, HOMES, LEDGER, read_ledger
from lab.records.lock import LockedError, locked
from lab.records.predictions import TABLE, is_table
from lab.records.results import TRIALS
from lab.records.shelf import Entry, Experiment
from lab.records.write import SCRATCH, remove_file

OF_RUN = re.compile(
    r"config\.yaml|metrics\.jsonl|result\.json|predictions\.npz|checkpoint(\.prev)?\.pt(\.damaged)?|best\.pt|export\..+"
    rf"|{re.escape(EVENTS)}.+|\..+{re.escape(SCRATCH)}"
)
"""The names of files that the lab writes into the folder of a run."""

OF_TASKS = re.compile(rf".+-[0-9a-f]{{8}}(\.json|-\d+\.log)|\..+{re.escape(SCRATCH)}")
"""And into that of its batches."""

OF_EXPERIMENT = (registration.FILE, checked.FILE, tuning.FILE, design.FILE, interim.FILE, LEDGER)
"""And into that of an experiment, besides those that its ledger names."""


def check_free(entries: Iterable[Entry]) -> None:
    """Raises `LockedError` if a process trains one of `entries`."""
    for entry in entries:
        if entry.holder:
            who = f"pid {entry.holder.pid}, host {entry.holder.host}"
            raise LockedError(f"{entry.path} is being trained by another process ({who}); nothing was removed")


def remove(entries: Sequence[Entry], whole: Sequence[Experiment] = ()) -> list[Path]:
    """Removes the runs `entries`, and what the lab wrote about the experiments `whole`, whose runs they have.

    Returns:
        What the lab has not written: it stays, and the folders that hold it.

    Raises:
        LockedError: a process trains one of them; nothing is removed then, unless it began meanwhile.
        OSError: a file is not removed, as the disk refuses.
    """
    check_free(entries)
    for entry in entries:
        with locked(entry.path):
            empty(entry.path, OF_RUN.fullmatch)
            if is_table(entry.path / TABLE):
                remove_file(entry.path / TABLE)
    for folder in [*(entry.path for entry in entries), *{entry.path.parent for entry in entries}]:
        remove_empty(folder)
    for experiment in whole:
        for home in HOMES:
            if not (experiment.path / home).is_symlink():
                clear_events(experiment.path / home)
        if (tasks := experiment.path / TASKS).is_dir() and not tasks.is_symlink():
            empty(tasks, OF_TASKS.fullmatch)
            remove_empty(tasks)
        with locked(experiment.path, ".report.lock", wait=True):
            names = {*OF_EXPERIMENT, *(read_ledger(experiment.path) or ())}
            empty(experiment.path, lambda name, own=names: name in own or name.endswith(SCRATCH))
        remove_empty(experiment.path)
        if experiment.path.parent.name == TRIALS:
            remove_empty(experiment.path.parent)
    places = [*(entry.path for entry in entries), *(experiment.path for experiment in whole)]
    return [path for place in places if place.is_dir() for path in sorted(place.iterdir())]


def empty(folder: Path, is_own: Callable[[str], object]) -> None:
    """Removes the files of `folder` whose names are the lab's; of a link, the link."""
    for path in list(folder.iterdir()):
        if is_own(path.name) and (path.is_symlink() or path.is_file()):
            remove_file(path)


def clear_events(folder: Path) -> None:
    """Removes the event files in `folder` and below, and the folders that are empty then."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            if name.startswith(EVENTS):
                remove_file(Path(root) / name)
        remove_empty(Path(root))


def remove_empty(folder: Path) -> None:
    """Removes `folder` if nothing is in it."""
    with suppress(OSError):
        folder.rmdir()


def archive(experiment: Experiment, file: Path) -> Path:
    """Packs the folder of `experiment` into `file`, a new .tar.gz, and reads it again to see that it is whole.

    Raises:
        LockedError: a process trains one of its runs.
        UserError: `file` is there already.
        OSError: it cannot be written; nothing is left of it.
    """
    check_free(experiment.entries)
    if os.path.lexists(file):
        raise UserError(f"{file} is there already; give another name with --to")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as stream:
        try:
            with tarfile.open(fileobj=stream, mode="w:gz") as packed:
                packed.add(experiment.path, experiment.path.name)
            stream.flush()
            os.fsync(stream.fileno())
            check_archive(file, experiment.path)
        except BaseException:
            file.unlink()
            raise
    return file


def check_archive(file: Path, folder: Path) -> None:
    """Raises `OSError` unless `file` holds all files of `folder` with their content."""
    with tarfile.open(file) as packed:
        for path in sorted(folder.rglob("*")):
            name = str(Path(folder.name) / path.relative_to(folder))
            if path.is_symlink() or not path.is_file():
                continue
            stored = packed.extractfile(name)
            if stored is None or stored.read() != path.read_bytes():
                raise OSError(f"{file} does not hold {path} as it is; the folder may have changed meanwhile")
