"""Nuisance tuning: every arm tries the same values on separate seeds, and is then compared at its best ones.

Tuning trials are runs like others, under `<out>/_tune/<name>/`: resumed, left alone once finished, never compared.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.config import StudyConfig
from lab.identity import arm_hash, flatten, with_values
from lab.metric import Metric
from lab.records.places import Job, arm_folders, run_folder, settled
from lab.records.results import NOT_WITHOUT, Run, failures, is_cut_off, read_run
from lab.records.tuning import Tried, TunedArm, Tuning, base_id, trials_name, write_tuning
from lab.space import Axis, first_point, num_points, points, ranges, space, widen
from lab.studies.comparison.tuned import arm_name, find_edges, is_untrainable, picked_text, tuning_warnings
from lab.studies.select.arms import with_choices
from lab.studies.select.scores import counts, logged_tags, score_runs
from lab.studies.select.selectors import label_full
from lab.studies.statistics.numerals import count
from lab.system.reporter import say

FIRST_SEED = 1_000_000
"""Of tuning trials; all seeds of a comparison lie below. So tuning trials split training and validation images
otherwise than any of its runs; the test images are the same, and their scores are not used."""

Train = Callable[[list[Job], Sequence[Job]], tuple[bool, dict[Path, str]]]
"""What trains runs, some of a sweep: `lab.launch.local.train_runs`."""


def tune(jobs: Sequence[Job], compared: Metric, root: Path, train: Train) -> tuple[list[Job], list[str]] | None:
    """Tunes every arm of `jobs` and writes `tune.json` into `root`, the folder of the experiment.

    Args:
        jobs: the comparison.
        compared: its metric; values are picked by that of validation.
        root: the experiment's folder.
        train: trains tuning trials.

    Returns:
        The jobs with the values picked, without the arms of which no tuning trial ended well; and what went wrong.
        No jobs where tuning trials were ended from outside, as nothing is picked then. None if it was interrupted.

    Raises:
        UserError: a configuration is wrong, or the metric is unknown.
    """
    config = jobs[0].config
    study, axes = config.study, space(config.study.tune)
    metric = compared.for_choosing()
    announce(jobs, metric, compared)
    tried, left = points(study), study.tune_widen
    while True:
        ended = try_points(jobs, metric, tried, train)
        if ended is None:
            return None
        if cut_off := [folder for folder, run in ended.runs.items() if is_cut_off(run)]:
            lines = failure_lines(ended.runs, ended.errors, Path(config.out))
            return [], [*lines, NOT_WITHOUT.format("picked", count(len(cut_off), "tuning trial"))]
        edges = {edge: None for arm in ended.arms for edge in find_edges(arm, ended.metric, ranges(axes))}
        wider, further = widen(study.tune, axes, [*edges], math.ceil(num_points(study) / 2)) if left else (axes, [])
        if not further:
            break
        axes, tried, left = wider, tried + [one for one in further if one not in tried], left - 1
        say(f"best near an end: {count(len(further), 'further value')} an arm, now from {label_full(shown(axes))}")
    tuning = Tuning(list(axes), ended.metric.text, ended.seeds, ended.arms, [], shown(axes))
    own = replace(write_tuning(root, tuning), arms=ended.arms)
    well = [picked_text(own, arm) for arm in own.arms if not is_untrainable(arm)]
    say("\n".join(["", *well, *tuning_warnings(own), ""]))
    found = tuned_jobs(jobs, {arm.base_id: arm.picked for arm in own.arms if arm.picked})
    troubles = tuning_troubles(own.arms, ended.runs, ended.errors, Path(config.out))
    return found, troubles if found or troubles else ["no arm is left to compare: no value that was tried trains any"]


def announce(jobs: Sequence[Job], metric: Metric, compared: Metric) -> None:
    """Tells how many tuning trials there will be, and what decides."""
    config, study = jobs[0].config, jobs[0].config.study
    num_arms, each = len(tuned_bases(jobs)), num_points(study)
    say(
        f"{config.name}: tuning {' and '.join(study.tune)}: {count(num_arms, 'arm')} x {each} values x "
        f"{count(study.tune_seeds, 'seed')} = {count(num_arms * each * study.tune_seeds, 'tuning trial')}, "
        f"then {count(len(jobs), 'run')} to compare"
    )
    if study.tune_trials and each < study.tune_trials:
        say(f"study.tune_trials={study.tune_trials}: there are {each} values, and all are tried")
    if metric != compared:
        say(f"values are picked by validation, as study.metric={compared} is not for choosing")


@dataclass(frozen=True)
class Ended:
    """Tuning trials that ended."""

    arms: list[TunedArm]
    runs: dict[Path, Run | None]
    errors: dict[Path, str]
    metric: Metric
    """By which values are picked, as these runs log it."""
    seeds: list[int]


def try_points(jobs: Sequence[Job], metric: Metric, tried: Sequence[Mapping[str, Any]], train: Train) -> Ended | None:
    """Trains what is missing of the tuning trials at the points `tried`; None if it was interrupted."""
    trials = make_trials(jobs, metric, tried)
    everything = [job for members in trials.values() for job in members]
    missing = [job for job in everything if not job.is_terminal()]
    if len(missing) < len(everything):
        say(f"{count(len(everything) - len(missing), 'tuning trial')} finished already, {len(missing)} to do")
    stopped, errors = train(missing, everything) if missing else (False, {})
    if stopped:
        return None
    runs = {job.folder: read_run(settled(job).folder) for job in everything}
    metric = metric.resolve(logged_tags([run for run in runs.values() if run is not None]))
    found = [tuned_arm(jobs, members, runs, metric) for members in trials.values()]
    return Ended(found, runs, errors, metric, sorted({job.config.seed for job in everything}))


def shown(axes: Mapping[str, Axis]) -> dict[str, str]:
    """The ranges among `axes` as they are typed."""
    return {key: str(axis) for key, axis in ranges(axes).items()}


def compared_arms(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The complete configuration of each arm under each of its names; those that will differ in nothing but what is
    tuned are counterparts."""
    same = first_point(jobs[0].config.study.tune)
    return with_choices([({**flat, **same}, arm) for job in jobs for flat, arm in job.views()])


