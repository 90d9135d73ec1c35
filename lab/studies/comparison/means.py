"""Means over the seeds of an arm: for figures, and as TensorBoard runs beside the arms'."""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.quantity import quantity
from lab.records.places import inside
from lab.records.results import NOT_SCALARS, Run
from lab.records.write import remove_file
from lab.studies.comparison.compare import Comparison
from lab.studies.statistics.estimate import mean_intervals

Series = dict[str, list[tuple[int, float, float, float]]]
"""By tag (step, mean, low, high)."""


@dataclass(frozen=True)
class ArmMeans:
    """What TensorBoard shows of an arm beside its runs."""

    folder: str
    """The name of the folder that the runs lie in."""
    num_runs: int
    series: Series


def mean_series(runs: Sequence[Run], tags: Iterable[str]) -> Series:
    """Means of logged scalars over the seeds of `runs`, with pointwise 95 % intervals of the mean as in the table.

    These are `mean_intervals` within the bounds of what is logged. Several runs of a seed count by their mean.

    Returns:
        For each tag (step, mean, low, high) at the steps where all runs logged a finite value; low and high are NaN for
        a single seed. A tag that no such step has is left out.
    """
    import numpy as np

    if not runs:
        return {}
    series = {}
    seeds = [run.seed for run in runs]
    members = [[i for i, one in enumerate(seeds) if one == seed] for seed in dict.fromkeys(seeds)]
    for tag in tags:
        logged = [{row["step"]: row[tag] for row in rows_of(run) if is_finite(row.get(tag))} for run in runs]
        steps = sorted(set(logged[0]).intersection(*logged[1:]))
        if not steps:
            continue
        values = np.array([[run[step] for step in steps] for run in logged], dtype=float)  # (runs, steps)
        if len(members) < len(runs):
            values = np.array([values[rows].mean(axis=0) for rows in members])  # (seeds, steps)
        lows = highs = np.full(len(steps), math.nan)
        if len(values) > 1:
            lows, highs = mean_intervals(values, quantity(tag).bounds)
        columns = (values.mean(axis=0), lows, highs)
        series[tag] = list(zip(steps, *(column.tolist() for column in columns), strict=True))
    return series


def arm_means(comparison: Comparison) -> list[ArmMeans]:
    """The means of everything logged by the runs that count, or that trained, where others did not: one a folder."""
    arms: dict[str, list[Run]] = {}
    for run in comparison.runs:
        arms.setdefault(run.path.resolve().parent.name, []).append(run)
    found = []
    for folder, runs in arms.items():
        runs = trained_runs(runs, comparison.untrained)
        tags = dict.fromkeys(tag for run in runs for row in rows_of(run) for tag in row if tag not in NOT_SCALARS)
        found.append(ArmMeans(folder, len(runs), mean_series(runs, tags)))
    return found


def rows_of(run: Run) -> list[dict[str, Any]]:
    """What `run` logged, and at its last step what the test images gave."""
    return [*run.history, {"step": run.result.get("steps", 0), **run.tested}] if run.tested else run.history


def trained_runs(runs: Sequence[Run], untrained: frozenset[Path]) -> list[Run]:
    """Those of `runs` that trained, as no mean is to be of both kinds; all where none did."""
    return [run for run in runs if run.path not in untrained] or list(runs)


def is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def remove_event_files(home: Path) -> None:
    """Removes the event files under `home`, and folders that are empty then; whatever else lies there stays."""
    for stale in home.rglob("events.out.tfevents.*"):
        remove_file(stale)
    for path in sorted(home.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # it is not empty
                path.rmdir()


def write_mean_runs(means: Sequence[ArmMeans], folder: Path) -> None:
    """Writes `_mean/<arm>`, and `low` and `high` in it, under `folder`: all scalars, averaged over an arm's seeds.

    Event files that are there already are removed, since TensorBoard would show both. Arms with one seed have no edges.
    """
    # Late: TensorBoard's writer is slow to import.
    from lab.records.events import write_scalars

    home = inside(folder, "_mean")
    remove_event_files(home)
    for arm in means:
        parts = [("", 1), ("low", 2), ("high", 3)] if arm.num_runs > 1 else [("", 1)]
        for part, column in parts:
            scalars = {tag: [(point[0], point[column]) for point in points] for tag, points in arm.series.items()}
            write_scalars(inside(home, arm.folder, *[part] * bool(part)), scalars)
