"""Many runs: what is missing trains in parallel processes, what is there is left alone, then all are compared."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

from lab.config import DamagedFileError, RunConfig, TrainConfig, UserError, arm_hash, flatten
from lab.machine import num_cores, on_first_stop_signal
from lab.records.lock import LockedError, is_locked
from lab.records.places import OVER, Job, claimed, settled
from lab.records.results import TRIALS, outcome, read_result, read_run, write_json
from lab.records.tuning import read_tuning
from lab.studies.metrics import resolve
from lab.tuning import check_tuning, tune

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""

ELSEWHERE = "elsewhere"
"""What a worker says instead of a status where another process is at the run."""

POLL = 0.5
"""Seconds between two looks at the runs that another process is at."""


def sweep(jobs: list[Job]) -> int:
    """Trains what is missing of `jobs`, then compares all of them.

    Returns:
        The exit code: 0, 1 if a run failed, 130 if interrupted.

    Raises:
        UserError: a configuration or a claim of the study is wrong, or the outputs cannot be written; nothing has been
            trained then.
    """
    from lab.studies.claims import check_claims

    config = jobs[0].config
    tuned = config.study.tune or {}
    if tuned:
        check_tuning(jobs)
    # Arms that will differ in nothing but what is tuned are counterparts.
    same = {key: values[0] for key, values in tuned.items()}
    check_claims(vars(config.study), [{**flatten(job.config), **same} for job in jobs])
    root = Path(config.out) / config.name
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={config.out}: cannot write {root} ({error.strerror or error})") from error
    troubles: list[str] = []
    if tuned:
        if (found := tune(jobs, root, train)) is None:
            return interrupted()
        jobs, troubles = found
    code = train_and_compare(jobs, root, bool(tuned)) if jobs else 1
    if troubles:
        print("\ntuning did not end well:", *troubles, sep="\n  ", file=sys.stderr)
    return max(code, 1) if troubles else code


def train_and_compare(jobs: list[Job], root: Path, tuned: bool) -> int:
    """The comparison itself: trains what is missing of `jobs`, and publishes all of them; returns the exit code.

    Args:
        jobs: one or more.
        root: the folder of the experiment.
        tuned: whether the values of nuisance keys were picked before.
    """
    config = jobs[0].config
    missing = [job for job in jobs if not job.is_over()]
    seeds = sorted({job.config.seed for job in jobs})
    num_arms = len({job.folder.parent for job in jobs})
    print(f"{config.name}: {len(jobs)} runs, {num_arms} arms, seeds {', '.join(map(str, seeds))}", flush=True)
    if len(missing) < len(jobs):
        print(f"{len(jobs) - len(missing)} finished already, {len(missing)} to do", flush=True)
    for key in stopped_early(jobs):
        print(f"note: {key} ends arms at different steps, so they are compared after unequal training", file=sys.stderr)
    stopped, errors = train(missing) if missing else (False, {})
    if stopped:
        return interrupted()
    return compare_jobs([settled(job) for job in jobs], root, errors, tuned)


def interrupted() -> int:
    """Says how to go on; the exit code."""
    print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
    return INTERRUPTED


def stopped_early(jobs: list[Job]) -> list[str]:
    """The keys that end runs before their last step although the sweep does not compare them."""
    found = []
    for key in ("patience", "max_seconds"):
        values = {getattr(job.config.train, key) for job in jobs}
        if len(values) == 1 and values != {getattr(TrainConfig(), key)}:
            found.append(f"train.{key}={values.pop()}")
    return found


def compare_jobs(jobs: list[Job], root: Path, errors: dict[Path, str], tuned: bool = False) -> int:
    """Prints and writes the comparison of `jobs`; 1 if any of them failed, with a table of those last.

    Args:
        jobs: all of the sweep.
        root: the folder of the experiment.
        errors: what went wrong, by a run's folder, where not even that could be written.
        tuned: whether `tune.json` in `root` is about them.
    """
    from lab.studies.publish import publish

    found = {job.folder: read_run(job.folder) for job in jobs}
    runs = [run for run in found.values() if run is not None]
    failed = {
        folder: errors.get(folder, "it left no result") if run is None else run.result.get("error", "no message")
        for folder, run in found.items()
        if run is None or run.status == "failed"
    }
    if len(failed) < len(found):
        print()
        last_seed = max(job.config.seed for job in jobs)
        tuning = read_tuning(root) if tuned else None
        publish(runs, vars(jobs[0].config.study), root, last_seed=last_seed, tuning=tuning)
    if failed:
        print(f"\n{len(failed)} of {len(jobs)} runs failed:", file=sys.stderr)
        for folder, message in failed.items():
            print(f"  {folder.relative_to(root)}: {message}", file=sys.stderr)
    return 1 if failed else 0


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
        context.set_forkserver_preload(["lab.preload"])  # torch is imported once, not once a process
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
    board = Board(len(jobs), jobs[0].config.study.metric)
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

    def __init__(self, total: int, metric: str):
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
        metric = resolve(self.metric, metrics)
        value = metrics.get(metric, {}).get("last")
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


# Inside a worker process

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
    from lab.run import assemble
    from lab.start import find_run

    for config in configs:
        if config.start.run:
            try:
                find_run(config.start.run, config.seed)
            except UserError as error:
                raise UserError(f"{error}{trials_hint(config)}") from error
    arms = {arm_hash(config): config for config in configs}.values()
    damaged: list[DamagedFileError] = []
    for config in arms:
        try:
            assemble(config)
        except DamagedFileError as error:
            damaged.append(error)
    if len(damaged) == len(arms):
        raise damaged[0]


def trials_hint(config: RunConfig) -> str:
    """What to do where an arm that `start.run` names has no run for a trial of a tuning."""
    if Path(config.name).name != TRIALS or not Path(config.start.run).expanduser().is_dir():
        return ""
    return (
        f". The trials of study.tune have seeds of their own: train the source with seed={config.seed} too, or name "
        "one of its runs, for all to start from (trials are then judged by pictures that it may have been trained on)"
    )


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
