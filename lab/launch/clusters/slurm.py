"""Slurm: a batch is a job array, submitted by `sbatch`, asked about by `squeue` and ended by `scancel`.

No accounting is needed: run folders say what happened, and `squeue` names tasks that ended a short while ago.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.config import OnConfig
from lab.errors import UserError, unknown
from lab.launch.clusters.scheduler import AwayError, State, Tasks, task_command, working_directory
from lab.records.batches import Batch, log_of

ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)
"""States of tasks that do not come back by themselves."""

STUCK = re.compile(
    r"BadConstraints|PartitionTimeLimit|PartitionNodeLimit|DependencyNeverSatisfied|InvalidAccount|InvalidQOS"
    r"|AccountNotAllowed|QOSNotAllowed|JobHeldAdmin|launch.failed.requeued.held|QOSMax\w+PerJob\w*|Assoc\w*PerJob\w*"
)
"""Reasons of waiting that do not go away by themselves."""

AWAY = re.compile(r"contact slurm controller|timed out|connection|temporarily|communication|backup controller", re.I)
"""What Slurm's commands say where the controller does not answer, or not in time."""

SECONDS = 60.0
"""Time after which a command of Slurm counts as not answered."""

WARNING = 60
"""Seconds before the time limit at which a task is warned; Slurm may do so up to a minute earlier."""


