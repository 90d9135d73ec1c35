"""The runs of a sweep while a cluster trains them: what is submitted, what has ended, and what is submitted again."""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.launch.clusters.scheduler import GONE, AwayError, Scheduler, State, Tasks
from lab.launch.clusters.submit import submit
from lab.launch.drain import RECHECK, REPEATS
from lab.launch.pace import UnderWay
from lab.launch.slots import Stop, first_ready
from lab.launch.sweep_log import SweepLog
from lab.metric import parse_metric
from lab.records.batches import Batch, forget_batch, log_of, read_batch, read_batches
from lab.records.lock import is_locked
from lab.records.places import TERMINAL, Job, settled
from lab.records.read import read_bytes
from lab.records.results import read_result
from lab.studies.statistics.numerals import count, duration

FASTEST, SLOWEST = 1.0, 15.0
"""Seconds between two questions to the scheduler: few where something has happened, more while nothing does."""

GRACE = 5.0
"""Seconds for which a task has to be gone: its result may need a moment to be seen here, and a requeued one to wait."""

AWAY = 3600.0
"""Seconds without an answer of the scheduler after which runs are given up."""

Stamp = tuple[int, int] | None
"""What changes whenever a file is written anew; None where there is none."""


@dataclass(frozen=True)
class Place:
    """The task that has a run."""

    batch: Batch
    number: int
    state: State


class Followed:
    """One run that has not ended."""

    def __init__(self, job: Job):
        self.job = job
        stale = job.config.force or not job.is_terminal()
        self.result = stamp(job.folder / "result.json") if stale else None
        """Stamp of the last result that was read; one from before this command says nothing."""
        self.reached: Stamp = None
        """Stamp of the checkpoint when it was last submitted."""
        self.tries = 0
        """Turns of its task without progress."""
        self.missed: float | None = None
        """When its task was first found gone; None while it is there."""


