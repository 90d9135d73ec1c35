"""What lies under a folder of outputs: experiments and runs with their states, read without touching anything."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError, UserError
from lab.records.defaults import stored_config
from lab.records.lock import Holder, holder_of
from lab.records.read import parse_json, read_bytes
from lab.records.registration import read_registration, run_folders
from lab.records.results import TRIALS, Run, natural, read_metrics, read_run

STATES = ("running", "finished", "diverged", "failed", "interrupted", "unfinished")
"""What a run can be: as its result says, or `running` if a process holds its lock; `unfinished` without a result."""

DEEPEST = 6
"""Folders below the given one in which experiments are searched."""


@dataclass(frozen=True)
class Entry:
    """The folder of one run, begun or ended."""

    path: Path
    seed: int

    @property
    def arm(self) -> str:
        """The folder of its arm without the hash: `act=relu,norm=batch`."""
        return self.path.parent.name[:-9]

    @cached_property
    def run(self) -> Run | None:
        """Its result, if there is one."""
        return read_run(self.path)

    @cached_property
    def holder(self) -> Holder | None:
        """The process that trains it."""
        return holder_of(self.path)

    @property
    def state(self) -> str:
        """One of `STATES`."""
        if self.holder is not None:
            return "running"
        return self.run.status if self.run else "unfinished"

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its configuration, flat; empty if it cannot be read."""
        return self.run.config if self.run else stored_config(self.path)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The logged points."""
        return read_metrics(self.path)

    def value(self, metric: str) -> float | None:
        """The last value of `metric`, a tag as `val/accuracy`."""
        if self.run and self.holder is None:
            return self.run.result.get("metrics", {}).get(metric, {}).get("last")
        return next((row[metric] for row in reversed(self.rows) if metric in row), None)

    @property
    def date(self) -> datetime:
        """When it ended, or was last written to (UTC)."""
        ended = str((self.run.result if self.run else {}).get("finished_at") or "")
        if self.holder is None and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ended):
            return datetime.strptime(ended, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return last_change(self.path)

    @cached_property
    def size(self) -> int:
        """Bytes of its files."""
        return size_of(self.path)


@dataclass(frozen=True)
class Experiment:
    """The folder of an experiment, of single runs too."""

    path: Path
    entries: tuple[Entry, ...]

    @property
    def states(self) -> dict[str, int]:
        """How many runs are in each state, in the order of `STATES`."""
        found = Counter(entry.state for entry in self.entries)
        return {state: found[state] for state in STATES if found[state]}

    @property
    def num_arms(self) -> int:
        """Arms with runs."""
        return len({entry.path.parent for entry in self.entries})

    @property
    def date(self) -> datetime:
        """That of its last run (UTC)."""
        return max(entry.date for entry in self.entries)

    @cached_property
    def size(self) -> int:
        """Bytes of all in its folder."""
        return size_of(self.path)

    @cached_property
    def claims(self) -> list[dict[str, Any]]:
        """Its claims as they were last judged."""
        return read_claims(self.path)

    @property
    def verdicts(self) -> dict[str, int]:
        """How many of its claims got each verdict."""
        return dict(Counter(claim["verdict"] for claim in self.claims))

    @cached_property
    def question(self) -> str:
        """What it asks, if it is registered."""
        try:
            registration = read_registration(self.path)
        except DamagedFileError:
            return ""
        study = registration.current() if registration else None
        return str((study or {}).get("question") or "")


def read_claims(folder: Path) -> list[dict[str, Any]]:
    """The claims in `verdict.json` of an experiment, each with `say`, `verdict` and `n`, seeds; none without it."""
    try:
        claims = parse_json(read_bytes(folder / "verdict.json"))["claims"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    kinds = {"say": str, "verdict": str, "n": int}
    whole = isinstance(claims, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(key), kind) for key, kind in kinds.items()) for one in claims
    )
    return claims if whole else []


def experiments(folder: Path) -> list[Experiment]:
    """The experiments in `folder` and below, `folder` itself included, by path; no tuning trials of others.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; 'lab train' writes its runs under outputs/<name>")
    return sorted(search(folder, DEEPEST), key=lambda one: natural(one.path))


def search(folder: Path, depth: int) -> Iterator[Experiment]:
    """`experiments`, unsorted; links are not followed."""
    runs = [Entry(path, seed) for _, seed, path in run_folders(folder)]
    if runs:
        yield Experiment(folder, tuple(sorted(runs, key=lambda one: natural(one.path))))
    for entry in subfolders(folder) if depth else ():
        if entry.name != TRIALS and not (runs and re.search(r"-[0-9a-f]{8}$", entry.name)):
            yield from search(folder / entry.name, depth - 1)


def subfolders(folder: Path) -> list[os.DirEntry[str]]:
    """The folders in `folder` that may be read and are no links."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def entry_at(path: Path) -> Entry | None:
    """The run whose folder `path` is, if it is one's."""
    path = path.absolute()
    return next((one for one in arm_at(path.parent) if one.path == path), None)


def arm_at(path: Path) -> list[Entry]:
    """The runs of the arm whose folder `path` is; none if it is no arm's."""
    path = path.absolute()
    found = [Entry(folder, seed) for _, seed, folder in run_folders(path.parent) if folder.parent == path]
    return sorted(found, key=lambda one: natural(one.path))


def size_of(folder: Path) -> int:
    """Bytes of the files in `folder` and below, links not followed; what goes away meanwhile counts nothing."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                status = os.lstat(os.path.join(root, name))
            except OSError:
                continue
            total += status.st_size * stat.S_ISREG(status.st_mode)
    return total


def last_change(folder: Path) -> datetime:
    """When a file of `folder` was last written to (UTC)."""
    try:
        times = [os.lstat(path).st_mtime for path in [folder, *folder.iterdir()]]
    except OSError:
        times = [0.0]
    return datetime.fromtimestamp(max(times), UTC)
