"""The files of one run, `config.yaml`, `metrics.jsonl` and `result.json`: written atomically, read without torch."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.identity import ARM, NOT_IDENTITY, arm_hash, default_leaves
from lab.records.predictions import read_predictions
from lab.records.read import parse_json, read_bytes
from lab.system.reporter import note

TRIALS = "_tune"
"""Folder of tuning trials, `<out>/_tune/<name>/`; no comparison has them. Old ones lie in `<out>/<name>/_tune/`."""

SOURCES = "_sources"
"""Folder of runs that are trained for others to start from (`start.source`), `<out>/_sources/`; no comparison has
them."""

NOT_SCALARS = ("step", "epoch", "seconds")
"""What a logged step holds besides scalars: its coordinates."""


@dataclass(frozen=True)
class Run:
    """One run as it lies on the disk."""

    path: Path
    """Its folder, `<out>/<name>/<arm>/seed=<n>`."""

    config: dict[str, Any]
    """The whole configuration, flat: `{"model.depth": 30, ...}`."""

    arm_id: str
    """Eight hexadecimal digits that all seeds of one arm share."""

    arm: dict[str, Any]
    """The keys that were swept when the run was made, with their values."""

    seed: int

    status: str
    """`finished`, `diverged`, `failed` or `interrupted`."""

    result: dict[str, Any]
    """All of `result.json`."""

    is_named: bool = False
    """Whether its name in `study.arms` is that of the last command (`lab.records.named`)."""

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The logged steps, in order: `[{"step": 40, "epoch": 2.0, "train/loss": 0.31, ...}, ...]`."""
        rows, damage = read_rows(self.path)
        if damage:
            note(f"note: {damage}")
        return rows

    @property
    def tested(self) -> dict[str, float | None]:
        """What the test images gave at the end: `{"test/accuracy": 0.97, ...}`; empty where they were not read."""
        metrics = self.result.get("metrics", {})
        return {tag: one["last"] for tag, one in metrics.items() if tag.startswith("test/")}

    @cached_property
    def predictions(self) -> dict[str, Any] | None:
        """What it predicted of its test images (`read_predictions`); None where it kept nothing."""
        return read_predictions(self.path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The logged steps of the run in `path`; lines that are damaged, as the last one by a crash, are left out."""
    return read_rows(path)[0]


def read_rows(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The logged steps of the run in `path`, and a sentence about the lines that are damaged; empty where none is."""
    file, rows, damaged = path / "metrics.jsonl", list[dict[str, Any]](), list[int]()
    try:
        lines = read_bytes(file).split(b"\n")
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"{file} cannot be read ({error.strerror or error}), and its rows are lost"
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_json(line)
            good = isinstance(row, dict) and is_whole(row.get("step")) and all(map(is_number_or_null, row.values()))
        except (ValueError, RecursionError):
            good = not line.strip() or number == len(lines)  # the last one has no end: a crash has cut it
            row = None
        if row is not None and good:
            rows.append(row)
        elif not good:
            damaged.append(number)
    if not damaged:
        return rows, ""
    which = f"line {damaged[0]} is" if len(damaged) == 1 else f"lines {', '.join(map(str, damaged))} are"
    return rows, f"{file}: {which} damaged and left out; the other {len(rows)} are kept"


def is_whole(value: Any) -> bool:
    """Whether `value` is a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def read_result(path: Path) -> dict[str, Any] | None:
    """`result.json` of the run in `path`, or None where there is none, or none of the lab's (see `fault`)."""
    try:
        found = parse_json(read_bytes(path / "result.json"))
    except (OSError, ValueError, RecursionError):  # the second for what is no JSON, or no text
        return None
    return None if fault(found) else found


OPTIONAL = {
    "environment": dict,
    "overrides": list,
    "notes": list,
    "started_from": dict,
    "code": dict,
    "num_images": dict,
    "command": str,
    "error": str,
    "finished_at": str,
    "scored_on": str,
    "fingerprint": str,
    "stopped_by": str,
    "steps": int,
    "num_params": int,
    "place": int,
    "train_seconds": int | float,
    "images_per_second": int | float,
    "diverged_at": dict,
    "best_kept": dict,
    "continued_from": dict,
}
"""What else a `result.json` may hold, where it holds it."""

STATUSES = ("finished", "diverged", "failed", "interrupted")


def fault(result: Any) -> str:
    """What a `result.json` lacks to be one of the lab's, in words; empty where it lacks nothing."""
    if not isinstance(result, dict):
        return f"it holds no object, but a {type(result).__name__}"
    kinds = {"config": dict, "arm": dict, "arm_id": str, "status": str, "seed": int}
    kinds |= {key: kind for key, kind in OPTIONAL.items() if result.get(key) is not None}
    if missing := [key for key, kind in kinds.items() if not isinstance(result.get(key), kind)]:
        return (
            f"it has no {missing[0]}" if missing[0] not in result else f"its {missing[0]} is {result[missing[0]]!r:.40}"
        )
    if result["status"] not in STATUSES:
        return f"its status is {result['status']!r:.40}; allowed: {', '.join(STATUSES)}"
    metrics = result.get("metrics", {} if result["status"] in ("failed", "interrupted") else None)
    summaries = metrics.values() if isinstance(metrics, dict) else [None]
    if not all(isinstance(one, dict) and all(map(is_number_or_null, one.values())) for one in summaries):
        return "its metrics are no table of numbers"
    return ""


def is_number_or_null(value: Any) -> bool:
    """Whether `value` is null or a number that a float holds, as JSON has no others."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**1000
    return value is None or (isinstance(value, float) and math.isfinite(value))


def read_run(path: Path) -> Run | None:
    """The run in `path`, or None where it left no result."""
    result = read_result(path)
    return None if result is None else as_run(path, result)


def as_run(path: Path, result: dict[str, Any]) -> Run:
    """The run in `path` whose `result.json` holds `result`."""
    return Run(
        path=path,
        config=result["config"],
        arm_id=result["arm_id"],
        arm=result["arm"],
        seed=result["seed"],
        status=result["status"],
        result=result,
    )


def why_not(path: Path) -> str:
    """Why `read_result` finds none in `path`, where there is a `result.json`."""
    try:
        return fault(json.loads(read_bytes(path / "result.json")))
    except (OSError, ValueError, RecursionError) as error:
        return " ".join(str(error).split())


def failures(runs: Mapping[Path, Run | None], errors: Mapping[Path, str]) -> dict[Path, str]:
    """What went wrong in those of `runs`, by folder, that did not end; `errors` tells it where no result does."""
    return {
        folder: errors.get(folder, why_unended(run))
        if run is None or run.status == "interrupted"
        else run.result.get("error", "no message")
        for folder, run in runs.items()
        if run is None or run.status in ("failed", "interrupted")
    }


def why_unended(run: Run | None) -> str:
    """What can be said of a run without an end and without a message."""
    return "it left no result" if run is None else "it was interrupted"


NOT_WITHOUT = "nothing is {} without the {} that did not end; the same command goes on"


def is_cut_off(run: Run | None) -> bool:
    """Whether a run, of which there may be no result, was ended from outside: it may end well when it is repeated, and
    nothing is picked or judged without it."""
    return run is None or run.status == "interrupted" or "ended_by" in run.result


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """All runs with a result under `folders`: by experiment, its arms as they were typed, then by path (seed=3 before
    seed=22).

    Tuning trials and sources of other runs are left out, unless a folder is theirs.

    Raises:
        UserError: a folder does not exist, or there is no result in any of them.
    """
    folders = list(folders)
    runs = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; 'lab train' writes its runs under outputs/<name>")
        every = folder.rglob("result.json")
        paths = [path for path in every if not {TRIALS, SOURCES} & {*path.relative_to(folder).parts}]
        found = [run for path in paths if (run := read_run(path.parent)) is not None]
        for path in sorted({path.parent for path in paths} - {run.path for run in found}):
            note(f"left out: {path / 'result.json'} is no result of the lab: {why_not(path)}")
        runs += sorted(
            found, key=lambda run: (natural(run.path.parent.parent), run.result.get("place", 0), natural(run.path))
        )
    if not runs:
        raise UserError(f"no finished run under {', '.join(map(str, folders))}; start some with 'lab train'")
    return told_apart(runs)


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """`runs`, those of one hash that were made with different defaults as different arms.

    The hash tells what differs from the defaults; where a default has changed between two runs, each gets the hash that
    its configuration has today.
    """
    default = {key: value for key, value in default_leaves().items() if key not in NOT_IDENTITY}
    first: dict[str, dict[str, Any]] = {}
    mixed: set[str] = set()
    for run in runs:
        config = {key: run.config.get(key, value) for key, value in default.items()}
        if first.setdefault(run.arm_id, config) != config:
            mixed.add(run.arm_id)
    return [replace(run, arm_id=arm_hash(run.config)) if run.arm_id in mixed else run for run in runs]


def without_copies(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """`runs`, each configuration and seed once wherever it lies, and how many others were left out.

    A run is its configuration (the hash of its arm), name and seed: a copied folder is no second sample. Of several the
    first counts that ended, else the first.
    """
    found: dict[tuple[str, str, int], Run] = {}
    for run in runs:
        its = (run.arm_id, run.config.get(ARM, ""), run.seed)
        kept = found.setdefault(its, run)
        if kept.status in ("failed", "interrupted") and run.status not in ("failed", "interrupted"):
            found[its] = run
    return list(found.values()), len(runs) - len(found)


def natural(path: Path) -> list[str | int]:
    """A key that sorts the numbers in a path by value."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]
