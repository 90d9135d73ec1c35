"""What earlier runs of a sweep's arms show of their spread; no test is made of them."""

from collections.abc import Sequence

from lab.records.places import Job
from lab.records.results import Run, read_run
from lab.studies.claims.contrast import ClaimTest, put_to_test
from lab.studies.claims.study import Study
from lab.studies.select.arms import completed, swept_keys
from lab.studies.select.scores import counts, logged_tags, score_runs

FEWEST = 3
"""Seeds of earlier runs from which their spread is worth a number."""


def stored_runs(jobs: Sequence[Job]) -> list[Run]:
    """The runs of the arms of `jobs` that count, with whichever seeds, with complete configurations."""
    folders = dict.fromkeys(job.folder.parent for job in jobs)
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("seed=*"))]
    found = [run for path in paths if (run := read_run(path)) is not None and counts(run)]
    return completed(found)


def spreads(study: Study, runs: Sequence[Run]) -> list[ClaimTest | None]:
    """The differences that each claim is about, of which only the spread is used; None where no run has its metric."""
    tags, found = logged_tags(runs), list[ClaimTest | None]()
    for claim in study.claims:
        metric = (claim.metric or study.metric).resolve(tags)
        there = bool(runs) and not set(metric.tags) - tags
        found.append(put_to_test(claim, score_runs(runs, metric), runs, swept_keys(runs)) if there else None)
    return found
