"""`tune.json` of an experiment: which values of nuisance keys each arm tried, what they scored, and what was picked."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.errors import DamagedFileError
from lab.identity import arm_hash, flatten
from lab.ranges import read_range
from lab.records.read import damaged, read_json
from lab.records.results import TRIALS, is_number_or_null, is_whole
from lab.records.write import write_json

FILE = "tune.json"

REMEDY = "restore it, or remove it: the same lab train finds again what was tuned"


def trials_folder(experiment: Path) -> Path | None:
    """The folder of the tuning trials of `experiment`, or None where there is none: the old place first."""
    beside = (parent / TRIALS / experiment.relative_to(parent) for parent in experiment.parents)
    return next((folder for folder in (experiment / TRIALS, *beside) if folder.is_dir()), None)


def trials_name(out: str, name: str) -> str:
    """The `name` of an experiment's tuning trials: `_tune/NAME`, or `NAME/_tune` where such a folder is.

    So tuning trials in the old place are not run again.
    """
    return f"{name}/{TRIALS}" if (Path(out) / name / TRIALS).is_dir() else f"{TRIALS}/{name}"


def is_trial(name: str) -> bool:
    """Whether runs of this `name` are tuning trials."""
    return TRIALS in Path(name).parts


@dataclass(frozen=True)
class Tried:
    """One point that was tried, of one arm."""

    values: dict[str, Any]
    """The tuned keys with their values."""

    scores: list[float | None]
    """One a tuning seed; None for an infinite one, and for a run that failed."""

    statuses: list[str]
    """How each of these runs ended."""


@dataclass(frozen=True)
class TunedArm:
    """The tuning trials of one arm."""

    arm: dict[str, Any]
    """The keys that make the arm, with their values, without the tuned ones."""

    base_id: str
    """Hash of the arm without the tuned keys: what stays when others are picked."""

    arm_id: str
    """Hash of the arm with the values that were picked, as its runs in the comparison have it; empty without."""

    picked: dict[str, Any]
    """The best values; empty if no tuning trial ended well."""

    tried: list[Tried]


@dataclass(frozen=True)
class Tuning:
    """What `tune.json` holds."""

    keys: list[str]
    metric: str
    """By which the values were picked."""

    seeds: list[int]
    """Of the tuning trials."""

    arms: list[TunedArm]

    superseded: list[str]
    """Hashes of arms that earlier tunings of this experiment picked: their runs may be there still."""

    ranges: dict[str, str] = field(default_factory=dict)
    """By key the range that points were drawn from, as it was widened in the end; of a grid there is none."""


def base_id(config: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Eight hexadecimal digits that name a flat configuration without its seed and without the tuned `keys`."""
    return arm_hash({key: value for key, value in flatten(config).items() if key not in keys})


def read_tuning(folder: Path) -> Tuning | None:
    """The tuning of the experiment in `folder`, or None where there was none.

    Raises:
        DamagedFileError: the file cannot be read; without it nobody knows which arms count.
    """
    path = folder / FILE
    try:
        found = read_json(path, REMEDY)
        arms = [TunedArm(**{**arm, "tried": [Tried(**one) for one in arm["tried"]]}) for arm in found["arms"]]
        tuning = Tuning(**{**found, "arms": arms})
        texts = (
            tuning.metric,
            *tuning.keys,
            *tuning.superseded,
            *(arm.arm_id for arm in arms),
            *(arm.base_id for arm in arms),
        )
        tables = [
            *(arm.arm for arm in arms),
            *(arm.picked for arm in arms),
            *(one.values for arm in arms for one in arm.tried),
        ]
        scores = [score for arm in arms for one in arm.tried for score in one.scores]
        fits = all(isinstance(one, str) for one in texts) and all(isinstance(one, dict) for one in tables)
        if not (fits and all(map(is_whole, tuning.seeds)) and all(map(is_number_or_null, scores))):
            raise TypeError
        for text in tuning.ranges.values():
            read_range(text)
    except FileNotFoundError:
        return None
    except DamagedFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error, REMEDY) from error
    return tuning


def write_tuning(folder: Path, tuning: Tuning) -> Tuning:
    """Writes `tuning` into `folder`, joined with the one that is there.

    Arms that only that one has are kept, if it was of the same keys and by the same metric: a sweep may be done a part
    at a time. What it picked otherwise is superseded.

    Returns:
        What is in the file now.
    """
    before, arms = read_tuning(folder), list(tuning.arms)
    superseded: list[str] = []
    if before:
        there = {arm.base_id for arm in arms}
        if (before.metric, before.keys) == (tuning.metric, tuning.keys):
            arms += [arm for arm in before.arms if arm.base_id not in there]
        picked = {arm.arm_id for arm in arms}
        known = dict.fromkeys([*before.superseded, *(arm.arm_id for arm in before.arms if arm.arm_id)])
        superseded = [digits for digits in known if digits not in picked]
    tuning = replace(tuning, arms=arms, superseded=superseded)
    write_json(folder / FILE, asdict(tuning))
    return tuning
