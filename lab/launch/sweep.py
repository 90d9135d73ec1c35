"""Many runs: those that are not finished train in parallel processes, then all are compared."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.config import TrainConfig
from lab.errors import UserError
from lab.launch.changed import change_notes
from lab.launch.local import train_runs
from lab.launch.prelude import tell_prospects
from lab.launch.register import register, remember_runs
from lab.launch.tune import check_tuning, compared_arms, tune
from lab.records.outcome import NEXT_STEPS
from lab.records.places import TERMINAL, Job, settled
from lab.records.results import NOT_WITHOUT, SOURCES, TRIALS, Run, failures, is_cut_off, read_run, told_apart
from lab.records.tuning import is_trial, read_tuning
from lab.studies.claims.study import Study, check_claims, parse_study
from lab.studies.statistics.numerals import count, seed_spans
from lab.system.signals import INTERRUPTED, say_interrupted

Finish = Callable[[list[Job], Study, Path, bool], int]
"""What trains the runs and compares them: `train_and_compare`, or what takes its place."""


def sweep(jobs: list[Job], finish: Finish | None = None) -> int:
    """Trains what is missing of `jobs`, then compares all of them.

    Args:
        jobs: the runs, of one experiment.
        finish: does so another way than `train_and_compare`, all at once: `lab.launch.auto.train_in_stages`.

    Returns:
        The exit code: 0, 1 if a run failed, 130 if interrupted.

    Raises:
        UserError: a configuration or a claim of the study is wrong, or the outputs cannot be written; nothing has been
            trained then.
    """
    config = jobs[0].config
    if is_trial(config.name) or config.name == SOURCES:
        what = f"{TRIALS} hold tuning trials, and {SOURCES} the sources of other runs"
        raise UserError(f"name={config.name} is not possible: folders named {what}")
    study, tuned = parse_study(config.study), config.study.tune or {}
    if tuned:
        check_tuning(jobs, study)
    check_claims(study, compared_arms(jobs))
    root = Path(config.out) / config.name
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={config.out}: cannot write {root} ({error.strerror or error})") from error
    register(jobs, root)
    tell_prospects(jobs, study, auto=finish is not None)
    troubles: list[str] = []
    if tuned:
        if (found := tune(jobs, study.metric, root, partial(train_runs, study=config.study))) is None:
            return interrupted()
        jobs, troubles = found
    code = (finish or train_and_compare)(jobs, study, root, bool(tuned)) if jobs else 1
    if troubles:
        print("\ntuning did not end well:", *troubles, sep="\n  ", file=sys.stderr)
    return max(code, 1) if troubles else code


def train_and_compare(jobs: list[Job], study: Study, root: Path, tuned: bool) -> int:
    """The comparison itself: trains what is missing of `jobs`, and publishes all of them; returns the exit code.

    Args:
        jobs: one or more.
        study: what they are for.
        root: the folder of the experiment.
        tuned: whether the values of nuisance keys were picked before.
    """
    config = jobs[0].config
    missing = [job for job in jobs if not job.is_terminal()]
    seeds = sorted({job.config.seed for job in jobs})
    num_arms = len({job.folder.parent for job in jobs})
    print(f"{config.name}: {count(len(jobs), 'run')}, {count(num_arms, 'arm')}, {seed_spans(seeds)}", flush=True)
    if len(missing) < len(jobs):
        again = "" if missing else "; force=true starts over"
        print(f"{len(jobs) - len(missing)} finished already, {len(missing)} to do{again}", flush=True)
    for line in change_notes(jobs):
        print(line, file=sys.stderr)
    for key in stopped_early(jobs):
        print(f"note: {key} ends arms at different steps, so they are compared after unequal training", file=sys.stderr)
    if tuned:
        register(jobs, root)  # the arms as they were tuned
    # A tuned sweep was searched for keys that do nothing before its tuning trials.
    stopped, errors = train_runs(missing, () if tuned else jobs) if missing else (False, {})
    remember_runs(root)
    if stopped:
        return interrupted()
    return compare_jobs([settled(job) for job in jobs], study, root, errors, tuned)


def further_seeds(jobs: list[Job]) -> list[Run]:
    """The ended runs of the arms of `jobs` with other seeds: all count, as who picks seeds picks verdicts."""
    asked = {job.folder for job in jobs}
    folders = [path for arm in dict.fromkeys(job.folder.parent for job in jobs) for path in arm.glob("seed=*")]
    found = [run for path in folders if path not in asked and (run := read_run(path))]
    return sorted((run for run in found if run.status in TERMINAL), key=lambda run: run.seed)


def interrupted() -> int:
    """Says how to go on; the exit code."""
    say_interrupted("interrupted; the same command goes on where this one stopped")
    return INTERRUPTED


def stopped_early(jobs: list[Job]) -> list[str]:
    """The keys that end runs before their last step although the sweep does not compare them."""
    found = []
    for key in ("patience", "max_seconds"):
        values = {getattr(job.config.train, key) for job in jobs}
        if len(values) == 1 and values != {getattr(TrainConfig(), key)}:
            found.append(f"train.{key}={values.pop()}")
    return found


def compare_jobs(jobs: list[Job], study: Study, root: Path, errors: dict[Path, str], tuned: bool) -> int:
    """Prints and writes the comparison of `jobs`; 1 if any of them failed, with a table of those last.

    Where runs were ended from outside, there is no comparison: they may end well, and would change it.

    Args:
        jobs: all of the sweep.
        study: what they are for.
        root: the folder of the experiment.
        errors: what went wrong, by a run's folder, where not even that could be written.
        tuned: whether `tune.json` in `root` is about them.
    """
    from lab.studies.report.publish import publish

    found = {job.folder: read_run(job.folder) for job in jobs}
    more = further_seeds(jobs)
    runs = told_apart([*(run for run in found.values() if run is not None), *more])
    failed = failures(found, errors)
    cut_off = [folder for folder, run in found.items() if is_cut_off(run)]
    if len(failed) < len(found) and not cut_off:
        if more:
            seeds = seed_spans(run.seed for run in more)
            print(f"compared with what these arms have besides: {seeds} (all finished seeds count)")
        print()
        last_seed = max(job.config.seed for job in jobs)
        tuning = read_tuning(root) if tuned else None
        publish(runs, study, root, last_seed=last_seed, tuning=tuning)
    if failed:
        print(f"\n{len(failed)} of {count(len(jobs), 'run')} failed:", file=sys.stderr)
        for folder, message in failed.items():
            print(f"  {folder.relative_to(root)}: {message}", file=sys.stderr)
        print(NEXT_STEPS["failed"], file=sys.stderr)

    if cut_off:
        print(NOT_WITHOUT.format("compared", count(len(cut_off), "run")), file=sys.stderr)
    return 1 if failed else 0
