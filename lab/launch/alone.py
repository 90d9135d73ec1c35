"""One run in this process, with the record of what it is for."""

from collections.abc import Collection
from typing import Any

from lab.config import RunConfig
from lab.launch.changed import change_notes
from lab.launch.register import register
from lab.records.notes import notes_text
from lab.records.places import Job
from lab.records.results import read_result
from lab.runs.progress import Progress
from lab.studies.claims.study import check_metrics, parse_study
from lab.studies.select.reference import check_keys
from lab.system.machine import is_first_process, local_rank, num_processes
from lab.system.reporter import note, say
from lab.validation import is_elsewhere


def needs_sweep(jobs: list[Job], auto: bool) -> bool:
    """Whether `jobs` end in a comparison: they are several, go to a cluster, or there is something to decide or tune.

    Raises:
        UserError: what a single run is for is wrong.
    """
    study = jobs[0].config.study
    if auto or len(jobs) > 1 or study.claims or study.tune or is_elsewhere(jobs[0].config.on):
        return True
    check_keys(study.reference)
    check_metrics(parse_study(study))
    return False


def train_alone(job: Job, progress: Progress | None) -> dict[str, Any]:
    """Trains one run to its end, unless it has a terminal status already.

    Args:
        job: what to run, and where.
        progress: where to show it; nowhere if None.

    Returns:
        The content of `result.json`.

    Raises:
        UserError: the configuration is wrong, the folder cannot be written, or its source did not end well.
        KeyboardInterrupt: its source was stopped, and has a checkpoint.
    """
    study, first = parse_study(job.config.study), is_first_process()
    for line in change_notes([job]) if first else ():
        note(line)
    if job.is_terminal():
        return read_result(job.folder) or {}
    from lab.runs.run import run
    from lab.system.devices import set_threads
    from lab.training.parallel import joined

    named = job.config.name != RunConfig().name  # single runs under the default name are attempts

    def begin(tags: Collection[str]) -> None:
        check_metrics(study, tags)
        if named:
            register([job], job.folder.parent.parent)

    set_threads(job.config.train.threads)
    with joined(num_processes(), *local_rank(), job.config.train.device):
        train_source(job, progress)
        result = run(job, progress, begin=begin)
    for line in notes_text([result]) if first else ():
        note(line)
    return result


def train_source(job: Job, progress: Progress | None) -> None:
    """Trains the run that `job` starts from, where it is missing, after a check of `job` itself; see `train_alone`."""
    from lab.launch.sources import missing_sources, refuse_unfinished
    from lab.records.notes import noted
    from lab.runs.build import assemble
    from lab.runs.run import run
    from lab.training.parallel import current_ranks

    for source in missing_sources([job]):
        with noted():  # the run repeats its own
            tags = assemble(job.config, stand_in=True).tags
        check_metrics(parse_study(job.config.study), tags)
        if is_first_process():
            say(f"1 source first, which the run starts from: {source.folder}")
        result = run(source, progress)
        current_ranks().agree(True)  # all wait for the first, which writes the result
        if result["status"] == "interrupted":
            raise KeyboardInterrupt
    refuse_unfinished([job])
