"""A task of a cluster: trains the runs that it was given, one after another, each from its own `config.yaml`."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from lab.config import RunConfig
from lab.errors import DamagedFileError, UserError
from lab.identity import arm_hash
from lab.launch.clusters.slurm import requeue
from lab.launch.drain import fail
from lab.records.batches import Batch, Given, read_batch
from lab.records.lock import LockedError
from lab.records.places import TERMINAL, Job
from lab.records.read import read_yaml
from lab.system.reporter import note
from lab.system.signals import leave_on_interrupt

ADVANCED, FAILED = "advanced", "failed"


def main(words: list[str]) -> int:
    """A task of Slurm; `words` are the folder of the experiment, the name of the batch, and `--own-parts`.

    Returns:
        The exit code: 1 if a run failed.
    """
    leave_on_interrupt()
    warned = threading.Event()
    signal.signal(signal.SIGUSR2, lambda number, frame: warned.set())  # soon the time is up
    root, name, *flags = words
    try:
        said = train_task(Path(root), name, int(os.environ["SLURM_ARRAY_TASK_ID"]), bool(flags), warned.is_set)
    except UserError as error:
        note(f"lab: {error}")
        return error.exit_code
    if warned.is_set() and ADVANCED in said and requeue(os.environ["SLURM_JOB_ID"]):
        note("the time is nearly up; Slurm starts the task again")
    return int(FAILED in said)


def train_task(root: Path, name: str, number: int, trusted: bool, should_stop: Callable[[], bool]) -> set[str]:
    """Trains the runs of task `number` of a batch, those that are neither finished nor trained elsewhere.

    Args:
        root: the folder of the experiment.
        name: of the batch.
        number: of its task.
        trusted: whether code that a configuration names, `module:attribute`, may run.
        should_stop: asked after every step.

    Returns:
        `ADVANCED` if some run is further than before, `FAILED` if one failed.

    Raises:
        UserError: the batch is not there, or damaged.
    """
    from lab.runs.progress import Console
    from lab.runs.run import run
    from lab.system.devices import set_threads

    batch, said = read_batch(root, name), set[str]()
    for given in batch.tasks[number]:
        if should_stop():
            break
        try:
            job = given_job(root, given, batch, trusted)
            if job.is_terminal():
                continue
        except UserError as error:
            note(f"lab: {error}")
            said.add(FAILED)
            continue
        before = state_stamp(job)
        set_threads(job.config.train.threads or batch.cpus)
        try:
            result = run(job, Console(), should_stop)
        except LockedError as error:
            note(str(error))
            continue
        except Exception as error:  # it ends this run alone
            result = fail(job, error)
        note(f"{given['folder']}: {result['status']} {result.get('error', '')}".rstrip())
        if result["status"] in TERMINAL or state_stamp(job) != before:
            said.add(ADVANCED)
        if result["status"] == "failed":
            said.add(FAILED)
        if result["status"] == "interrupted":
            break
    return said


def state_stamp(job: Job) -> tuple[int, int] | None:
    """What changes with every checkpoint of a run; None where it has none."""
    try:
        status = os.stat(job.folder / "checkpoint.pt")
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def given_job(root: Path, given: Given, batch: Batch, trusted: bool) -> Job:
    """The run that a task was given, as its `config.yaml` says.

    Raises:
        UserError: that is not the configuration that its folder is for, or names code and is not `trusted`.
    """
    from lab.runs.origin import fill
    from lab.runs.rehearsal import own_parts

    folder, config = root / given["folder"], RunConfig()
    path = folder / "config.yaml"
    try:
        fill(config, read_yaml(path), path)
    except FileNotFoundError:
        raise UserError(f"{folder} has no config.yaml") from None
    if (arm_hash(config), f"seed={config.seed}") != (folder.parent.name[-8:], folder.name):
        raise DamagedFileError(f"{path} is not the configuration that its folder is for; remove it")
    if (own := own_parts(config)) and not trusted:
        raise UserError(f"{path} names code, {', '.join(own)}, which the command that submitted it did not")
    return Job(config, folder, given["arm"], given["overrides"], batch.command, given["place"], tuple(given["names"]))
