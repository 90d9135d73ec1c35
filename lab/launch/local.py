"""Trains runs side by side in worker processes: a slot is a process, and one that dies takes a single run with it."""

import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.errors import UserError
from lab.launch.worker import ELSEWHERE, check, start_worker, work
from lab.metric import Metric, parse_metric
from lab.records.lock import LockedError, is_locked
from lab.records.places import OVER, Job, claimed, settled
from lab.records.results import outcome, read_result, write_json
from lab.system.machine import num_cores, on_first_stop_signal

POLL = 0.5
"""Seconds between two looks at the runs that another process is at."""


def train(jobs: list[Job]) -> tuple[bool, dict[Path, str]]:
    """Trains `jobs` in processes side by side; a run that fails, or whose process dies, does not stop the others.

    Every slot is a pool of one process, so that a process that dies takes one run with it and is replaced. Runs that
    another command is at are left to it, and waited for at the end.

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

    def open_slot() -> ProcessPoolExecutor:
        initargs = (stop, threads, list(sys.path))
        return ProcessPoolExecutor(1, context, initializer=start_worker, initargs=initargs)

    slots = [open_slot() for _ in range(min(num_slots, len(jobs)))]
    try:
        slots[0].submit(check, [job.config for job in jobs]).result()
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
    board = Board(len(jobs), parse_metric(jobs[0].config.study.metric))
    while running or ((queue or elsewhere) and not stop.value):
        while queue and free and not stop.value:
            slot, job = free.popleft(), queue.popleft()
            running[slots[slot].submit(work, job)] = (slot, job)
        if not running and not stop.value:
            if not told:
                number = "1 run is" if len(elsewhere) == 1 else f"{len(elsewhere)} runs are"
                board.say(f"{number} being trained by another process; waiting")
                told = True
            time.sleep(POLL)
            elsewhere = _look_again(elsewhere, queue, board)
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
                board.show(job, result)
                if "error" in result:
                    errors[job.folder] = result["error"]
    board.close()
    return errors


def _look_again(elsewhere: list[Job], queue: deque[Job], board: "Board") -> list[Job]:
    """Those of `elsewhere` that another process is still at; one that it ended is shown, one that it left is queued."""
    still = []
    for job in map(settled, elsewhere):
        if is_locked(job.folder):
            still.append(job)
        elif (result := read_result(job.folder)) and result["status"] in (*OVER, "failed"):
            board.show(job, result)
        else:
            queue.append(job)
    return still


def _fail(job: Job, error: BaseException) -> dict[str, Any]:
    """Marks a run as failed whose process could not do that itself."""
    message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    result = {**job.record(), "error": message}
    # A disk that is full is told at the end; and another command may have taken over already.
    with suppress(OSError, LockedError), claimed(job) as mine:
        write_json(mine.folder / "result.json", result)
    return result


class Board:
    """One line a run as it ends, above a bar of them all where the output is a terminal."""

    def __init__(self, total: int, metric: Metric):
        self.total, self.metric, self.done, self._bar = total, metric, 0, None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="run", dynamic_ncols=True, leave=False)

    def say(self, words: str) -> None:
        """A line of its own."""
        if self._bar is None:
            print(words, flush=True)
        else:
            self._bar.write(words)

    def show(self, job: Job, result: dict[str, Any]) -> None:
        """Says how a run ended."""
        self.done += 1
        metrics = result.get("metrics", {})
        metric = self.metric.resolve(metrics)
        value = metrics.get(metric.text, {}).get("last")
        words = [f"[{self.done:{len(str(self.total))}d}/{self.total}] {job.folder.parent.name} {job.folder.name}"]
        words.append(outcome(result))
        words += [f"{metric} {value:.4f}"] if value is not None else []
        words += [f"{result['train_seconds']:.1f} s"] if "train_seconds" in result else []
        words += [result["error"]] if "error" in result else []
        self.say("  ".join(words))
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()


def share_machine(config: RunConfig) -> tuple[int, int]:
    """How many runs work side by side, and the CPU threads of each (0: all cores).

    Both are the same however many runs are left to do: another number of threads rounds differently, and a resumed
    sweep shall end with the numbers of one that was never interrupted.

    Raises:
        UserError: `jobs` is negative.
    """
    if config.jobs < 0:
        raise UserError(f"jobs={config.jobs} is out of range; allowed: 0 (automatic) or more")
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
