"""A longer run that goes on from a finished shorter one, where that equals one long run to the bit."""

import json
import shutil
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from lab.config import RunConfig
from lab.errors import DamagedFileError
from lab.records.ledger import EVENTS
from lab.records.places import Job
from lab.records.results import read_result, read_rows
from lab.records.shorter import FLAT, is_flat, shorter_runs
from lab.records.write import finite, write_atomically
from lab.runs.build import Parts, rate_of
from lab.training.checkpoint import kept_states, pack, read_checkpoint

CPU = torch.device("cpu")

MACHINE = ("lab", "torch", "platform", "device", "threads", "processes")
"""What of the environment of a run decides how its sums round."""

LOGGED = ("train.watch", "train.watch_smoothness", "train.watch_steps")
"""Keys that make no other arm, and decide what a logged point holds."""


class UnlikeError(Exception):
    """Going on would not equal one long run; says why."""


def go_on(job: Job, parts: Parts, record: Mapping[str, Any]) -> str:
    """Copies what a finished shorter run left into the folder of `job`, which is new, so that it resumes from there.

    Args:
        job: the run, whose folder this process holds.
        parts: its.
        record: its `result.json` before the first step.

    Returns:
        A sentence about the shorter run, and why it is of no use where it is not; empty where there is none.

    Raises:
        OSError: the folder cannot be written.
    """
    kept = kept_states(job.folder / "checkpoint.pt")
    if job.config.force or any(path.exists() for path in kept):
        return ""
    reasons: list[str] = []
    for folder, result in shorter_runs(job, parts.training.steps):
        about = f"a finished run of {result['steps']:,} steps that differs in length alone"
        try:
            check_same(job.config, parts, result, record)
            copy(folder, result, job, parts)
        except UnlikeError as error:
            reasons.append(
                f"starts at step 0 although there is {about}, as one long run would not be the same: {error}"
            )
        else:
            return f"goes on from {about}, with the numbers of one long run"
    return reasons[0] if reasons else ""


def check_same(config: RunConfig, parts: Parts, result: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Raises `UnlikeError` unless the run of `record` does, up to the end of that of `result`, what that has done."""
    if parts.training.train_step.ranks.size > 1:
        raise UnlikeError("several processes train it")
    for reason in chain(otherwise_ended(result), other_rates(config, parts, result["steps"]), others(result, record)):
        raise UnlikeError(reason)


def otherwise_ended(result: Mapping[str, Any]) -> Iterator[str]:
    """Why the run of `result` has not just reached its last step."""
    ended_by = result.get("stopped_by")
    if ended_by != "steps":
        known = {"seconds": "it was ended by train.max_seconds", "patience": "it was ended by train.patience"}
        yield known.get(str(ended_by), "it does not say what ended it")
    metrics = result.get("metrics", {})
    if metrics.get("train/restored_step", {}).get("last") is not None:
        yield "it ended with the weights of an earlier step (train.restore_best)"


def other_rates(config: RunConfig, parts: Parts, steps: int) -> Iterator[str]:
    """Why the learning rates of the first `steps` depend on how long the run is."""
    schedule, per_epoch = config.schedule, parts.training.steps_per_epoch
    if is_flat(schedule):
        return  # known without a thought for each of perhaps a million steps
    short, long = (rate_of(config, length, per_epoch) for length in (steps, parts.training.steps))
    if any(short(step) != long(step) for step in range(steps)):
        what = (
            f"schedule.warmup_frac={schedule.warmup_frac:g}" if schedule.name in FLAT else f"schedule={schedule.name}"
        )
        yield f"{what} depends on the length of the run"


def others(result: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    """What else the two runs do not have in common, by their records."""
    then, now = result.get("environment", {}), record["environment"]
    for name in MACHINE:
        if then.get(name) != now.get(name):
            yield f"it was trained with {name} {then.get(name)}, and this is {now.get(name)}"
    for key in LOGGED:
        if (value := result["config"].get(key)) != record["config"][key]:
            yield f"it has {key}={json.dumps(value)}"
    if record["config"]["train.keep_best"] and (result.get("best_kept") or {}).get("since") != 0:
        yield "it kept no best weights"
    if plain(result.get("code")) != plain(record.get("code")):
        yield "your own code has changed since"
    if any(
        result.get(key) != plain(record.get(key)) for key in ("scored_on", "num_images", "num_params", "started_from")
    ):
        yield "data, net or the run that it started from have changed since"


def plain(value: Any) -> Any:
    """`value` as `result.json` has it."""
    return json.loads(json.dumps(finite(value)))


def copy(folder: Path, result: Mapping[str, Any], job: Job, parts: Parts) -> None:
    """Writes rows and state of the run in `folder` at its last step into that of `job`, as one that was interrupted.

    Raises:
        UnlikeError: something of it is missing or damaged.
    """
    training, steps = parts.training, result["steps"]
    regular = steps % training.log_every == 0  # a longer run has a logged point there, too
    rows, damage = read_rows(folder)
    rows = [row for row in rows if regular or row["step"] < steps]
    expected = range(training.log_every, steps + 1, training.log_every)
    if damage or [row["step"] for row in rows] != [*expected]:
        raise UnlikeError("its metrics.jsonl is not complete")
    try:
        state = read_checkpoint(folder / "checkpoint.pt", CPU)
    except (OSError, DamagedFileError):
        raise UnlikeError("its checkpoint.pt is missing or damaged") from None
    if read_result(folder) != result or state.get("step") != steps:
        raise UnlikeError("it is being trained again")
    if not regular and "unlogged" not in state:
        raise UnlikeError(
            "its checkpoint.pt, of an older version of the lab, lacks what its last logged point has changed"
        )
    state |= state.pop("unlogged", {}) if not regular else {}
    stopping = state.get("stopping")
    if stopping and stopping["stale"] >= job.config.train.patience:
        raise UnlikeError("it was at the end of train.patience")
    seconds = state["train_seconds"]
    state["continued_from"] = {"run": str(folder), "steps": steps, "train_seconds": round(seconds, 3)}
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(job.folder / "metrics.jsonl", text.encode())
    if job.config.train.watch:  # histograms, which nothing else holds
        for events in folder.glob(f"{EVENTS}*"):
            shutil.copyfile(events, job.folder / events.name)
    write_atomically(job.folder / "checkpoint.pt", pack({**state, "status": "interrupted", "stopped_by": ""}))
