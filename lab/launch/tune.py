"""Nuisance tuning: every arm tries the same values on separate seeds, and is then compared at its best ones.

Tuning trials are runs like others, under `<out>/_tune/<name>/`: resumed, left alone once finished, never compared.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.config import StudyConfig
from lab.errors import UserError, check_range, nearest
from lab.identity import NOT_IDENTITY, arm_hash, default_leaves, flatten, with_values
from lab.metric import Metric
from lab.records.places import Job, arm_folders, run_folder, settled
from lab.records.results import NOT_WITHOUT, Run, failures, is_cut_off, read_run
from lab.records.tuning import Tried, TunedArm, Tuning, base_id, trials_name, write_tuning
from lab.studies.claims.study import Study
from lab.studies.comparison.tuned import arm_name, picked_text, tuning_warnings
from lab.studies.select.arms import with_choices
from lab.studies.select.scores import counts, logged_tags, score_runs
from lab.studies.select.selectors import canonical
from lab.studies.statistics.numerals import count
from lab.system.reporter import say

FIRST_SEED = 1_000_000
"""Of tuning trials; all seeds of a comparison lie below. So tuning trials split training and validation images
otherwise than any of its runs; the test images are the same, and their scores are not used."""

Train = Callable[[list[Job], Sequence[Job]], tuple[bool, dict[Path, str]]]
"""What trains runs, some of a sweep: `lab.launch.local.train_runs`."""


def check_tuning(jobs: Sequence[Job], parsed: Study) -> None:
    """Raises `UserError` for a wrong `study.tune` of the sweep `jobs`, naming what is allowed."""
    study, known = jobs[0].config.study, default_leaves()
    if not isinstance(study.tune, Mapping):
        raise UserError(
            f"study.tune={study.tune}: allowed: keys with lists of values, as {{optimizer.lr: [0.01, 0.1]}}"
        )
    may = [key for key in known if key not in NOT_IDENTITY]
    for key, values in study.tune.items():
        if key not in may:
            what = "is no key to tune" if key in known or key.startswith("study") else "is no key of the configuration"
            raise UserError(
                f"study.tune: {key} {what}{nearest(key, may)}; allowed: what makes an arm, which study.* and "
                f"{', '.join(sorted(NOT_IDENTITY))} do not; in the same group: {', '.join(neighbours(key, may))}"
            )
        if not isinstance(values, list) or len(set(map(canonical, values))) < len(values) or len(values) < 2:
            raise UserError(f"study.tune: {key}={values}; allowed: a list of two or more values, all different")
        if len({canonical(job.arm.get(key)) for job in jobs}) > 1:
            raise UserError(f"study.tune: {key} is swept as well; a key is compared or tuned, so take it out of one")
    groups = [f"{key}.name" for key in study.reference]
    for key in (*parsed.named_keys(known), *study.reference, *groups):
        if key in study.tune:
            raise UserError(f"study.tune: {key} is named by a claim or the reference; a key is compared or tuned")
    for job in jobs:
        check_range("with study.tune, seed", job.config.seed, job.config.seed < FIRST_SEED, f"0 to {FIRST_SEED - 1}")
    arms: dict[str, Job] = {}
    for job in jobs:
        other = arms.setdefault(base_id(flatten(job.config), list(study.tune)), job)
        if arm_hash(other.config) != arm_hash(job.config):
            raise UserError(
                f"study.tune: the arms of {' '.join(other.overrides)} and {' '.join(job.overrides)} differ in nothing "
                f"but {' and '.join(study.tune)}; a key is compared or tuned"
            )


def neighbours(key: str, keys: Sequence[str]) -> list[str]:
    """Those of `keys` in the group of `key`, or all groups with a star."""
    group = f"{key.partition('.')[0]}."
    return [one for one in keys if one.startswith(group)] or list(dict.fromkeys(f"{k.split('.')[0]}.*" for k in keys))


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
    study = config.study
    metric = compared.for_choosing()
    trials = make_trials(jobs, metric)
    num_arms, num_trials = len(trials), sum(map(len, trials.values()))
    each = num_trials // num_arms // study.tune_seeds
    say(
        f"{config.name}: tuning {' and '.join(study.tune)}: {count(num_arms, 'arm')} x {each} values x "
        f"{count(study.tune_seeds, 'seed')} = {count(num_trials, 'tuning trial')}, "
        f"then {count(len(jobs), 'run')} to compare"
    )
    if metric != compared:
        say(f"values are picked by validation, as study.metric={compared} is not for choosing")
    everything = [job for members in trials.values() for job in members]
    missing = [job for job in everything if not job.is_terminal()]
    if len(missing) < num_trials:
        say(f"{count(num_trials - len(missing), 'tuning trial')} finished already, {len(missing)} to do")
    stopped, errors = train(missing, everything) if missing else (False, {})
    if stopped:
        return None
    runs = {job.folder: read_run(settled(job).folder) for job in everything}
    if cut_off := [folder for folder, run in runs.items() if is_cut_off(run)]:
        lines = failure_lines(runs, errors, Path(config.out))
        return [], [*lines, NOT_WITHOUT.format("picked", count(len(cut_off), "tuning trial"))]
    there = [run for run in runs.values() if run is not None]
    metric = metric.resolve(logged_tags(there))
    found = [tuned_arm(jobs, members, runs, metric) for members in trials.values()]
    seeds = sorted({job.config.seed for job in everything})
    tuning = write_tuning(root, Tuning(list(study.tune), metric.text, seeds, found, []))
    own = replace(tuning, arms=found)
    say("\n".join(["", *(picked_text(own, arm) for arm in found), *tuning_warnings(own), ""]))
    picked = {arm.base_id: arm.picked for arm in found if arm.picked}
    return tuned_jobs(jobs, picked), tuning_troubles(found, runs, errors, Path(config.out))


def compared_arms(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The complete configuration of each arm under each of its names; those that will differ in nothing but what is
    tuned are counterparts."""
    same = {key: values[0] for key, values in (jobs[0].config.study.tune or {}).items()}
    return with_choices([({**flat, **same}, arm) for job in jobs for flat, arm in job.views()])


def make_trials(jobs: Sequence[Job], metric: Metric) -> dict[str, list[Job]]:
    """The tuning trials of each arm by its `base_id`: every point of the grid, on the same seeds."""
    config = jobs[0].config
    keys = list(config.study.tune)
    name = trials_name(config.out, config.name)
    known = arm_folders(Path(config.out) / name)
    arms = {base_id(flatten(job.config), keys): job for job in reversed(jobs)}  # the first one of each arm stays
    trials: dict[str, list[Job]] = {digits: [] for digits in reversed(arms)}
    for digits, job in arms.items():
        for point in itertools.product(*config.study.tune.values()):
            values = dict(zip(keys, point, strict=True))
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
                trials[digits].append(Job(one, run_folder(one, arm, known), arm, overrides, job.command))
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
    """A line for each tuning trial that failed and each arm without values, for the end of the command."""
    lines = failure_lines(runs, errors, out)
    lines += [f"{arm_name(arm)}: left out, as none of its tuning trials ended well" for arm in arms if not arm.picked]
    return lines


def failure_lines(runs: Mapping[Path, Run | None], errors: Mapping[Path, str], out: Path) -> list[str]:
    """A line for each tuning trial that failed."""
    return [f"{folder.relative_to(out)}: {message}" for folder, message in failures(runs, errors).items()]
