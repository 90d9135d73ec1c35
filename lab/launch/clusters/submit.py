"""Runs on their way to a scheduler: their configurations are written, and batches of tasks are made of them."""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lab.errors import UserError
from lab.identity import flatten
from lab.launch.clusters.scheduler import Scheduler
from lab.records.batches import LOCK, Batch, Given, forget_batch, read_batches, write_batch
from lab.records.lock import LockedError, locked
from lab.records.places import ARMS_LOCK, Job, arm_folders, claimed, inside, run_folder
from lab.records.write import write_atomically
from lab.validation import all_keys


def submit(
    jobs: Sequence[Job], root: Path, scheduler: Scheduler, known: set[str], moved: Callable[[Job, Job], object]
) -> Iterator[tuple[Batch, list[Job]]]:
    """Writes the configurations of `jobs` into their folders and submits them, batch by batch.

    Args:
        jobs: runs of the experiment in `root`.
        root: its folder.
        scheduler: what takes them.
        known: names of the batches that were there when `jobs` were found to be in none; what another command has
            submitted since is left to that.
        moved: is told of each job, as it was, what is submitted of it: in the folder where it lies now, and not to be
            started over by every turn of its task.

    Yields:
        Each batch as it was taken, with its runs.

    Raises:
        UserError: the scheduler refuses the next batch; `OSError` if a folder is not possible to write.
        AwayError: it does not answer; a batch that it may have taken is kept.
    """
    root.mkdir(parents=True, exist_ok=True)
    with locked(root, LOCK, wait=True):
        others = [batch for batch in read_batches(root) if batch.name not in known and not batch.cancelled]
        taken = {root / folder for batch in others for _, folder in batch.runs()}
        writer, ready, on = ConfigWriter(), list[Job](), jobs[0].config.on
        for job, place in zip(jobs, with_arms(jobs, root), strict=True):
            if place.folder not in taken and (prepared := writer.prepare(place)):
                moved(job, prepared)
                ready.append(prepared)
        for part in chunks(ready, on.runs_a_job * scheduler.most_tasks):
            batch = batch_of(part)
            write_batch(root, batch)
            try:
                batch = replace(batch, job=scheduler.submit(batch, root, on, any(map(names_code, part))))
            except UserError:
                forget_batch(root, batch, ())
                raise
            write_batch(root, batch)
            yield batch, part


def with_arms(jobs: Sequence[Job], root: Path) -> list[Job]:
    """`jobs` in the folders of their arms, which are made, all at once; see `lab.records.places.claimed`."""
    if all(job.folder.parent.is_dir() for job in jobs):
        return list(jobs)
    found = []
    with locked(root, ARMS_LOCK, wait=True):
        known = arm_folders(root)
        for job in jobs:
            if not job.folder.parent.is_dir():
                job = replace(job, folder=run_folder(job.config, job.arm, known))
                inside(root, job.folder.parent.name).mkdir(exist_ok=True)
            found.append(job)
    return found


def chunks(jobs: Sequence[Job], size: int) -> Iterator[list[Job]]:
    """`jobs` in lists of at most `size`."""
    for start in range(0, len(jobs), size):
        yield list(jobs[start : start + size])


def batch_of(jobs: Sequence[Job]) -> Batch:
    """A new batch of `jobs`, `on.runs_a_job` a task."""
    config = jobs[0].config
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", config.name).strip("-.")[:40] or "lab"
    tasks = tuple(tuple(map(given, part)) for part in chunks(jobs, config.on.runs_a_job))
    return Batch(
        name=f"{label}-{secrets.token_hex(4)}",
        scheduler=config.on.name,
        address=config.on.address,
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        command=jobs[0].command,
        cpus=config.on.cpus,
        tasks=tasks,
    )


def given(job: Job) -> Given:
    """What a task is told of `job`; the rest is in its `config.yaml`."""
    folder = f"{job.folder.parent.name}/{job.folder.name}"
    return {"folder": folder, "arm": job.arm, "overrides": job.overrides, "place": job.place, "names": list(job.names)}


def names_code(job: Job) -> bool:
    """Whether the configuration of `job` names a user's own code."""
    return any(all_keys()[key].knob.own and ":" in str(value) for key, value in flatten(job.config).items())


class ConfigWriter:
    """Writes `config.yaml` into the folders of runs; for all seeds of an arm the text is made once."""

    def __init__(self) -> None:
        self._texts: dict[Path, str] = {}

    def prepare(self, job: Job) -> Job | None:
        """Writes the configuration of `job`, which is not started over again then by each turn of its task; returns it
        in its folder. None where another process has it locked.

        Raises:
            OSError: the folder is not possible to write.
        """
        if not job.folder.exists() and not job.folder.is_symlink():
            job.folder.mkdir()  # nobody can have trained it
            self._write(job)
            return job
        try:
            with claimed(job) as (mine, _):
                if mine.config.force:
                    from lab.runs.run import start_folder

                    start_folder(mine)
                    mine = replace(mine, config=replace(mine.config, force=False))
                self._write(mine)
                return mine
        except LockedError:
            return None

    def _write(self, job: Job) -> None:
        import yaml

        if job.folder.parent not in self._texts:
            dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
            self._texts[job.folder.parent] = yaml.dump(asdict(job.config), Dumper=dumper, sort_keys=False)
        text = re.sub(r"^seed: .*$", f"seed: {job.config.seed}", self._texts[job.folder.parent], flags=re.MULTILINE)
        write_atomically(job.folder / "config.yaml", text.encode(), lasting=False)  # the run writes it again
