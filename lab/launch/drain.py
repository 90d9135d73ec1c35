"""The runs of a sweep on their way through the slots: what waits, what is under way, what is repeated, what failed."""

from collections import Counter, deque
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.launch.pace import UnderWay
from lab.launch.slots import DiedError, Slot, Stop, first_ready
from lab.launch.sweep_log import SweepLog
from lab.launch.worker import ELSEWHERE, work
from lab.metric import parse_metric
from lab.records.lock import LockedError, is_locked
from lab.records.places import TERMINAL, Job, claimed, settled
from lab.records.results import read_result
from lab.records.write import write_json
from lab.studies.statistics.numerals import count
from lab.system.reporter import reporter
from lab.system.signals import farewell

RECHECK = 0.5
"""Seconds between two checks of the runs that other processes have locked."""

REPEATS = 2
"""How often a run that a signal ended is repeated. Who has too little memory is killed again each time."""


class Drain:
    """The runs of a sweep on their way: those that wait, those under way, and what went wrong."""

    def __init__(self, jobs: list[Job], slots: list[Slot], open_slot: Callable[[int], Slot], stop: Stop):
        self.queue = deque(sorted(jobs, key=lambda job: job.config.seed))  # all arms early, not all seeds of one
        self.slots, self.open_slot, self.stop = slots, open_slot, stop
        self.free, self.running = deque(range(len(slots))), dict[int, UnderWay]()
        self.elsewhere: list[Job] = []
        self.cut = Counter[Path]()
        """How often a signal ended each run, by its folder."""
        self.errors: dict[Path, str] = {}
        self.log = SweepLog(jobs, parse_metric(jobs[0].config.study.metric), len(slots))

    def fill(self) -> None:
        """Gives every free slot a run."""
        while self.queue and self.free and not self.stop.asked:
            number = self.free.popleft()
            if self.slots[number].is_gone():
                self.replace(number)
            self.running[number] = UnderWay(job := self.queue.popleft())
            self.slots[number].submit(work, job)

    def replace(self, number: int) -> None:
        """Another process in place of one that died."""
        self.slots[number].close()
        self.slots[number] = self.open_slot(number)

    def collect(self) -> None:
        """Waits for the first runs to end, and reports them; shows the others meanwhile."""
        by_slot = {self.slots[number]: number for number in self.running}
        self.log.watch(list(self.running.values()), None if self.stop.asked else self.queue)
        for slot in first_ready(list(by_slot), self.stop, self.log.pause):
            number = by_slot[slot]
            one = self.running.pop(number)
            job = one.job
            self.free.append(number)
            try:
                result = slot.result()
                self.log.pace.took(one)
            except DiedError as error:
                if not self.stop.asked:
                    self.replace(number)
                self.end_by_signal(job, error)
                continue
            except Exception as error:
                result = fail(job, error)
            self.take(job, result)

    def take(self, job: Job, result: dict[str, Any]) -> None:
        """Reports how a run ended."""
        if result["status"] == ELSEWHERE:
            self.elsewhere.append(job)
        elif result["status"] == "interrupted" and not self.stop.asked:
            self.end_by_signal(job, None)
        else:
            job = settled(job)
            self.log.show(job, result)
            if "error" in result:
                self.errors[job.folder] = result["error"]

    def end_by_signal(self, job: Job, error: DiedError | None) -> None:
        """Repeats a run that a signal ended, or says so of one where that has not helped."""
        if self.stop.asked:
            return
        self.cut[job.folder] += 1
        how = f"its process died: {error.ended_by}" if error else "it was interrupted by a signal"
        if self.cut[job.folder] <= REPEATS:
            name = settled(job).folder
            self.log.say(f"{name.parent.name} {name.name}: {how}; it is repeated")
            self.queue.append(job)
        elif error:
            self.take(job, fail(job, error))
        else:
            self.errors[settled(job).folder] = f"{how}, {count(1 + REPEATS, 'time')}"

    def wait_elsewhere(self, told: bool) -> None:
        """Checks, now and then, the runs that other processes have locked."""
        if not told:
            number = "1 run is" if len(self.elsewhere) == 1 else f"{len(self.elsewhere)} runs are"
            self.log.say(f"{number} being trained by another process; waiting")
        self.log.watch([], self.elsewhere)
        first_ready([], self.stop, RECHECK)
        self.elsewhere = _recheck(self.elsewhere, self.queue, self.log)


def drain(jobs: list[Job], slots: list[Slot], open_slot: Callable[[int], Slot], stop: Stop) -> dict[Path, str]:
    """Keeps every slot busy until the queue is empty or `stop` is asked, and reports each run as it ends.

    Returns:
        The errors of runs that failed, by folder.
    """
    found, told = Drain(jobs, slots, open_slot, stop), False
    with closing(found.log), farewell(reporter().leave):
        while found.running or ((found.queue or found.elsewhere) and not stop.asked):
            found.fill()
            if found.running:
                found.collect()
            elif not stop.asked:
                found.wait_elsewhere(told)
                told = True
    return found.errors


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


def fail(job: Job, error: BaseException) -> dict[str, Any]:
    """Records a run as failed whose process could not do that itself."""
    message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    result = {**job.record(), "error": message}
    result |= {"ended_by": error.ended_by} if isinstance(error, DiedError) else {}
    # A disk that is full is told at the end; and another command may have taken over already.
    with suppress(OSError, LockedError), claimed(job) as (mine, _):
        write_json(mine.folder / "result.json", result)
    return result
