"""`lab plan`: what a command would train, how long that takes, and whether its seeds can decide the claims.

Nothing is trained or written, and no test is made: of earlier runs only the spread counts, and what their last analysis
said. So planning is no interim analysis.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from lab.checks.prospects import FEWEST
from lab.config import StudyConfig
from lab.launch.asked import asked
from lab.launch.auto import check_design
from lab.launch.earlier import spreads, stored_runs, thresholds
from lab.launch.local import share_machine
from lab.launch.pace import forecast
from lab.launch.sources import missing_sources
from lab.launch.tunable import check_tuning
from lab.launch.tune import make_trials, tuned_jobs
from lab.records.places import Job, arm_label, by_arm
from lab.records.shelf import read_claims
from lab.records.sources import source_jobs
from lab.records.tuning import read_tuning
from lab.space import grid_size, most_points, num_points, points, space
from lab.studies.claims.contrast import ClaimTest
from lab.studies.claims.study import parse_study
from lab.studies.select.scores import logged_tags
from lab.studies.select.selectors import label_full
from lab.studies.statistics.estimate import spread
from lab.studies.statistics.group_sequential import planned_analyses
from lab.studies.statistics.numerals import count, duration, seed_spans
from lab.studies.statistics.power import MOST_SEEDS, POWER, least_effect, seeds_needed


def outlook(jobs: list[Job], auto: bool) -> str:
    """The plan of `jobs`, of one experiment, as text.

    Args:
        jobs: all runs of the command; with `auto` all that it may need.
        auto: whether seeds are added by `seeds=auto`.

    Raises:
        UserError: the study is wrong, or `auto` is not possible, as when it is trained.
    """
    config = jobs[0].config
    study, tuned = parse_study(config.study), config.study.tune or {}
    if tuned:
        check_tuning(jobs, study)
    study = asked(jobs, study, auto)
    root, lines, everything = Path(config.out) / config.name, list[str](), list(jobs)
    if auto:
        check_design(config, study, root)
    if tuned:
        every = make_trials(jobs, study.metric.for_choosing(), points(config.study))
        trials = [job for members in every.values() for job in members]
        done, everything = sum(job.is_terminal() for job in trials), [*jobs, *trials]
        lines = [f"{count(len(trials), 'tuning trial')} first, {done} finished{budget_words(config.study)}"]
        tuning = read_tuning(root)
        jobs = (
            tuned_jobs(jobs, {arm.base_id: arm.picked for arm in tuning.arms if arm.picked} if tuning else {}) or jobs
        )
    num_seeds = len({job.config.seed for job in jobs})
    lines = [*run_lines(jobs, auto), *source_lines(everything), *lines]
    runs = stored_runs(jobs)
    tags = logged_tags(runs)
    _, threshold = thresholds(config, len(study.claims), num_seeds, auto)
    said = verdicts_so_far(root)
    for number, test in enumerate(spreads(study, runs), start=1):
        claim = study.claims[number - 1]
        lines += ["", f"claim {number}: {claim.say}", *(f"  {one}" for one in said.get(claim.say, ()))]
        metric = (claim.metric or study.metric).resolve(tags)
        lines += [f"  {one}" for one in claim_lines(test, claim.kind, claim.margin, num_seeds, threshold, metric.unit)]
        if metric.is_time_to:
            lines += [f"  {one}" for one in sign_lines(num_seeds, threshold)]
    return "\n".join(lines)


def budget_words(study: StudyConfig) -> str:
    """What each arm tries, where its points are drawn: `; 16 values an arm, optimizer.lr=log(0.0001, 1)`."""
    axes, number = space(study.tune), num_points(study)
    if number == grid_size(axes):
        return ""
    widened = most_points(study) - number
    more = f", and up to {widened} further ones where an arm is best near an end" * bool(widened)
    return f"; {number} values an arm{more}, drawn from {label_full(study.tune)}"


def run_lines(jobs: Sequence[Job], auto: bool) -> list[str]:
    """The runs in all and arm by arm, and the time that those to do should take."""
    config, seeds = jobs[0].config, sorted({job.config.seed for job in jobs})
    arms = by_arm(jobs)
    missing = [job for job in jobs if not job.is_terminal()]
    most = "at most " if auto else ""
    lines = [
        f"{config.name}: {most}{count(len(jobs), 'run')}, {count(len(arms), 'arm')}, {seed_spans(seeds)}; "
        f"{len(jobs) - len(missing)} finished, {most}{len(missing)} to do"
    ]
    if auto:
        analyses = ", ".join(map(str, planned_analyses(config.study.max_seeds)))
        lines.append(f"claims are analysed with {analyses} seeds, until all are decided")
    for members in arms.values():
        done = sum(job.is_terminal() for job in members)
        lines.append(f"  {arm_label(members[0].arm)}: {done} of {len(members)} finished")
    if missing:
        slots = min(share_machine(config)[0], len(missing))
        time = forecast(missing, jobs, slots)
        known = time and f"{most}about {duration(time.seconds)}, {slots} side by side, {time.based_on}"
        lines.append(f"expected time: {known or 'not known, as no run like these is finished'}")
    return lines


def source_lines(jobs: Sequence[Job]) -> list[str]:
    """The sources that are trained before `jobs`, and the time that those to do should take."""
    sources = source_jobs(jobs)
    missing = missing_sources(jobs)
    if not sources:
        return []
    found = forecast(missing, sources, share_machine(jobs[0].config)[0]) if missing else None
    time = f", about {duration(found.seconds)}" if found else ""
    return [f"{count(len(sources), 'source')} first, {len(sources) - len(missing)} finished{time}"]


def verdicts_so_far(root: Path) -> dict[str, list[str]]:
    """What the last analysis said of each claim: a line, by its words."""
    lines: dict[str, list[str]] = {}
    for one in read_claims(root):
        needed = one.get("seeds_needed")
        further = f"; about {count(needed, 'further seed')} would decide it" if needed else ""
        lines.setdefault(one["say"], []).append(f"{one['verdict']} after {count(one['n'], 'seed')}{further}")
    return lines


def claim_lines(
    test: ClaimTest | None, kind: str, margin: float, num_seeds: int, threshold: float, unit: str
) -> list[str]:
    """What `num_seeds` can decide of a claim, at the spread of earlier runs if there are enough of them."""
    if num_seeds < 2:
        return ["undecidable with 1 seed: a verdict needs at least 2"]
    values = max((one.differences for one in test.contrasts), key=scatter) if test else []
    power = f"power {POWER:g}, p below {threshold:.2g}"
    if len(values) < FEWEST or not 0 < scatter(values) < math.inf:
        why = "the spread is not known" if len(values) < FEWEST else "the spread of earlier runs says nothing"
        if kind == "same":
            return [f"no number of seeds: {why}"]
        least = least_effect(num_seeds, threshold)
        beside = f"{least:.2g} standard deviations (of a seed's difference) from {margin:g}"
        return [f"{count(num_seeds, 'seed')} show a true difference {beside} ({power}); {why}"]
    deviation, based = spread(values), f"at the spread of {len(values)} seeds, {spread(values):.2g}"
    if kind == "same":
        mean = math.fsum(values) / len(values)
        further = seeds_needed([value - mean for value in values], [-margin, margin], threshold)
        if further is None:
            return [f"{MOST_SEEDS:,} seeds would not show it, even without any difference, {based}"]
        needed = "more than there are" if len(values) + further > num_seeds else "of those there are"
        return [f"about {len(values) + further} seeds show it, {needed}, if nothing differs ({power}, {based})"]
    least = f"{least_effect(num_seeds, threshold) * deviation:.2g} {unit}".rstrip()
    return [f"{count(num_seeds, 'seed')} show a true difference about {least} from {margin:g} ({power}, {based})"]


def scatter(values: Sequence[float]) -> float:
    """The spread; infinite where a value is, 0 for fewer than two."""
    if not all(map(math.isfinite, values)):
        return math.inf
    return spread(values) if len(values) > 1 else 0.0


def sign_lines(num_seeds: int, threshold: float) -> list[str]:
    """Whether seeds in which a side never gets there can decide, by their signs alone."""
    if 0.5**num_seeds < threshold:
        return []
    needed = math.floor(-math.log2(threshold)) + 1
    return [
        f"undecidable with {count(num_seeds, 'seed')} if a run never gets there: the smallest p is then "
        f"{0.5**num_seeds:.2g}, the threshold {threshold:.2g}; {needed} seeds can"
    ]