def tuned_bases(jobs: Sequence[Job]) -> dict[str, Job]:
    """The first run of each arm, by its `base_id`."""
    keys = list(jobs[0].config.study.tune)
    found: dict[str, Job] = {}
    for job in jobs:
        found.setdefault(base_id(flatten(job.config), keys), job)
    return found


def make_trials(jobs: Sequence[Job], metric: Metric, tried: Sequence[Mapping[str, Any]]) -> dict[str, list[Job]]:
    """The tuning trials of each arm by its `base_id`: every one of the points `tried`, on the same seeds."""
    config = jobs[0].config
    keys = list(config.study.tune)
    name = trials_name(config.out, config.name)
    known = arm_folders(Path(config.out) / name)
    trials: dict[str, list[Job]] = {}
    for digits, job in tuned_bases(jobs).items():
        for values in tried:
            for seed in range(FIRST_SEED, FIRST_SEED + config.study.tune_seeds):
                one = job_with(job, values).config
                one.name, one.seed = name, seed
                one.train.watch, one.train.watch_smoothness, one.train.keep_best, one.train.pictures = (
                    False,
                    False,
                    False,
                    0,
                )
                # On their own they are a sweep without claims.
                one.study = StudyConfig(metric=metric.text)
                arm = {**without(job.arm, keys), **values}
                overrides = [*job_with(job, values).overrides, f"name={one.name}", f"seed={seed}"]
                trials.setdefault(digits, []).append(Job(one, run_folder(one, arm, known), arm, overrides, job.command))
    return trials


def job_with(job: Job, values: Mapping[str, Any]) -> Job:
    """`job` with the tuned `values` in its configuration and its overrides, which repeat it without a tuning."""
    overrides = [text for text in job.overrides if text.partition("=")[0] not in ("study.tune", *values)]
    overrides += [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    return replace(job, config=with_values(job.config, values), overrides=[*overrides, "study.tune=null"])


def without(arm: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in arm.items() if key not in keys}


def tuned_jobs(jobs: Sequence[Job], picked: Mapping[str, Mapping[str, Any]]) -> list[Job]:
    """`jobs` at the values `picked` for their arms, by `base_id`, in new folders; jobs of other arms are left out."""
    config = jobs[0].config
    keys = list(config.study.tune)
    known = arm_folders(Path(config.out) / config.name)
    tuned = []
    for job in jobs:
        if values := picked.get(base_id(flatten(job.config), keys)):
            job = job_with(job, values)
            arm = without(job.arm, keys)
            tuned.append(replace(job, arm=arm, folder=run_folder(job.config, arm, known)))
    return tuned


def tuned_arm(jobs: Sequence[Job], trials: Sequence[Job], runs: Mapping[Path, Run | None], metric: Metric) -> TunedArm:
    """The scores of one arm's tuning trials, and the values that are picked by them."""
    keys = list(jobs[0].config.study.tune)
    points: dict[str, Tried] = {}
    for trial in trials:
        values = {key: flatten(trial.config)[key] for key in keys}
        run = runs[trial.folder]
        score = score_runs([run], metric).values[0] if run is not None and counts(run) else math.nan
        point = points.setdefault(json.dumps(values), Tried(values, [], []))
        point.scores.append(score if math.isfinite(score) else None)
        point.statuses.append(run.status if run is not None else "failed")
    tried = list(points.values())
    well = [point for point in tried if "finished" in point.statuses]
    picked = min(well, key=lambda point: rank(point, metric)).values if well else {}
    base = base_id(flatten(trials[0].config), keys)
    job = next(job for job in jobs if base_id(flatten(job.config), keys) == base)
    digits = arm_hash(job_with(job, picked).config) if picked else ""
    return TunedArm(without(job.arm, keys), base, digits, picked, tried)


def rank(point: Tried, metric: Metric) -> tuple[int, float]:
    """Less for a better point: infinite scores first, then the mean of the others. A run that diverged or failed counts
    at its worst; of equals the first is picked."""
    values = [metric.worst if score is None else score for score in point.scores]
    finite = [value for value in values if math.isfinite(value)]
    mean = math.fsum(finite) / len(finite) if finite else 0.0
    return len(values) - len(finite), mean if metric.lower_is_better else -mean


def tuning_troubles(
    arms: Sequence[TunedArm], runs: Mapping[Path, Run | None], errors: Mapping[Path, str], out: Path
) -> list[str]:
    """A line for each tuning trial that failed and each arm without values, for the end of the command. That no value
    trains an arm is no trouble, but a result."""
    lines = failure_lines(runs, errors, out)
    bad = [arm for arm in arms if not arm.picked and not is_untrainable(arm)]
    return [*lines, *(f"{arm_name(arm)}: left out, as none of its tuning trials ended well" for arm in bad)]


def failure_lines(runs: Mapping[Path, Run | None], errors: Mapping[Path, str], out: Path) -> list[str]:
    """A line for each tuning trial that failed."""
    return [f"{folder.relative_to(out)}: {message}" for folder, message in failures(runs, errors).items()]
