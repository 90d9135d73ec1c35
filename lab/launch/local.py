"""Trains runs side by side in worker processes: a slot is a process, and one that dies takes a single run with it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lab.config import RunConfig, StudyConfig
from lab.launch.drain import REPEATS, drain
from lab.launch.remarks import tell_arms
from lab.launch.slots import DiedError, Slot, Stop, first_ready, kill_all, make_context, stop_server
from lab.launch.sources import missing_sources, refuse_unfinished
from lab.launch.worker import check, start_worker
from lab.records.places import Job
from lab.studies.statistics.numerals import count
from lab.system.machine import gpu_cards, num_cores
from lab.system.reporter import reporter, say
from lab.system.signals import farewell, on_first_stop_signal
from lab.validation import is_elsewhere

UNLIMITED = 10**6
"""Tasks of a cluster that may run at a time, where nothing is said of it."""


def train_runs(
    jobs: list[Job], sweep: Sequence[Job] = (), study: StudyConfig | None = None
) -> tuple[bool, dict[Path, str]]:
    """Trains `jobs` in processes side by side, first the sources that they start from, where those are missing.

    A run that fails, or whose process dies, does not stop the others. A run that a signal ended, though nobody stopped
    this command, is repeated (`REPEATS`). Runs that another command has locked are left to it, and waited for at the
    end.

    Args:
        jobs: one or more.
        sweep: all runs of the sweep that they belong to; keys of it that do nothing are told before the first run.
        study: what the sweep asks, whose metrics are to be logged; that of `jobs` if None.

    Returns:
        Whether a stop signal ended it early, with a checkpoint for every run that was under way; and what went wrong,
        by the folders of the runs that failed.

    Raises:
        UserError: a configuration is wrong, or no run logs a metric of their study.
        SourceError: a source did not end well.
    """
    stop, slots = Stop(), list[Slot]()
    num_slots, threads = share_machine(jobs[0].config)
    cards = cards_for(jobs[0].config)
    num_open = min(num_slots, len(jobs))
    with stop_on_signals(stop, slots), farewell(partial(kill_all, slots)):
        context = make_context(["lab.runs.preload"])  # torch is imported once, not once a process

        def open_slot(number: int) -> Slot:
            return Slot(context, start_worker, stop.reader, threads, num_open, card_of(number, cards))

        try:
            for number in range(num_open):
                slots.append(open_slot(number))
            errors = dict[Path, str]()
            if _check(slots, open_slot, stop, jobs, sweep, study or jobs[0].config.study):
                stop.training = True
                errors = sources_first(jobs, stop, lambda some: drain(some, slots, open_slot, stop))
        except BaseException:
            stop.ask()  # whatever went wrong here, the runs under way keep what they have
            raise
        finally:
            for slot in slots:
                slot.close()
            stop.close()
    return stop.asked, errors


def sources_first(jobs: list[Job], stop: Stop, train: Callable[[list[Job]], dict[Path, str]]) -> dict[Path, str]:
    """Has `train` do the missing sources of `jobs`, then `jobs`; returns what went wrong with those, by folder.

    Raises:
        SourceError: a source did not end well.
    """
    if sources := missing_sources(jobs):
        say(f"{count(len(sources), 'source')} first, which runs start from")
        train(sources)
    if stop.asked:
        return {}
    refuse_unfinished(jobs)
    return train(jobs)


def check_alone(jobs: list[Job], sweep: Sequence[Job], study: StudyConfig, stop: Stop) -> bool:
    """Has one process check all arms of runs that are trained elsewhere; whether there was time for that.

    Raises:
        UserError: a configuration is wrong.
    """
    slots = list[Slot]()
    with farewell(partial(kill_all, slots)):
        context = make_context(["lab.runs.preload"])
        open_slot: Callable[[int], Slot] = lambda _: Slot(context, start_worker, stop.reader, 0, 1)  # noqa: E731
        slots.append(open_slot(0))
        try:
            return _check(slots, open_slot, stop, jobs, sweep, study)
        finally:
            for slot in slots:
                slot.close()
            stop_server()  # nobody needs it while a cluster trains


def _check(
    slots: list[Slot],
    open_slot: Callable[[int], Slot],
    stop: Stop,
    jobs: Sequence[Job],
    sweep: Sequence[Job],
    study: StudyConfig,
) -> bool:
    """Has the first slot check all arms, tells and keeps what it finds; whether there was time for that.

    Raises:
        UserError: a configuration is wrong.
        DiedError: the process died, time after time.
    """
    for attempt in range(1 + REPEATS):
        slots[0].submit(check, jobs, sweep, study)
        if not first_ready(slots[:1], stop):  # nothing is under way yet that is worth keeping
            kill_all(slots)
            return False
        try:
            tell_arms(slots[0].result(), sweep)
            return True
        except DiedError:
            if attempt == REPEATS:
                raise
            slots[0].close()
            slots[0] = open_slot(0)
    raise AssertionError("the last attempt returns or raises")


def share_machine(config: RunConfig) -> tuple[int, int]:
    """How many runs work side by side, and the CPU threads of each (0: all cores); of a cluster at most.

    Both are the same however many runs are left to do: another number of threads rounds differently, and a resumed
    sweep shall end with the numbers of one that was never interrupted.
    """
    if is_elsewhere(config.on):
        return config.on.array_limit or UNLIMITED, config.on.cpus
    automatic = num_cores() if config.train.device == "cpu" or not has_gpu() else max(1, len(cards_for(config)))
    slots = config.jobs or automatic
    return slots, 1 if slots > 1 else 0


def cards_for(config: RunConfig) -> list[str]:
    """The GPUs that the runs of a sweep share: all that there are, unless `train.device` names one or none."""
    return gpu_cards() if config.train.device in ("auto", "cuda") else []


def card_of(number: int, cards: Sequence[str]) -> str | None:
    """The GPU of slot `number`: one each, and in turn again where there are more slots; None where all is visible."""
    return cards[number % len(cards)] if len(cards) > 1 else None


def has_gpu() -> bool:
    """Whether an NVIDIA driver is loaded, as the system tells it: asking torch would cost its import."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and (Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists())


@contextmanager
def stop_on_signals(stop: Stop, slots: list[Slot]) -> Iterator[None]:
    """The first stop signal asks all runs to stop with a checkpoint; a second one stops at once."""

    def ask() -> bool:
        if not slots:  # nothing has begun: a server that is still importing would have to be waited for
            return False
        stop.ask()
        if stop.training:
            reporter().alert("\nstopping: each run under way writes its checkpoint (again to stop at once)")
        return True

    with on_first_stop_signal(ask, partial(kill_all, slots)):
        yield
