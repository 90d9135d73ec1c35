"""Trains the runs of a sweep where `on` says: in processes of this machine, or as tasks of a cluster."""

from collections.abc import Sequence
from pathlib import Path

from lab.config import RunConfig, StudyConfig
from lab.launch import local
from lab.launch.clusters.follow import Following
from lab.launch.clusters.scheduler import scheduler_of
from lab.launch.slots import Stop
from lab.records.places import Job
from lab.system.signals import on_first_stop_signal
from lab.validation import is_elsewhere


def train_runs(
    jobs: list[Job], sweep: Sequence[Job] = (), study: StudyConfig | None = None
) -> tuple[bool, dict[Path, str]]:
    """As `lab.launch.local.train_runs`; on a cluster a stop signal ends only this command, and the tasks go on."""
    config = jobs[0].config
    if not is_elsewhere(config.on):
        return local.train_runs(jobs, sweep, study)
    scheduler, stop, errors = scheduler_of(config.on.name, config.on.address), Stop(), dict[Path, str]()
    try:
        with on_first_stop_signal(stop.ask):
            if local.check_alone(jobs, sweep, study or config.study, stop):
                errors = local.sources_first(jobs, stop, lambda some: Following(some, scheduler, stop).run())
    finally:
        stop.close()
    return stop.asked, errors


def how_to_go_on(config: RunConfig) -> str:
    """What to say of a sweep whose command was interrupted."""
    if not is_elsewhere(config.on):
        return "interrupted; the same command goes on where this one stopped"
    root = Path(config.out) / config.name
    return (
        f"interrupted; what was submitted to {config.on.name} goes on. The same command follows it and compares at the "
        f"end, lab status {root} shows how far it is, lab cancel {root} ends it"
    )
