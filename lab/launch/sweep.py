"""Many runs: those that are not finished train in parallel processes, then all are compared."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from lab.config import RunConfig, TrainConfig
from lab.errors import UserError
from lab.launch.asked import asked
from lab.launch.changed import change_notes
from lab.launch.ended import Ended
from lab.launch.prelude import tell_prospects
from lab.launch.register import register, remember_runs
from lab.launch.train import how_to_go_on, train_runs
from lab.launch.tunable import check_tuning
from lab.launch.tune import tune
from lab.records.outcome import NEXT_STEPS
from lab.records.places import TERMINAL, Job, settled
from lab.records.results import NOT_WITHOUT, SOURCES, TRIALS, Run, failures, is_cut_off, read_run, told_apart
from lab.records.tuning import is_trial, read_tuning
from lab.studies.claims.study import Study, parse_study
from lab.studies.statistics.numerals import count, seed_spans
from lab.system.machine import num_processes
from lab.system.reporter import note, say
from lab.system.signals import INTERRUPTED, say_interrupted

Finish = Callable[[list[Job], Study, Path, bool], Ended]
"""What trains the runs and compares them: `train_and_compare`, or what takes its place."""


def sweep(jobs: list[Job], finish: Finish | None = None) -> Ended:
    """Trains what is missing of `jobs`, then compares all of them.

    Args:
        jobs: the runs, of one experiment.
        finish: does so another way than `train_and_compare`, all at once: `lab.launch.auto.train_in_stages`.

    Raises:
        UserError: a configuration or a claim of the study is wrong, or the outputs cannot be written; nothing has been
            trained then.
    """
    config = jobs[0].config
    if num_processes() > 1:
        raise UserError(
            f"torchrun started {num_processes()} processes for one run, and this is a sweep of "
            f"{count(len(jobs), 'run')}; without torchrun they train side by side (jobs=N)"
        )
    if is_trial(config.name) or config.name == SOURCES:
        what = f"{TRIALS} hold tuning trials, and {SOURCES} the sources of other runs"
        raise UserError(f"name={config.name} is not possible: folders named {what}")
    study, tuned = parse_study(config.study), config.study.tune or {}
    if tuned:
        check_tuning(jobs, study)
    here = asked(jobs, study, auto=finish is not None)
    root = Path(config.out) / config.name
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={config.out}: cannot write {root} ({error.strerror or error})") from error
    register(jobs, root)
    tell_prospects(jobs, here, auto=finish is not None)
    troubles: list[str] = []
    if tuned:
        if (found := tune(jobs, study.metric, root, partial(train_runs, study=config.study))) is None:
            return interrupted(config)
        jobs, troubles = found
    ended = (finish or train_and_compare)(jobs, study, root, bool(tuned)) if jobs else Ended(1)
    if not troubles:
        return ended
    lines = ("tuning did not end well:", *(f"  {line}" for line in troubles))
    note("\n" + "\n".join(lines))
    return replace(ended, code=max(ended.code, 1), problems=(*ended.problems, *lines))


def train_and_compare(jobs: list[Job], study: Study, root: Path, tuned: bool) -> Ended:
    """The comparison itself: trains what is missing of `jobs`, and publishes all of them.

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
    say(f"{config.name}: {count(len(jobs), 'run')}, {count(num_arms, 'arm')}, {seed_spans(seeds)}")
    if len(missing) < len(jobs):
        again = "" if missing else "; force=true starts over"
        say(f"{len(jobs) - len(missing)} finished already, {len(missing)} to do{again}")
    for line in change_notes(jobs):
        note(line)
    for key in stopped_early(jobs):
        note(f"note: {key} ends arms at different steps, so they are compared after unequal training")
    if tuned:
        register(jobs, root)  # the arms as they were tuned
    # A tuned sweep was searched for keys that do nothing before its tuning trials.
    stopped, errors = train_runs(missing, () if tuned else jobs) if missing else (False, {})
    remember_runs(root)
    if stopped:
        return interrupted(config)
    return compare_jobs([settled(job) for job in jobs], study, root, errors, tuned)


def further_seeds(jobs: list[Job]) -> list[Run]:
    """The ended runs of the arms of `jobs` with other seeds: all count, as who picks seeds picks verdicts."""
    asked = {job.folder for job in jobs}
    folders = [path for arm in dict.fromkeys(job.folder.parent for job in jobs) for path in arm.glob("seed=*")]
    found = [run for path in folders if path not in asked and (run := read_run(path))]
    return sorted((run for run in found if run.status in TERMINAL), key=lambda run: run.seed)


def interrupted(config: RunConfig) -> Ended:
    """Says how to go on."""
    say_interrupted(how_to_go_on(config))
    return Ended(INTERRUPTED)


def stopped_early(jobs: list[Job]) -> list[str]:
    """The keys that end runs before their last step although the sweep does not compare them."""
    found = []
    for key in ("patience", "max_seconds"):
        values = {getattr(job.config.train, key) for job in jobs}
        if len(values) == 1 and values != {getattr(TrainConfig(), key)}:
            found.append(f"train.{key}={values.pop()}")
    return found


def compare_jobs(jobs: list[Job], study: Study, root: Path, errors: dict[Path, str], tuned: bool) -> Ended:
    """Tells and writes the comparison of `jobs`, and at the end those that failed.

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
    comparison, problems = None, list[str]()
    if len(failed) < len(found) and not cut_off:
        if more:
            seeds = seed_spans(run.seed for run in more)
            say(f"compared with what these arms have besides: {seeds} (all finished seeds count)")
        say("")
        last_seed = max(job.config.seed for job in jobs)
        tuning = read_tuning(root) if tuned else None
        comparison = publish(runs, study, root, last_seed=last_seed, tuning=tuning)
    if failed:
        problems = [f"{len(failed)} of {count(len(jobs), 'run')} failed:"]
        problems += [f"  {folder.relative_to(root)}: {message}" for folder, message in failed.items()]
        problems.append(NEXT_STEPS["failed"])
        note("\n" + "\n".join(problems))
    if cut_off:
        problems.append(NOT_WITHOUT.format("compared", count(len(cut_off), "run")))
        note(problems[-1])
    return Ended(int(bool(failed)), comparison, tuple(problems))
