"""Trains runs side by side in worker processes: a slot is a process, and one that dies takes a single run with it."""

import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.errors import UserError
from lab.launch.sweep_log import SweepLog
from lab.launch.worker import ELSEWHERE, check, start_worker, work
from lab.metric import parse_metric
from lab.records.lock import LockedError, is_locked
from lab.records.places import TERMINAL, Job, claimed, settled
from lab.records.results import read_result, write_json
from lab.system.machine import num_cores, on_first_stop_signal

RECHECK = 0.5
"""Seconds between two checks of the runs that other processes have locked."""


def train_runs(jobs: list[Job], sweep: Sequence[Job] = ()) -> tuple[bool, dict[Path, str]]:
    """Trains `jobs` in processes side by side; a run that fails, or whose process dies, does not stop the others.

    Every slot is a pool of one process, so that a process that dies takes one run with it and is replaced. Runs that
    another command has locked are left to it, and waited for at the end.

    Args:
        jobs: one or more.
        sweep: all runs of the sweep that they belong to; keys of it that do nothing are told before the first run.

    Returns:
        Whether SIGINT or SIGTERM ended it early, with a checkpoint for every run that was under way; and what went
        wrong, by the folders of the runs that failed.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(["lab.runs.preload"])  # torch is imported once, not once a process
    num_slots, threads = share_machine(jobs[0].config)
    stop = context.RawValue("b", 0)  # no lock: a signal may arrive while the flag is read

    num_open = min(num_slots, len(jobs))

    def open_slot() -> ProcessPoolExecutor:
        initargs = (stop, threads, list(sys.path), num_open)
        return ProcessPoolExecutor(1, context, initializer=start_worker, initargs=initargs)

    slots = [open_slot() for _ in range(num_open)]
    try:
        for note in slots[0].submit(check, *([job.config for job in some] for some in (jobs, sweep))).result():
            print(f"note: {note}", file=sys.stderr, flush=True)
        with stop_on_signals(stop):
            errors = _drain(jobs, slots, open_slot, stop)
    except BaseException:
        stop.value = 1  # whatever went wrong here, the runs under way keep what they have
        raise
    finally:
        for slot in slots:
            slot.shutdown(cancel_futures=True)
    return bool(stop.value), errors


def _drain(jobs: list[Job], slots: list[ProcessPoolExecutor], open_slot: Any, stop: Any) -> dict[Path, str]:
    """Keeps every slot busy until the queue is empty or `stop` is set, and reports each run as it ends.

    Returns:
        The errors of runs that failed, by folder.
    """
    queue = deque(sorted(jobs, key=lambda job: job.config.seed))  # all arms early, rather than all seeds of one
    free, running = deque(range(len(slots))), dict[Future[dict[str, Any]], tuple[int, Job]]()
    elsewhere: list[Job] = []
    errors: dict[Path, str] = {}
    told = False
    log = SweepLog(len(jobs), parse_metric(jobs[0].config.study.metric))
    while running or ((queue or elsewhere) and not stop.value):
        while queue and free and not stop.value:
            slot, job = free.popleft(), queue.popleft()
            running[slots[slot].submit(work, job)] = (slot, job)
        if not running and not stop.value:
            if not told:
                number = "1 run is" if len(elsewhere) == 1 else f"{len(elsewhere)} runs are"
                log.say(f"{number} being trained by another process; waiting")
                told = True
            time.sleep(RECHECK)
            elsewhere = _recheck(elsewhere, queue, log)
            continue
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            slot, job = running.pop(future)
            free.append(slot)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                slots[slot].shutdown()
                slots[slot] = open_slot()
                error = RuntimeError("the run's process died (killed, or out of memory)")
            result = future.result() if error is None else _fail(job, error)
            if result["status"] == ELSEWHERE:
                elsewhere.append(job)
            else:
                job = settled(job)
                log.show(job, result)
                if "error" in result:
                    errors[job.folder] = result["error"]
    log.close()
    return errors


def _recheck(elsewhere: list[Job], queue: deque[Job], log: SweepLog) -> list[Job]:
    """Those of `elsewhere` that are still locked; one that has ended is shown, one that was given up is queued."""
    still = []
    for job in map(settled, elsewhere):
        if is_locked(job.folder):
            still.append(job)
        elif (result := read_result(job.folder)) and result["status"] in (*TERMINAL, "failed"):
            log.show(job, result)
        else:
            queue.append(job)
    return still


def _fail(job: Job, error: BaseException) -> dict[str, Any]:
    """Records a run as failed whose process could not do that itself."""
    message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    result = {**job.record(), "error": message}
    # A disk that is full is told at the end; and another command may have taken over already.
    with suppress(OSError, LockedError), claimed(job) as (mine, _):
        write_json(mine.folder / "result.json", result)
    return result


def share_machine(config: RunConfig) -> tuple[int, int]:
    """How many runs work side by side, and the CPU threads of each (0: all cores).

    Both are the same however many runs are left to do: another number of threads rounds differently, and a resumed
    sweep shall end with the numbers of one that was never interrupted.
    """
    automatic = num_cores() if config.train.device == "cpu" or not has_gpu() else 1
    slots = config.jobs or automatic
    return slots, 1 if slots > 1 else 0


def has_gpu() -> bool:
    """Whether an NVIDIA driver is loaded, as the system tells it: asking torch would cost its import."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


@contextmanager
def stop_on_signals(stop: Any) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks all runs to stop with a checkpoint; a second one stops at once."""

    def ask() -> None:
        stop.value = 1
        print("\nstopping: each run under way writes its checkpoint (again to stop at once)", file=sys.stderr)

    def kill() -> None:
        for worker in multiprocessing.active_children():
            worker.kill()

    with on_first_stop_signal(ask, kill):
        yield
