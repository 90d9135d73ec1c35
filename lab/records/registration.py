"""`study.json` of an experiment: what was asked and claimed before the first run, and what later commands added."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.records.environment import working_copy
from lab.records.read import damaged, read_bytes, read_json
from lab.records.results import read_result
from lab.records.write import finite, write_json

FILE = "study.json"

REMEDY = "restore it from a copy: it says what was claimed before the runs"

STUDY = ("question", "source", "metric", "trained", "claims", "reference", "tune")
"""What an entry keeps of a study, as it was written."""

Seeds = dict[str, list[int]]
"""Seeds of runs by the hash of their arm."""


@dataclass(frozen=True)
class Entry:
    """What one command added."""

    at: str
    """UTC, as `2026-11-25T10:59:07Z`."""

    origin: dict[str, Any]
    """Git commit of the working directory, whether it had changes, version of the lab."""

    study: dict[str, Any] | None
    """The keys of `STUDY`; None where the command left the study as it was."""

    arms: list[dict[str, Any]]
    """New arms: `label`, `arm_id`, `keys` (swept, with values) and `config` (what differs from the defaults)."""

    seeds: list[int]
    """New seeds."""

    seen: Seeds
    """Runs that had scores when the study was written."""

    older_runs: int = 0
    """Runs that were here before there was a record; the study is then that of the newest of them."""


@dataclass(frozen=True)
class Registration:
    """What `study.json` holds."""

    entries: tuple[Entry, ...] = ()

    runs: Seeds | None = None
    """All runs that ever had scores when a command began or ended."""

    named: dict[str, Any] = field(default_factory=dict)
    """`arms`, the `study.arms` of the last command that named any, and `names`: of each arm, by its hash."""

    @property
    def names(self) -> dict[str, list[str]]:
        """The names of arms by their hash."""
        return self.named.get("names", {})

    @property
    def studies(self) -> list[Entry]:
        """The entries that say what is asked and claimed."""
        return [entry for entry in self.entries if entry.study is not None]

    @property
    def arms(self) -> dict[str, dict[str, Any]]:
        """All arms by their hash."""
        return {arm["arm_id"]: arm for entry in self.entries for arm in entry.arms}

    @property
    def seeds(self) -> set[int]:
        """All seeds that were asked for."""
        return {seed for entry in self.entries for seed in entry.seeds}

    def current(self) -> dict[str, Any] | None:
        """The study that counts: the last that claims something, else the last."""
        studies = [entry.study for entry in self.entries if entry.study is not None]
        return next((one for one in reversed(studies) if one["claims"]), studies[-1] if studies else None)


def new_entry(study: Mapping[str, Any] | None, arms: list[dict[str, Any]], seeds: list[int], seen: Seeds) -> Entry:
    """An entry of this moment, made in the working directory."""
    kept = None if study is None else as_stored({key: study.get(key) for key in STUDY})
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Entry(at, working_copy(), kept, as_stored(arms), seeds, seen if study is not None else {})


def as_stored(value: Any) -> Any:
    """`value` as JSON gives it back."""
    return json.loads(json.dumps(finite(value), default=str))


def read_registration(folder: Path) -> Registration | None:
    """What was registered of the experiment in `folder`, or None where nothing was.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    path = folder / FILE
    try:
        first = read_json(path, REMEDY)
        entries = tuple(entry_from(one) for one in (first, *first["later"]))
        return Registration(entries, first["runs"], first.get("named", {}))
    except FileNotFoundError:
        return None
    except DamagedFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error, REMEDY) from error


def entry_from(found: Mapping[str, Any]) -> Entry:
    """The entry that `found`, a part of `study.json`, stands for."""
    study = {key: found.get(key) for key in STUDY} if "claims" in found else None
    origin = {key: found.get(key) for key in ("git_commit", "git_dirty", "lab")}
    rest = (found["arms"], found["seeds"], found.get("seen", {}), found.get("older_runs", 0))
    return Entry(found["at"], origin, study, *rest)


def write_registration(folder: Path, registration: Registration) -> None:
    """Writes `study.json`: the first entry, `later` ones, and `runs`; atomically."""
    first, *later = map(entry_json, registration.entries)
    named = {"named": registration.named} if registration.named else {}
    write_json(folder / FILE, {**first, "later": later, **named, "runs": registration.runs or {}})


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry as `study.json` has it."""
    older = {"older_runs": entry.older_runs} if entry.older_runs else {}
    study = {**entry.study, "seen": entry.seen} if entry.study is not None else {}
    return {"at": entry.at, **entry.origin, **older, **study, "arms": entry.arms, "seeds": entry.seeds}


def with_runs(registration: Registration, scored: Mapping[str, list[int]]) -> Registration:
    """`registration` that knows `scored` runs as well."""
    known = registration.runs or {}
    runs = {digits: sorted({*known.get(digits, ()), *scored.get(digits, ())}) for digits in {**known, **scored}}
    return replace(registration, runs=runs)


def with_names(registration: Registration, arms: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> Registration:
    """`registration` that knows the `names` of arms by their hash, beside those it has from the same `study.arms`."""
    if not arms:
        return registration
    before = registration.names if registration.named.get("arms") == as_stored(arms) else {}
    hashes = dict.fromkeys([*before, *names])
    joined = {digits: list(dict.fromkeys([*before.get(digits, ()), *names.get(digits, ())])) for digits in hashes}
    return replace(registration, named={"arms": as_stored(arms), "names": joined})


def run_folders(root: Path) -> Iterator[tuple[str, int, Path]]:
    """(hash of the arm, seed, folder) of each run in the folder of an experiment, begun or ended."""
    for arm in sorted(root.iterdir()) if root.is_dir() else ():
        if re.search(r"-[0-9a-f]{8}$", arm.name):
            for folder in arm.glob("seed=*"):
                if (seed := folder.name.removeprefix("seed=")).lstrip("-").isdecimal():
                    yield arm.name[-8:], int(seed), folder


def scored_runs(root: Path) -> Seeds:
    """The runs in the folder of an experiment that have a score."""
    found: Seeds = {}
    for digits, seed, folder in run_folders(root):
        if has_score(folder):
            found.setdefault(digits, []).append(seed)
    return {digits: sorted(seeds) for digits, seeds in found.items()}


def has_score(folder: Path) -> bool:
    """Whether the run in `folder` ended, or logged a validation score before it stopped."""
    result = read_result(folder)
    if result is not None and result.get("status") in ("finished", "diverged"):
        return True
    try:
        return b'"val/' in read_bytes(folder / "metrics.jsonl")
    except OSError:
        return False
