"""A worker process of a sweep: how it starts and ends, what it checks before the first run, and a run in it."""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait as wait_for
from typing import Any

from lab.config import DamagedFileError, RunConfig, arm_hash
from lab.records.lock import LockedError
from lab.records.places import Job

ELSEWHERE = "elsewhere"
"""What a worker says instead of a status where another process is at the run."""

_stop: Any = None
_busy = threading.Lock()


def start_worker(stop: Any, threads: int, path: list[str]) -> None:
    """Prepares a worker: one thread where several work side by side, the parent's import path, no orphans."""
    from lab.run import set_threads

    global _stop
    _stop = stop
    sys.path[:] = path
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on by `stop`
    set_threads(threads)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this process, after a checkpoint of the run under way, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    _stop.value = 1
    with _busy:
        os._exit(1)


def check(configs: list[RunConfig]) -> None:
    """Builds everything that each arm names, and trains none: raises `UserError` for the first bad one.

    A damaged data file is left to its runs to tell of, unless there are no others.
    """
    from lab.assembly import assemble
    from lab.start import find_run

    for config in configs:
        if config.start.run:
            find_run(config.start.run, config.seed)
    arms = {arm_hash(config): config for config in configs}.values()
    damaged: list[DamagedFileError] = []
    for config in arms:
        try:
            assemble(config)
        except DamagedFileError as error:
            damaged.append(error)
    if len(damaged) == len(arms):
        raise damaged[0]


def work(job: Job) -> dict[str, Any]:
    """One run, in this process; its status is `ELSEWHERE` where another one is at it."""
    from lab.run import run, set_threads

    with _busy:
        if job.config.train.threads:
            set_threads(job.config.train.threads)
        try:
            return run(job, should_stop=lambda: bool(_stop.value))
        except LockedError:
            return {**job.record(), "status": ELSEWHERE}
