"""The score matrix: what each run, an arm at a seed, scores under a metric."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lab.errors import UserError
from lab.metric import COORDINATES, Metric, parse_metric
from lab.quantity import quantity
from lab.records.results import Run
from lab.studies.select.misfits import misfit_text


@dataclass(frozen=True)
class Scores:
    """The scores of runs under one metric, read once: its cells are runs, each of which knows its arm and its seed."""

    metric: Metric
    runs: tuple[Run, ...]
    values: tuple[float, ...]
    """One a run; infinite where the run has none."""

    trained: tuple[bool, ...] = ()
    """Whether each run trained, as far as the metric cares (`lab.studies.select.modes`); empty if all did."""

    @cached_property
    def _of(self) -> Mapping[int, float]:
        return {id(run): value for run, value in zip(self.runs, self.values, strict=True)}

    @cached_property
    def failed(self) -> frozenset[int]:
        """The `id` of each run that did not train."""
        return frozenset(id(run) for run, trained in zip(self.runs, self.trained, strict=False) if not trained)

    def of(self, runs: Iterable[Run]) -> list[float]:
        """The scores of some of the runs, in their order."""
        return [self._of[id(run)] for run in runs]


def counts(run: Run) -> bool:
    """Whether a run is part of the statistics: its training ended, even if by diverging."""
    return run.status in ("finished", "diverged")


def logged_tags(runs: Iterable[Run]) -> set[str]:
    """What any of `runs` logged; a failed run perhaps nothing."""
    return {tag for run in runs for tag in run.result.get("metrics", ())}


def score_runs(runs: Sequence[Run], metric: Metric) -> Scores:
    """The score of each run under `metric`; see `lab.metric.parse_metric` for what it may be.

    A diverged run, its first values aside, or one whose value is not finite, scores the worst value that its metric can
    take, whatever it reached before: 0 for an accuracy, infinity where lower is better, minus infinity elsewhere.
    Nothing milder is honest: a net of NaNs is no net, and a number taken from the other runs would depend on who is
    compared. A time to a threshold is infinite where the run never reached it.

    Raises:
        UserError: no run has the metric (lists those there are), or a finished run lacks it.
    """
    metric.check(logged_tags(runs))
    values, problems = list[float](), dict[int, str]()
    for index, run in enumerate(runs):
        try:
            values.append(score(run, metric))
        except UserError as error:
            problems[index] = str(error)
    if problems:
        fitting = [run for index, run in enumerate(runs) if index not in problems]
        raise UserError(misfit_text(fitting, [runs[index] for index in problems], next(iter(problems.values()))))
    return Scores(metric, tuple(runs), tuple(values))


def held_out(scores: Scores) -> Scores | None:
    """The scores of the same runs on the test images, beside those of validation; None where the metric is of another
    kind, or where a run has none."""
    metric = scores.metric
    if metric.kind not in ("last", "best", "mean", "auc") or not metric.tags[0].startswith("val/"):
        return None
    tag = f"test/{metric.tags[0].removeprefix('val/')}"
    twin = parse_metric(f"log10({tag})" if metric.in_decades else tag)
    if not scores.runs or any(tag not in run.result["metrics"] for run in scores.runs):
        return None
    return replace(scores, metric=twin, values=tuple(score(run, twin) for run in scores.runs))


def score(run: Run, metric: Metric) -> float:
    """The score of one run; see `score_runs`."""
    logged = run.result["metrics"]
    if metric.is_time_to and run.status == "diverged":
        return metric.worst
    if metric.is_time_to:
        (tag,), coordinate = metric.tags, COORDINATES[metric.kind]
        return next((row[coordinate] for row in run.history if metric.reached(row.get(tag))), math.inf)
    if metric.kind == "result" and metric.tags[0] not in logged:
        return metric.scaled(float(run.result[metric.tags[0]]))
    if run.status == "diverged" and metric.kind != "first":  # what it was at first it was
        return metric.worst
    for tag in metric.tags:
        if tag not in logged:
            raise UserError(f"the run in {run.path} did not log '{tag}'")
    value = summarised(run, metric)
    if metric.is_share:
        return float(metric.reached(value))
    found = math.nan if value is None else metric.scaled(value)
    return metric.worst if math.isnan(found) else float(found)


def summarised(run: Run, metric: Metric) -> float | None:
    """The last value, or a summary, of what a run logged; None where a value is not finite.

    Raises:
        UserError: the run logged fewer values than the mean is of, or none at all for the area.
    """
    logged, tag = run.result["metrics"], metric.tags[0]
    if metric.kind not in ("first", "mean", "auc", "gap", "turns", "rise"):
        return logged[tag]["best" if metric.kind == "best" else "last"]
    if metric.kind == "gap":
        val, train = (logged[tag]["last"] for tag in metric.tags)
        if train is None or val is None:
            return None
        return val - train if quantity(tag).lower_is_better else train - val
    points = [(row["step"], row[tag]) for row in run.history if tag in row]
    if metric.kind == "first":
        return points[0][1] if points else logged[tag]["last"]  # of the test images there is one value
    if len(points) < metric.count:
        times = "once" if len(points) == 1 else f"{len(points)} times"
        raise UserError(f"the run in {run.path} logged '{tag}' {times}; a mean of {metric.count} needs as many")
    values = [value for _, value in points][-metric.count if metric.kind == "mean" else 0 :]
    if None in values:
        return None
    if metric.kind == "turns":
        return num_turns(values)
    if metric.kind == "rise":
        return math.fsum(max(0.0, after - before) for before, after in itertools.pairwise(values))
    if metric.kind == "mean" or len(points) == 1:
        return math.fsum(values) / len(values)
    area = math.fsum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in itertools.pairwise(points))
    return area / (points[-1][0] - points[0][0])


def num_turns(values: Sequence[float]) -> int:
    """How often `values` turn from rising to falling or back, swings below a hundredth of their range aside."""
    least = (max(values) - min(values)) / 100
    number, direction, low, high = 0, 0, values[0], values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
        if direction >= 0 and high - value > least:
            number, direction, low = number + direction, -1, value
        elif direction <= 0 and value - low > least:
            number, direction, high = number - direction, 1, value
    return number