class Following:
    """The runs of one experiment that a cluster trains."""

    def __init__(self, jobs: Sequence[Job], scheduler: Scheduler, stop: Stop):
        self.open = {job.folder: Followed(job) for job in map(settled, sorted(jobs, key=lambda job: job.config.seed))}
        self.root = jobs[0].folder.parent.parent
        self.scheduler, self.stop = scheduler, stop
        self.name = jobs[0].config.on.name
        self.errors: dict[Path, str] = {}
        self.log = SweepLog(jobs, parse_metric(jobs[0].config.study.metric), slots=1)
        self.running: dict[Path, UnderWay] = {}
        """What tasks train, as of the last answer, by its folder."""
        self.told = set[str]()
        self.stuck: dict[tuple[str, int], float] = {}
        self.past: set[str] | None = None
        """Names of batches that had ended before this command began; None before the first question."""
        self.answered = self.changed = time.monotonic()

    def run(self) -> dict[Path, str]:
        """Follows until all have ended, or `stop` is asked; returns what went wrong, by folder."""
        asked = -SLOWEST
        while self.open and not self.stop.asked:
            self.collect()
            quiet = time.monotonic() - self.changed
            if time.monotonic() - asked >= min(SLOWEST, max(FASTEST, quiet / 10)):
                self.ask()
                asked = time.monotonic()
            if self.open:
                self.show_running()
                first_ready([], self.stop, RECHECK)
        self.log.close()
        if not self.stop.asked:
            self.clear()
        return self.errors

    def show_running(self) -> None:
        """Shows how far the runs are that tasks train."""
        running = [one for folder, one in self.running.items() if folder in self.open]
        waiting = [run.job for folder, run in self.open.items() if folder not in self.running]
        self.log.slots = max(1, len(running))
        self.log.watch(running, waiting)

    def know_running(self, places: Mapping[Path, Place]) -> None:
        """Knows which runs are under way: of each running task the first that has not ended."""
        first = dict[tuple[str, int], Path]()
        for folder in self.open:
            place = places.get(folder)
            if place and place.state.alive and not place.state.waits:
                first.setdefault((place.batch.name, place.number), folder)
        self.running = {path: self.running.get(path) or UnderWay(self.open[path].job) for path in first.values()}

    def collect(self) -> None:
        """Takes the runs whose results have come."""
        for folder, run in list(self.open.items()):
            found = stamp(folder / "result.json")
            if found is None or found == run.result:
                continue
            result = read_result(folder)
            run.result = found
            if result is not None and result["status"] in (*TERMINAL, "failed"):
                self.end(folder, result)

    def end(self, folder: Path, result: dict[str, Any]) -> None:
        """Reports how a run ended."""
        run = self.open.pop(folder)
        if (done := self.running.pop(folder, None)) and "error" not in result:
            self.log.pace.took(done)
        self.changed = time.monotonic()
        self.log.show(run.job, result)
        if "error" in result:
            self.errors[folder] = result["error"]

    def give_up(self, folder: Path, why: str) -> None:
        """Reports a run of which no result will come."""
        self.end(folder, {**self.open[folder].job.record(), "error": why})

    def ask(self) -> None:
        """Asks how the tasks are, and submits the runs that have none."""
        batches = [batch for batch in read_batches(self.root) if batch.name not in (self.past or ())]
        try:
            tasks = self.scheduler.tasks(batches)
        except AwayError as error:
            self.tell_away(error)
            return
        self.answered = time.monotonic()
        if self.past is None:
            ended = (one for one in batches if one.cancelled or (one.job and not any_alive(one, tasks)))
            self.past = {batch.name for batch in ended}
            batches = [batch for batch in batches if batch.name not in self.past]
            self.tell_found(batches, tasks)
        self.collect()  # what had ended before that answer
        places = places_of(self.root, batches, tasks)
        self.know_running(places)
        todo = [run.job for folder, run in list(self.open.items()) if self.needs_task(folder, run, places.get(folder))]
        self.tell_waiting(tasks)
        if todo and not self.stop.asked:
            self.submit(todo, {batch.name for batch in batches} | self.past)

    def needs_task(self, folder: Path, run: Followed, place: Place | None) -> bool:
        """Whether a run is to be submitted, now."""
        if place and place.state.alive:
            run.missed = None
            if place.state.stuck and self.is_stuck(place):
                with suppress(AwayError):
                    self.scheduler.cancel([place.batch], waiting=True)
                self.give_up(folder, f"its task would wait forever: {place.state.words}")
            return False
        if is_locked(folder):
            self.say_once("runs that another process trains are left to it, and waited for")
            return False
        if place is None:
            return True
        if run.missed is None:
            run.missed = self.changed = time.monotonic()
            return False
        if time.monotonic() - run.missed < GRACE:
            return False
        run.missed = None
        return self.again(folder, run, place)

    def again(self, folder: Path, run: Followed, place: Place) -> bool:
        """Whether a run, whose task is gone, is submitted once more; if not, says why."""
        if is_cancelled(self.root, place.batch) or place.state.cancelled:
            self.give_up(folder, "its task was cancelled")
            return False
        run.tries = run.tries + 1 if stamp(folder / "checkpoint.pt") == run.reached else 0
        how = f"its task ended: {place.state.words}" if place.batch.job else "its task was not taken"
        if run.tries <= REPEATS:
            self.log.say(f"{folder.parent.name} {folder.name}: {how}; it is submitted again")
            return True
        log = log_of(self.root, place.batch.name, place.number)
        last = f" ({words})" if (words := last_line(log)) else ""
        self.give_up(folder, f"{how}{last}, {count(run.tries, 'time')} without progress; see {log}")
        return False

    def submit(self, jobs: Sequence[Job], known: set[str]) -> None:
        """Submits `jobs`; a refusal ends the command where nothing is under way, else their runs."""
        taken = set[Path]()
        try:
            for batch, members in submit(jobs, self.root, self.scheduler, known, self.moved):
                self.told.add("submitted")
                taken |= {job.folder for job in members}
                what = f"{count(len(members), 'run')} in {count(len(batch.tasks), 'task')}"
                self.log.say(f"submitted to {batch.scheduler} as {batch.job}: {what}")
        except AwayError as error:
            self.tell_away(error)
        except (UserError, OSError) as error:
            if "submitted" not in self.told and isinstance(error, UserError):
                raise
            for folder in [folder for folder in map(folder_of, jobs) if folder in self.open and folder not in taken]:
                self.give_up(folder, str(error))
        self.changed = time.monotonic()

    def moved(self, before: Job, now: Job) -> None:
        """Knows a run by what is submitted of it."""
        run = self.open.pop(before.folder)
        run.job, run.reached, run.result = now, stamp(now.folder / "checkpoint.pt"), stamp(now.folder / "result.json")
        self.open[now.folder] = run

    def is_stuck(self, place: Place) -> bool:
        """Whether a task has been stuck for longer than the scheduler's patience."""
        since = self.stuck.setdefault((place.batch.name, place.number), time.monotonic())
        return time.monotonic() - since >= self.scheduler.patience

    def tell_found(self, batches: Sequence[Batch], tasks: Tasks) -> None:
        """Says which tasks of an earlier command are followed."""
        for batch in batches:
            if any_alive(batch, tasks):
                self.told.add("submitted")
                self.log.say(f"following {batch.scheduler} {batch.job or batch.name}, submitted {batch.at}")

    def tell_waiting(self, tasks: Tasks) -> None:
        """Says why tasks wait, each reason once."""
        for words, number in Counter(state.words for state in tasks.values() if state.waits).items():
            self.say_once(f"waiting: {words}", f"{count(number, 'task')} waiting: {words}")

    def tell_away(self, error: AwayError) -> None:
        """Says once that the scheduler does not answer; gives up when it has not for long."""
        self.say_once("away", f"{self.name} does not answer ({error}); waiting")
        if (since := time.monotonic() - self.answered) > AWAY:
            for folder in list(self.open):
                self.give_up(folder, f"{self.name} has not answered for {duration(since)}; its task may still run")

    def say_once(self, key: str, words: str = "") -> None:
        """Tells `words`, or the key itself, unless it was told before."""
        if key not in self.told:
            self.told.add(key)
            self.log.say(words or key)

    def clear(self) -> None:
        """Removes the files of batches that are done with, and what their finished tasks printed."""
        batches = read_batches(self.root)
        try:
            tasks = self.scheduler.tasks(batches)
        except AwayError:
            return
        for batch in batches:
            failed = {number for number, folder in batch.runs() if self.is_unfinished(folder)}
            if not failed or (batch.job and not any_alive(batch, tasks)):
                forget_batch(self.root, batch, [one for one in range(len(batch.tasks)) if one not in failed])

    def is_unfinished(self, folder: str) -> bool:
        """Whether a run has not come to an end."""
        return (read_result(self.root / folder) or {}).get("status") not in TERMINAL


