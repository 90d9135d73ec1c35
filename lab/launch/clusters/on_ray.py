"""A Ray cluster: a batch is an actor that outlives the command, and each entry of it a task of Ray."""

import logging
import os
import re
import socket
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from lab.config import OnConfig
from lab.errors import UserError
from lab.launch.clusters.scheduler import AwayError, State, Tasks, working_directory
from lab.records.batches import Batch, log_of

NAMESPACE = "lab"
"""Of the actors, so that a later command finds them."""

SECONDS = 30.0
"""Time after which a question counts as not answered."""


class RayCluster:
    """The Ray cluster at an address."""

    patience = 600.0
    """Nodes may be added meanwhile, by hand or by Ray's autoscaler."""

    most_tasks = 1000

    def __init__(self, address: str):
        """
        Raises:
            UserError: Ray is not installed, or no cluster is at `address`.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UserError("on=ray: Ray is not installed; pip install 'architecture-lab[ray]'") from None
        self.ray, self.needs = ray, (1.0, 0.0)
        if ray.is_initialized():
            return
        check_address(address)
        try:
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # of many kinds, and none of the user's concern
            what = " ".join(str(error).split())
            raise UserError(no_cluster(address, f"{what:.200}")) from None

    def submit(self, batch: Batch, root: Path, on: OnConfig, trusted: bool) -> str:
        """See `Scheduler`."""
        self.needs = float(on.cpus), float(on.gpus)
        keeper = self.ray.remote(Keeper).options(
            name=batch.name,
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            resources={"node:__internal_head__": 0.001},  # with the head the whole cluster would go
        )
        try:
            actor = keeper.remote(batch.name, str(root), working_directory(), on.cpus, on.gpus, trusted)
            self.ray.get(actor.start.remote(len(batch.tasks)), timeout=SECONDS)
        except Exception as error:
            raise AwayError(" ".join(str(error).split())[:200]) from None
        return batch.name

    def tasks(self, batches: Sequence[Batch]) -> Tasks:
        """See `Scheduler`."""
        found: dict[tuple[str, int], State] = {}
        fits = self.fits()
        for batch in batches:
            if (actor := self.actor_of(batch)) is None:
                continue
            try:
                ended = self.ray.get(actor.ended.remote(), timeout=SECONDS)
            except self.ray.exceptions.RayActorError:
                continue  # with it its tasks ended
            except Exception as error:
                raise AwayError(" ".join(str(error).split())[:200]) from None
            for number in range(len(batch.tasks)):
                words = ended.get(number)
                alive = State(True, "running or waiting" if fits else NO_NODE, not fits, not fits)
                found[batch.name, number] = alive if words is None else State(False, words)
            if len(ended) == len(batch.tasks):
                self.ray.kill(actor)
        return found

    def fits(self) -> bool:
        """Whether some node has what a task needs."""
        cpus, gpus = self.needs
        try:
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        except Exception as error:
            raise AwayError(" ".join(str(error).split())[:200]) from None
        return any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes)

    def cancel(self, batches: Sequence[Batch], waiting: bool = False) -> None:
        """See `Scheduler`."""
        for batch in batches:
            if (actor := self.actor_of(batch)) is not None:
                try:
                    self.ray.get(actor.cancel.remote(), timeout=SECONDS)
                except self.ray.exceptions.RayActorError:
                    continue
                except Exception as error:
                    raise AwayError(" ".join(str(error).split())[:200]) from None

    def actor_of(self, batch: Batch) -> Any:
        """The actor of `batch`; None where it is gone."""
        try:
            return self.ray.get_actor(batch.name, namespace=NAMESPACE)
        except ValueError:
            return None
        except Exception as error:
            raise AwayError(" ".join(str(error).split())[:200]) from None


def check_address(address: str) -> None:
    """Raises `UserError` where nothing listens at `address`: Ray itself would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?([\w.-]+):(\d{1,5})", address)
    if found is None:
        if address != "auto":
            raise UserError(no_cluster(address, "no such form"))
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UserError(no_cluster(address, getattr(error, "strerror", None) or str(error))) from None


def no_cluster(address: str, why: str) -> str:
    """The message for an address without a cluster."""
    allowed = "auto on a machine of the cluster (ray start), or host:6379, or ray://host:10001"
    return f"on.address={address}: no Ray cluster answers ({why}); allowed: {allowed}"


NO_NODE = "no node has the cores or GPUs"


class Keeper:
    """Has the tasks of a batch, in a process of the cluster."""

    def __init__(self, name: str, root: str, folder: str, cpus: int, gpus: float, trusted: bool):
        self.given = name, root, folder, trusted
        self.cpus, self.gpus = cpus, gpus
        self.tasks: dict[int, Any] = {}

    def start(self, number_of_tasks: int) -> None:
        """Starts the tasks. What a dead process leaves is not done again by Ray: whoever follows decides."""
        import ray  # pyright: ignore[reportMissingImports]

        task = ray.remote(work).options(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)
        self.tasks = {number: task.remote(number, *self.given) for number in range(number_of_tasks)}

    def ended(self) -> dict[int, str]:
        """How those tasks ended that have."""
        import ray  # pyright: ignore[reportMissingImports]

        waiting = list(self.tasks.values())
        ready = set(ray.wait(waiting, num_returns=len(waiting), timeout=0)[0]) if waiting else set()
        found = {}
        for number, task in self.tasks.items():
            if task in ready:
                try:
                    ray.get(task)
                    found[number] = "ended"
                except Exception as error:
                    found[number] = type(error).__name__
        return found

    def cancel(self) -> None:
        """Interrupts the tasks, whose runs then write a checkpoint."""
        import ray  # pyright: ignore[reportMissingImports]

        for task in self.tasks.values():
            with suppress(Exception):
                ray.cancel(task)


def work(number: int, name: str, root: str, folder: str, trusted: bool) -> None:
    """A task: trains its runs in a process of Ray's."""
    os.chdir(folder)
    from lab.launch.clusters.task import train_task

    with open(log_of(Path(root), name, number), "a") as log, redirect_stdout(log), redirect_stderr(log):
        train_task(Path(root), name, number, trusted, lambda: False)
