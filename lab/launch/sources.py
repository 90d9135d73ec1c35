"""Sources: runs that are trained before those that start from them (`start.source`)."""

from collections.abc import Sequence

from lab.errors import UserError
from lab.records.outcome import outcome
from lab.records.places import Job, settled
from lab.records.results import read_result
from lab.records.sources import source_jobs
from lab.studies.statistics.numerals import count


class SourceError(UserError):
    """A source did not end well, so nothing is trained from it."""

    exit_code = 1


def missing_sources(jobs: Sequence[Job]) -> list[Job]:
    """The sources of `jobs` that are still to be trained."""
    return [job for job in source_jobs(jobs) if not job.is_terminal()]


def refuse_unfinished(jobs: Sequence[Job]) -> None:
    """Raises `SourceError` where sources of `jobs` did not end well, in one message; a comparison is for all seeds."""
    bad = []
    for job in map(settled, source_jobs(jobs)):
        result = read_result(job.folder) or {"status": "not finished"}
        if result["status"] != "finished":
            bad.append(f"{job.folder}: {result.get('error') or outcome(result)}")
    if bad:
        remedy = "change start.source, or leave out the seed; force=true trains a source again"
        first = f"start.source: {count(len(bad), 'source')} did not end well, so no run starts ({remedy}):"
        raise SourceError("\n  ".join([first, *bad]))
