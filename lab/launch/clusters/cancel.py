"""Ends what was submitted to a cluster, and says so to whoever follows it."""

from dataclasses import replace
from pathlib import Path

from lab.errors import UserError
from lab.launch.clusters.scheduler import AwayError, scheduler_of
from lab.records.batches import read_batches, write_batch
from lab.studies.statistics.numerals import count


def cancel(root: Path) -> list[str]:
    """Cancels the batches of the experiment in `root`; returns a line for each.

    Raises:
        UserError: a scheduler is not here, or does not answer.
    """
    lines = []
    for batch in read_batches(root):
        scheduler = scheduler_of(batch.scheduler, batch.address)
        write_batch(root, replace(batch, cancelled=True))  # first: who follows it submits nothing again then
        try:
            scheduler.cancel([batch])
        except AwayError as error:
            raise UserError(f"{root}: {batch.scheduler} does not answer ({error}); try again") from None
        what = f"{count(len(batch.tasks), 'task')} of {batch.scheduler} {batch.job or batch.name}"
        lines.append(f"{root}: cancelled {what}; what its runs had reached stays, and the same command goes on")
    return lines
