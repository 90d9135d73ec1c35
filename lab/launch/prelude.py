"""What the seeds of a sweep can decide of its claims: told before the first run, and kept in `checked.json`."""

from collections.abc import Sequence

from lab.checks.prospects import alike_elsewhere, impossible, too_few
from lab.launch.earlier import FEWEST, spreads, stored_runs
from lab.launch.remarks import home, tell
from lab.records.checked import Remark, keep_prospects
from lab.records.interim import read_interim
from lab.records.places import Job
from lab.studies.claims.study import Study
from lab.studies.select.scores import logged_tags
from lab.studies.statistics.estimate import ALPHA
from lab.studies.statistics.group_sequential import planned_analyses, planned_levels
from lab.studies.statistics.spending import counted_analyses, level


def tell_prospects(jobs: Sequence[Job], study: Study, auto: bool) -> None:
    """Prints what the seeds of `jobs` can decide of the claims, and writes it into the folder of their experiment."""
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
    root, num_seeds = home(config), len({job.config.seed for job in jobs})
    if auto:
        threshold = planned_levels(planned_analyses(config.study.max_seeds), ALPHA / len(study.claims))[-1]
    else:
        threshold = level(counted_analyses(read_interim(root).num_seeds, num_seeds))
    runs = stored_runs(jobs)
    tests = spreads(study, runs)
    few = any(test is None or len(test.differences) < FEWEST for test in tests)
    others = alike_elsewhere(jobs, root) if few else []
    remarks = list(impossible(study, logged_tags([*runs, *others]), num_seeds, threshold))
    said = {one.text.partition("': ")[0] for one in remarks}
    own = threshold / (1 if auto else len(study.claims))
    later = [*too_few(study, tests, others, num_seeds, own)] if not auto else []
    remarks += [one for one in later if one.text.partition("': ")[0] not in said]
    return [one for one in remarks if one.code not in config.lint.ignore]
