"""What quality costs: parameters, speed, seconds of training, and seconds until a threshold was reached."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lab.metric import Metric, parse_metric
from lab.quantity import quantity
from lab.records.results import Run
from lab.studies.comparison.arm import Arm
from lab.studies.comparison.compare import Comparison
from lab.studies.select.scores import score_runs
from lab.studies.statistics.estimate import Estimate, estimate


@dataclass(frozen=True)
class Cost:
    """What one arm took."""

    arm: Arm
    num_params: int | None
    images_per_second: float | None
    train_seconds: float | None
    """Mean over the runs."""
    to_target: Estimate | None
    """Seconds of training until the target was reached; the median where some runs never did."""


def target(comparison: Comparison) -> Metric | None:
    """What to time: `seconds_to(val/accuracy >= 0.913)`, or None where the metric was not logged as a curve.

    The threshold is that of the metric, or of the first claim, that has one (`steps_to(...)`); otherwise where the
    worst run of the reference ended, with three digits, so that all of its runs get there.
    """
    for metric in (comparison.metric, *(verdict.metric for verdict in comparison.verdicts)):
        if metric.is_time_to:
            return parse_metric(f"seconds_to({metric.tags[0]} {metric.sign} {metric.threshold:g})")
    tag = comparison.metric.curve_tag
    reference = next((arm for arm in comparison.arms if arm.is_reference and arm.runs), None)
    if reference is None:
        return None
    ends = [
        next((row[tag] for row in reversed(run.history) if row.get(tag) is not None), None) for run in reference.runs
    ]
    finite = [end for end in ends if end is not None and math.isfinite(end)]
    if not finite:
        return None
    lower = quantity(tag).lower_is_better
    worst = max(finite) if lower else min(finite)
    places = 2 - math.floor(math.log10(abs(worst))) if worst else 3
    unit = 10.0**-places
    # Rounded towards the easier side.
    threshold = (math.ceil(worst / unit) if lower else math.floor(worst / unit)) * unit
    return parse_metric(f"seconds_to({tag} {'<=' if lower else '>='} {threshold:.{max(places, 0)}f})")


def costs(comparison: Comparison, metric: Metric | None) -> list[Cost]:
    """The cost of each arm that has runs.

    Args:
        metric: result of `target`.
    """
    arms = [arm for arm in comparison.arms if arm.runs]
    timed = {arm.label for arm in arms if metric and is_timed(arm, metric)}
    scores = metric and score_runs([run for arm in arms if arm.label in timed for run in arm.runs], metric)
    found = []
    for arm in arms:
        seconds = [run.result["train_seconds"] for run in arm.runs if run.result.get("train_seconds")]
        reached = estimate(scores.of(arm.runs), scores.metric.bounds) if scores and arm.label in timed else None
        found.append(Cost(arm, arm.num_params, arm.images_per_second, fmean(seconds) if seconds else None, reached))
    return found


def is_timed(arm: Arm, metric: Metric) -> bool:
    """Whether the runs of `arm` logged what has to reach the threshold of `metric`, and when."""
    logged = any(metric.tags[0] in run.result["metrics"] for run in arm.runs)
    return logged and all("seconds" in row for run in arm.runs for row in run.history)


def shared_machine(runs: Sequence[Run]) -> str:
    """Where speeds and seconds of `runs` are shown: that they trained side by side; empty if none did."""
    numbers = sorted({side_by_side(run) for run in runs})
    if not numbers or numbers[-1] == 1:
        return ""
    how = " to ".join(dict.fromkeys(f"{number}" for number in (numbers[0], numbers[-1])))
    return f"Runs trained {how} side by side and shared the machine, so each is slower here than alone."


def side_by_side(run: Run) -> int:
    """How many runs its command trained at a time; of older records as many as were asked for, if that is there."""
    return max(1, run.result.get("environment", {}).get("side_by_side") or run.config.get("jobs") or 1)