class Slurm:
    """The Slurm of this machine, whose commands are on the PATH."""

    patience = 0.0

    def __init__(self) -> None:
        missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
        if missing:
            raise UserError(
                f"on=slurm: there is no {' and no '.join(missing)} on this machine; start the command where jobs are "
                "submitted, or leave out on=slurm to train here"
            )

    @property
    def most_tasks(self) -> int:
        """The largest array that this Slurm takes (`MaxArraySize`), as far as it says so."""
        try:
            found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]))
        except (AwayError, UserError, OSError):
            found = None
        return max(1, int(found[1]) - 1) if found else 1000

    def submit(self, batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
        """See `Scheduler`."""
        try:
            answer = ask(sbatch_command(batch, root, on), script(batch, root, on, trusted))
        except UserError as error:
            raise UserError(f"on=slurm: sbatch refuses: {error}{remedy(str(error), on)}") from None
        return answer.strip().partition(";")[0]

    def tasks(self, batches: Sequence[Batch]) -> Tasks:
        """See `Scheduler`."""
        if not batches:
            return {}
        names = ",".join(batch.name for batch in batches)
        command = ["squeue", "--noheader", "--array", "--states=all", f"--name={names}", "--format=%j|%K|%T|%r|%F"]
        try:
            lines = ask(command).splitlines()
        except UserError as error:  # whatever it is: to ask again costs nothing
            raise AwayError(str(error)) from None
        found: dict[tuple[str, int], State] = {}
        for line in lines:
            name, number, word, reason, job = (*line.strip().split("|"), "", "", "", "")[:5]
            if not number.isdigit():
                continue
            state = state_of(word, reason)
            if (name, int(number)) not in found or state.alive:
                found[name, int(number)] = state
            if word == "PENDING" and reason == "BeginTime":
                hasten(f"{job}_{number}")
        return found

    def cancel(self, batches: Sequence[Batch], waiting: bool = False) -> None:
        """See `Scheduler`."""
        for batch in batches:
            try:
                ask(["scancel", f"--jobname={batch.name}", *["--state=PENDING"] * waiting])
            except UserError as error:
                raise AwayError(str(error)) from None


def state_of(word: str, reason: str) -> State:
    """A line of `squeue`."""
    if word in ENDED:
        return State(False, word, cancelled=word == "CANCELLED")
    waits = word == "PENDING"
    return State(True, f"{word} ({reason})" if waits else word, waits, waits and STUCK.search(reason) is not None)


def hasten(task: str) -> None:
    """Has a task that was requeued start now: by default Slurm holds it back for two minutes."""
    command = ["scontrol", "update", f"JobId={task}", "StartTime=now"]
    subprocess.run(command, env=clean_environment(), capture_output=True, timeout=SECONDS, check=False)


def requeue(job: str) -> bool:
    """Has the task `job`, the one that asks, start again after its end; whether Slurm agreed."""
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(command, env=clean_environment(), capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def ask(command: list[str], text: str = "") -> str:
    """What a command of Slurm prints, which is given `text`.

    Raises:
        AwayError: the controller does not answer.
        UserError: anything else is wrong, in Slurm's words.
    """
    try:
        done = subprocess.run(
            command, input=text, env=clean_environment(), capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise AwayError(f"{command[0]} has not answered for {SECONDS:g} s") from None
    except OSError as error:
        raise AwayError(f"{command[0]}: {error.strerror or error}") from None
    if done.returncode == 0:
        return done.stdout
    lines = [line.partition("error: ")[2] or line for line in done.stderr.splitlines() if line.strip()]
    words = "; ".join(dict.fromkeys(lines)) or f"{command[0]} ended with exit code {done.returncode}"
    raise (AwayError if AWAY.search(words) else UserError)(words)


def clean_environment() -> dict[str, str]:
    """The environment without what the commands of Slurm would take for options, where this command is itself part of
    a job among others."""
    kept = ("SLURM_CONF", "SLURM_CONF_SERVER")
    return {key: value for key, value in os.environ.items() if key in kept or not key.startswith(("SLURM_", "SQUEUE_"))}


def sbatch_command(batch: Batch, root: Path, on: OnConfig) -> list[str]:
    """What submits `batch`; its script comes from standard input."""
    log = str(log_of(root, batch.name, "LOG")).replace("%", "%%").replace("LOG", "%a")
    warning = min(WARNING, 15 * on.time) if on.time else WARNING
    options = {
        "job-name": batch.name,
        "array": f"0-{len(batch.tasks) - 1}" + (f"%{on.array_limit}" if on.array_limit else ""),
        "partition": on.partition,
        "account": on.account,
        "constraint": on.constraint,
        "time": on.time or "",
        "mem": f"{max(1, round(on.memory * 1024))}M" if on.memory else "",
        "ntasks": 1,
        "cpus-per-task": on.cpus,
        "gres": f"gpu:{int(on.gpus)}" if on.gpus else "",
        "signal": f"B:USR2@{warning}",
        "chdir": working_directory(),
        "output": log,
        "open-mode": "append",
    }
    return ["sbatch", "--parsable", "--requeue", *(f"--{key}={value}" for key, value in options.items() if value != "")]


def script(batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
    """What a task runs; Python takes the place of the shell, so that signals reach it."""
    command = shlex.join(task_command(root, batch, trusted))
    return "\n".join(["#!/bin/bash", *on.setup, f"exec {command}", ""])


def remedy(said: str, on: OnConfig) -> str:
    """What to write instead where `sbatch` refused with `said`."""
    if re.search("partition", said, re.I):
        try:
            there = sorted(set(ask(["sinfo", "--noheader", "--format=%R"]).split()))
        except (AwayError, UserError):
            return ""
        return f". {unknown(f'on.partition={on.partition}', on.partition, there)}" if on.partition not in there else ""
    for pattern, keys in REMEDIES.items():
        if re.search(pattern, said, re.I):
            return f" (see {keys})"
    return ""


REMEDIES = {
    "memory": "on.memory, in GiB",
    "feature|constraint": "on.constraint",
    "gres|generic resource": "on.gpus",
    "account": "on.account",
    "time limit": "on.time, in minutes",
    "submit.?limit|job limit|policy|array": "on.runs_a_job, which makes fewer tasks of as many runs",
    "node configuration|cpu": "on.cpus, on.memory, on.gpus and on.constraint",
}
"""Keys that a refusal of Slurm is about, by what it says."""
