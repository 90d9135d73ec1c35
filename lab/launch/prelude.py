"""What the seeds of a sweep can decide of its claims: told before the first run, and kept in `checked.json`."""

from collections.abc import Sequence

from lab.checks.prospects import FEWEST, alike_elsewhere, impossible, too_few
from lab.launch.earlier import spreads, stored_runs, thresholds
from lab.launch.remarks import home, tell
from lab.records.checked import Remark, keep_prospects
from lab.records.places import Job
from lab.studies.claims.study import Study
from lab.studies.select.scores import logged_tags


def tell_prospects(jobs: Sequence[Job], study: Study, auto: bool) -> None:
    """Tells what the seeds of `jobs` can decide of the claims, and writes it into the folder of their experiment."""
    found = claims_ahead(jobs, study, auto)
    tell(found)
    keep_prospects(home(jobs[0].config), found)


def claims_ahead(jobs: Sequence[Job], study: Study, auto: bool = False) -> list[Remark]:
    """What the seeds of `jobs` can decide of the claims.

    Args:
        jobs: all of the sweep; with `auto` all that it may need.
        study: what is claimed.
        auto: whether seeds are added by `seeds=auto`.
    """
    config = jobs[0].config
    if not study.claims or not config.lint.sweeps:
        return []
    num_seeds = len({job.config.seed for job in jobs})
    kindest, strictest = thresholds(config, len(study.claims), num_seeds, auto)
    runs = stored_runs(jobs)
    tests = spreads(study, runs)
    few = any(test is None or len(test.differences) < FEWEST for test in tests)
    others = alike_elsewhere(jobs, home(config)) if few else []
    tags, remarks = logged_tags([*runs, *others]), list[Remark]()
    for claim, test in zip(study.claims, tests, strict=True):
        metric = (claim.metric or study.metric).resolve(tags)
        said = [*impossible(claim, metric, num_seeds, kindest)]
        if not said and not auto:
            said = [*too_few(claim, metric, test, others, num_seeds, strictest)]
        remarks += said
    return [one for one in remarks if one.code not in config.lint.ignore]
