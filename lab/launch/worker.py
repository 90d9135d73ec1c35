"""A worker process of a sweep: how it starts and ends, what it checks before the first run, and a run in it."""

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.config import RunConfig, StudyConfig
from lab.errors import DamagedFileError, OwnPartError, UserError
from lab.identity import arm_hash
from lab.records.checked import Checked
from lab.records.lock import LockedError, LostLockError, is_locked
from lab.records.notes import noted
from lab.records.places import Job, settled
from lab.records.tuning import is_trial
from lab.studies.claims.study import Study, check_metrics, parse_study
from lab.system.reporter import note

if TYPE_CHECKING:
    from lab.runs.build import Parts

MOST_SECONDS = 5.0
"""Time in which the arms of a sweep are checked; of further ones it is found only whether they are alike."""

ELSEWHERE = "elsewhere"
"""Returned instead of a status if another process holds the run's lock."""

_side_by_side = 1
_busy = threading.Lock()
_asked = threading.Event()


def start_worker(stop: Connection, threads: int, side_by_side: int, card: str | None = None) -> None:
    """Prepares a worker: one thread where several work side by side, an ear for requests to stop, no orphans; and its
    GPU, where there are several."""
    if card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = card  # torch asks at its first use of a GPU
    from lab.system.devices import set_threads
    from lab.system.streams import last

    global _side_by_side
    _side_by_side = side_by_side
    last()  # who reads the sweep's output may leave before it ends
    set_threads(threads)
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()


def _listen(stop: Connection) -> None:
    """Has the run under way stopped with a checkpoint when that is asked for, or when the parent is gone; in that case
    ends this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel, stop])
    _asked.set()
    wait_for([parent.sentinel])
    with _busy:
        os._exit(1)


def check(jobs: Sequence[Job], whole: Sequence[Job] = (), study: StudyConfig | None = None) -> Checked:
    """Builds everything that each arm names, and trains none: raises `UserError` for the first bad one.

    A damaged data file, or a user's own part that fails, is left to its runs to report, unless all arms need it.

    Args:
        jobs: the runs to train.
        whole: all runs of their sweep, of which the comparison is checked; nothing is if empty.
        study: what the sweep asks, whose metrics are to be logged; that of `jobs` if None.

    Returns:
        What is to be said of that comparison.
    """
    from lab.checks.arm_facts import ArmFacts, bare_facts, facts_of
    from lab.checks.precheck import check_arms, configs_of, first_runs, rebuilt
    from lab.runs.build import assemble
    from lab.runs.origin import find_run
    from lab.runs.rehearsal import own_parts

    configs = [job.config for job in jobs]
    for config in configs:
        if config.start.run:
            try:
                find_run(config.start.run, config.seed)
            except UserError as error:
                raise UserError(f"{error}{trials_hint(config)}") from error
    arms = first_runs(jobs).values()
    lint = configs[0].lint
    alone: list[UserError] = []
    built: dict[tuple[str, int], ArmFacts] = {}
    tags: dict[str, tuple[str, ...]] = {}
    left, rushed = MOST_SECONDS if lint.sweeps else 0.0, 0

    def remember(job: Job, parts: "Parts") -> None:
        nonlocal left, rushed
        begun, key = time.monotonic(), (arm_hash(job.config), job.config.seed)
        if left > 0 and not own_parts(job.config):  # a user's code does what it likes, and only in its run
            built[key] = facts_of(job.config, job.arm, parts, lint.ignore)
        else:
            built[key] = bare_facts(job.config, job.arm, parts)
            rushed += lint.sweeps and left <= 0
        left -= time.monotonic() - begun

    for job in arms:
        try:
            with noted():  # each run repeats its own
                parts = assemble(job.config, stand_in=True)
                if whole:
                    remember(job, parts)
        except (DamagedFileError, OwnPartError) as error:
            alone.append(error)
        else:
            tags[arm_hash(job.config)] = parts.tags
    if len(alone) == len(arms):
        raise alone[0]
    for message in dict.fromkeys(str(error) for error in alone if isinstance(error, OwnPartError)):
        note(f"note: one arm will fail: {message}")
    study = study or configs[0].study
    asked = parse_study(study)
    check_logged(asked, list(tags.values()))
    arms = first_runs(whole)
    for digits, job in arms.items():
        if (digits, job.config.seed) not in built:  # trained before, and perhaps not possible to build any more
            with suppress(Exception), noted():
                remember(job, assemble(job.config, stand_in=True))
    facts = [built.get((digits, job.config.seed)) or bare_facts(job.config, job.arm) for digits, job in arms.items()]
    rebuild = rebuilt(configs_of(arms))
    return check_arms(facts, asked, rebuild, study.tune or (), lint.ignore, rushed) if facts else Checked()


def check_logged(asked: Study, tags: Sequence[tuple[str, ...]]) -> None:
    """Raises `UserError` where no arm logs a metric of `asked`, or not all of them log the one that is compared.

    Args:
        asked: by the sweep.
        tags: what each arm logs.
    """
    every = {tag for one in tags for tag in one}
    check_metrics(asked, every)
    metric = replace(asked, metric=asked.metric.resolve(every), claims=(), trained=None)
    for one in tags:
        check_metrics(metric, one)


def trials_hint(config: RunConfig) -> str:
    """What to do where an arm that `start.run` names has no run for a tuning trial."""
    if not is_trial(config.name) or not Path(config.start.run).expanduser().is_dir():
        return ""
    return (
        f". Tuning trials have separate seeds: train the source with seed={config.seed} too, or name one "
        "of its runs, for all to start from (tuning trials are then judged by images that it may have seen in training)"
    )


def work(job: Job) -> dict[str, Any]:
    """Trains one run in this process; its status is `ELSEWHERE` if another process holds its lock."""
    from lab.runs.run import run
    from lab.system.devices import set_threads

    with _busy:
        if is_locked(settled(job).folder):  # asked first, as `run` waits for a sign of another host
            return {**job.record(), "status": ELSEWHERE}
        if job.config.train.threads:
            set_threads(job.config.train.threads)
        try:
            return run(job, should_stop=_asked.is_set, side_by_side=_side_by_side)
        except LockedError as error:
            if isinstance(error, LostLockError):
                note(str(error))
            return {**job.record(), "status": ELSEWHERE}