def places_of(root: Path, batches: Sequence[Batch], tasks: Tasks) -> dict[Path, Place]:
    """The task that has each run, by its folder: the last one, unless an earlier one is alive."""
    found: dict[Path, Place] = {}
    for batch in batches:
        for number, name in batch.runs():
            folder, state = root / name, tasks.get((batch.name, number), GONE)
            if folder not in found or not found[folder].state.alive:
                found[folder] = Place(batch, number, state)
    return found


def any_alive(batch: Batch, tasks: Tasks) -> bool:
    """Whether a task of `batch` waits or runs."""
    return any(tasks.get((batch.name, number), GONE).alive for number in range(len(batch.tasks)))


def is_cancelled(root: Path, batch: Batch) -> bool:
    """Whether `batch` was cancelled meanwhile."""
    try:
        return read_batch(root, batch.name).cancelled
    except (FileNotFoundError, UserError):
        return False


def folder_of(job: Job) -> Path:
    """Where a job lies now."""
    return settled(job).folder


def stamp(path: Path) -> Stamp:
    """What changes whenever the file `path` is written anew; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def last_line(path: Path) -> str:
    """The last line that a task printed, shortened; empty where there is none."""
    try:
        lines = [line for line in read_bytes(path).decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return f"{lines[-1].strip():.200}" if lines else ""
