"""What the lab asks of a scheduler: to take tasks, to say how they are, and to end them."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import lab
from lab.config import OnConfig
from lab.records.batches import Batch


class AwayError(Exception):
    """The scheduler does not answer now; whether it has taken what it was given is not known."""


@dataclass(frozen=True)
class State:
    """How a task is."""

    alive: bool
    """Whether it waits or runs."""

    words: str
    """In the scheduler's words: `PENDING (Resources)`, `OUT_OF_MEMORY`."""

    waits: bool = False
    """Whether it waits for its turn."""

    stuck: bool = False
    """Whether it waits for what will not come."""

    cancelled: bool = False
    """Whether somebody ended it on purpose."""


GONE = State(False, "without a word of the scheduler")
"""Of a task that the scheduler does not know, or not any more."""

Tasks = Mapping[tuple[str, int], State]
"""By name of the batch and number of the task; tasks that are not known are left out."""


class Scheduler(Protocol):
    """Slurm or Ray."""

    patience: float
    """Seconds for which a task may be stuck."""

    @property
    def most_tasks(self) -> int:
        """Of a batch."""
        ...

    def submit(self, batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
        """Hands in a task for each entry of `batch.tasks`, and returns what the scheduler calls them.

        Args:
            batch: which lies in the folder `root` of its experiment.
            root: relative to the working directory, which is that of the tasks too.
            on: what each task needs.
            trusted: whether the tasks may run code that a configuration names, `module:attribute`.

        Raises:
            UserError: the scheduler refuses; nothing was taken.
            AwayError: it does not answer.
        """
        ...

    def tasks(self, batches: Sequence[Batch]) -> Tasks:
        """How the tasks of `batches` are; raises `AwayError` if that is not known now."""
        ...

    def cancel(self, batches: Sequence[Batch], waiting: bool = False) -> None:
        """Ends their tasks, which write checkpoints; only those that wait if so asked. Raises `AwayError` if the
        scheduler does not answer."""
        ...


def scheduler_of(name: str, address: str) -> Scheduler:
    """The scheduler that `on.name` and `on.address` name.

    Raises:
        UserError: it is not on this machine.
    """
    if name == "slurm":
        from lab.launch.clusters.slurm import Slurm

        return Slurm()
    from lab.launch.clusters.on_ray import RayCluster

    return RayCluster(address)


START = """
import sys
sys.path.append(sys.argv.pop(1))
from lab.launch.clusters.task import main
raise SystemExit(main(sys.argv[1:]))
"""
"""What a task's Python runs. The folder of `lab` comes last, so that nothing beside it stands before the library."""


def task_command(root: Path, batch: Batch, trusted: bool) -> list[str]:
    """The command of a task of `batch`, its number left out."""
    package = str(Path(lab.__file__).resolve().parents[1])
    return [sys.executable, "-P", "-c", START, package, str(root), batch.name, *["--own-parts"] * trusted]


def working_directory() -> str:
    """Where tasks run, as relative paths of a configuration mean it."""
    return os.getcwd()
