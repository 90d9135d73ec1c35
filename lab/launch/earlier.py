"""What earlier runs of a sweep's arms show of their spread; no test is made of them."""

from collections.abc import Sequence
from pathlib import Path

from lab.config import RunConfig
from lab.records.interim import read_interim
from lab.records.named import in_all_names
from lab.records.places import Job
from lab.records.results import Run, read_run
from lab.studies.claims.contrast import ClaimTest, put_to_test
from lab.studies.claims.study import Study
from lab.studies.select.arms import completed, swept_keys
from lab.studies.select.scores import counts, logged_tags, score_runs
from lab.studies.statistics.estimate import ALPHA
from lab.studies.statistics.group_sequential import planned_analyses, planned_levels
from lab.studies.statistics.spending import counted_analyses, level


def thresholds(config: RunConfig, num_claims: int, num_seeds: int, auto: bool) -> tuple[float, float]:
    """What p has to fall below at the next analysis, or at the last one of `seeds=auto`: at most, and at least, of what
    Holm's adjustment asks of one claim of several."""
    if auto:
        last = planned_levels(planned_analyses(config.study.max_seeds), ALPHA / num_claims)[-1]
        return last, last
    found = level(counted_analyses(read_interim(Path(config.out) / config.name).num_seeds, num_seeds))
    return found, found / max(num_claims, 1)


def stored_runs(jobs: Sequence[Job]) -> list[Run]:
    """The runs of the arms of `jobs` that count, with whichever seeds, with complete configurations."""
    folders = dict.fromkeys(job.folder.parent for job in jobs)
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("seed=*"))]
    found = [run for path in paths if (run := read_run(path)) is not None and counts(run)]
    return completed(in_all_names(found))


def spreads(study: Study, runs: Sequence[Run]) -> list[ClaimTest | None]:
    """The differences that each claim is about, of which only the spread is used; None where no run has its metric."""
    tags, found = logged_tags(runs), list[ClaimTest | None]()
    for claim in study.claims:
        metric = (claim.metric or study.metric).resolve(tags)
        there = bool(runs) and not set(metric.tags) - tags
        found.append(put_to_test(claim, score_runs(runs, metric), runs, swept_keys(runs)) if there else None)
    return found
