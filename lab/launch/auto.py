"""`seeds=auto`: seeds are added, analysis by analysis, to the arms of claims that are still open."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.config import RunConfig
from lab.errors import UserError
from lab.launch.ended import Ended
from lab.launch.local import share_machine
from lab.launch.pace import forecast
from lab.launch.register import register, remember_runs
from lab.launch.sweep import compare_jobs, interrupted, stopped_early, sweep
from lab.launch.train import train_runs
from lab.records.design import Design, read_design, write_design
from lab.records.interim import read_interim
from lab.records.named import in_all_names
from lab.records.places import Job, by_arm, settled
from lab.records.results import failures, read_result, read_run
from lab.studies.claims.stages import claim_facts
from lab.studies.claims.study import Study, parse_study
from lab.studies.claims.verdict import Verdict, judge
from lab.studies.select.arms import completed
from lab.studies.select.scores import counts
from lab.studies.statistics.group_sequential import FUTILE, holm_levels, planned_analyses
from lab.studies.statistics.numerals import count
from lab.system.reporter import note, say
from lab.validation import parse_duration


def auto_sweep(jobs: list[Job]) -> Ended:
    """Trains as many seeds of `jobs`, which has all that may be needed, as its claims need, and compares them.

    Raises:
        UserError: as `lab.launch.sweep.sweep`; or there is no claim, or the experiment was analysed by another plan.
    """
    config = jobs[0].config
    study, root = parse_study(config.study), Path(config.out) / config.name
    check_design(config, study, root)
    return sweep(jobs, train_in_stages)


def check_design(config: RunConfig, study: Study, root: Path) -> Design | None:
    """The design that the experiment in `root` has already; None if it is new.

    Raises:
        UserError: there is no claim, the design is for other claims or another maximum, or claims were analysed without
            one.
    """
    if not study.claims:
        raise UserError("seeds=auto adds seeds until claims are decided, and there is none; give experiment=NAME")
    if config.force:
        raise UserError("force=true is not possible with seeds=auto, which keeps what was analysed; use another name=")
    design, max_seeds, elsewhere = read_design(root), config.study.max_seeds, "another name= starts afresh"
    if design is None:
        if looks := read_interim(root).num_seeds:
            seeds = f"{' and '.join(map(str, looks))} seed{'s' * (tuple(looks) != (1,))}"
            raise UserError(
                f"{root} was analysed with {seeds}, without the plan of seeds=auto and "
                f"beside its thresholds; {elsewhere}, and seeds=+5 goes on as before"
            )
        return None
    if design.max_seeds != max_seeds:
        raise UserError(
            f"study.max_seeds={max_seeds}: {root} was begun with {design.max_seeds}, for which its thresholds are; "
            f"give study.max_seeds={design.max_seeds}; {elsewhere}"
        )
    if design.claims != claim_facts(study):
        raise UserError(f"the claims differ from those that {root / 'design.json'} was begun with; {elsewhere}")
    return design


def begin_design(jobs: Sequence[Job], study: Study, root: Path) -> Design:
    """The design of the experiment in `root`, written down before its first run if it is new.

    Raises:
        UserError: there is one, for other claims, another maximum or other arms.
    """
    design, arms = check_design(jobs[0].config, study, root), sorted(by_arm(jobs))
    if design is None:
        max_seeds = jobs[0].config.study.max_seeds
        analyses = planned_analyses(max_seeds)
        levels = holm_levels(analyses, len(study.claims))
        return write_design(root, Design(max_seeds, analyses, levels, claim_facts(study), arms))
    if design.arms != arms:
        raise UserError(
            f"the arms differ from those that {root / 'design.json'} was begun with; another name= starts afresh"
        )
    return design


def train_in_stages(jobs: list[Job], study: Study, root: Path, tuned: bool) -> Ended:
    """Takes the place of `train_and_compare`: trains and analyses until no claim is open, or time or seeds are used.

    Args:
        jobs: of every arm all seeds up to the maximum.
        study: what they are for.
        root: the folder of the experiment.
        tuned: whether the values of nuisance keys were picked before.
    """
    config, begun = jobs[0].config, time.monotonic()
    budget = parse_duration(config.study.budget) or math.inf
    design, errors, problem = begin_design(jobs, study, root), dict[Path, str](), ""
    if tuned:
        register(jobs, root)  # the arms as they were tuned
    arms = by_arm(jobs)
    planned = ", ".join(map(str, design.analyses))
    say(f"{config.name}: {count(len(arms), 'arm')}, analysed with {planned} seeds until all is decided")
    for key in stopped_early(jobs):
        note(f"note: {key} ends arms at different steps, so they are compared after unequal training")
    verdicts = stand(jobs, study, design)
    while (wanted := open_arms(verdicts) if design.held else arms) and design.held < len(design.analyses):
        seeds = design.analyses[design.held]
        batch = [job for digits in arms if digits in wanted for job in arms[digits] if job.config.seed < seeds]
        missing = [job for job in batch if not job.is_terminal()]
        ahead = forecast(missing, jobs, share_machine(config)[0]) if missing and design.held else None
        if ahead and time.monotonic() - begun + ahead.seconds > budget:
            problem = f"study.budget={config.study.budget} is spent; the same command goes on"
            break
        if missing:
            say(f"{seeds} seeds: {count(len(missing), 'run')} of {count(len(wanted), 'arm')}")
            # A tuned sweep was searched for keys that do nothing before its tuning trials.
            stopped, errors = train_runs(missing, () if tuned or design.held else batch)
            remember_runs(root)
            if stopped:
                return interrupted(config)
        if failures({job.folder: read_run(job.folder) for job in map(settled, batch)}, errors):
            problem = "runs failed; mend what is wrong, and the same command goes on"
            break
        design = write_design(root, replace(design, held=design.held + 1))
        verdicts = stand(jobs, study, design)
    ended = compare_jobs(begun_jobs(jobs, errors), study, root, errors, tuned)
    say("\n".join(["", *ending_lines(verdicts, problem)]))
    return ended


def stand(jobs: Sequence[Job], study: Study, design: Design) -> list[Verdict]:
    """The verdicts after the analyses that were held."""
    found = [run for job in jobs if (run := read_run(settled(job).folder)) is not None and counts(run)]
    return judge(study, completed(in_all_names(found)), tuned=list(jobs[0].config.study.tune or ()), design=design)


def open_arms(verdicts: Sequence[Verdict]) -> set[str]:
    """Hashes of the arms of claims that get more seeds."""
    return {arm for verdict in verdicts if verdict.stage["status"] == "open" for arm in verdict.stage["arms"]}


def begun_jobs(jobs: Sequence[Job], errors: dict[Path, str]) -> list[Job]:
    """Those of `jobs` that were trained, or that failed to."""
    places = map(settled, jobs)
    return [job for job in places if job.folder in errors or read_result(job.folder) is not None]


def ending_lines(verdicts: Sequence[Verdict], problem: str) -> list[str]:
    """Why no more seeds were added: in all, and for each claim."""
    states = {verdict.stage["status"] for verdict in verdicts}
    if problem:
        first = f"stopped: {problem}"
    elif states <= {"decided"}:
        first = "stopped: all claims are decided"
    else:
        first = "stopped: no claim that is undecided gets more seeds"
    return [first, *(f"  {claim_text(verdict)}" for verdict in verdicts)]


def claim_text(verdict: Verdict) -> str:
    """`draw 1 beats draw 0: supported after 5 seeds`."""
    if not verdict.analyses:
        return (
            f"{verdict.say}: {'undecided, as no seed trained on both sides' if verdict.trained else 'not analysed yet'}"
        )
    text = f"{verdict.say}: {verdict.verdict} after {count(verdict.analyses[-1], 'seed')}"
    most = verdict.stage["analyses"][-1]
    why = {"maximum": ", the maximum", "futile": f"; a verdict with {most} has a chance below {100 * FUTILE:.0f} %"}
    return text + why.get(verdict.stage["status"], "")
