"""What a run scores under a metric: a logged scalar, a figure of its result, or the time it took to reach a mark."""

import math
import operator
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lab.config import StudyConfig, UserError, nearest
from lab.direction import lower_is_better
from lab.records.results import Run

MARK = re.compile(r"(steps|seconds)_to\(\s*(\S+?)\s*(>=|<=|>|<)\s*([^\s)]+)\s*\)")

REACHED = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}

# Figures of `result.json` that can be compared like a logged scalar.
RESULT_FIGURES = ("images_per_second", "train_seconds", "num_params")


def scores(runs: Iterable[Run], metric: str) -> list[float]:
    """The score of each run, in order.

    `val/accuracy` and other tags give the last value logged; `steps_to(val/accuracy >= 0.8)` gives the first logged
    step at which the condition held, `seconds_to(...)` the seconds of training until then, and infinity where it never
    did; `images_per_second`, `train_seconds` and `num_params` come from the result.

    A diverged run, or one whose last value is not finite, scores the worst value that its metric can take, whatever it
    reached before: 0 for an accuracy, infinity where lower is better, minus infinity elsewhere. Nothing milder is
    honest: a net of NaNs is no net, and a number taken from the other runs would depend on who is compared.

    Raises:
        UserError: no run has the metric (lists those there are), or a finished run lacks it.
    """
    runs = list(runs)
    check_metric(metric, {tag for run in runs for tag in run.result["metrics"]})
    return [score(run, metric) for run in runs]


def study_metric(study: Mapping[str, Any], runs: Iterable[Run]) -> str:
    """What `study` compares of `runs`: its own metric, or for `auto` what their task suggests."""
    tags = {tag for run in runs for tag in run.result.get("metrics", ())}  # a failed run has none
    return resolve(str(study.get("metric") or StudyConfig().metric), tags)


def resolve(metric: str, tags: Collection[str]) -> str:
    """`metric`; for `auto` the root mean squared error where it is among `tags` and accuracy is not, else accuracy."""
    if metric != "auto":
        return metric
    return "val/rmse" if "val/rmse" in tags and "val/accuracy" not in tags else "val/accuracy"


def check_metric(metric: str, tags: Iterable[str] = ()) -> None:
    """Raises `UserError` unless `metric` can be read and is, or is about, one of `tags` (any tag if there are none)."""
    mark = parse_mark(metric)
    tag, tags = mark[1] if mark else metric, sorted(tags)
    if tags and tag not in tags and (mark or tag not in RESULT_FIGURES):
        names = [*tags, *RESULT_FIGURES]
        raise UserError(
            f"metric '{tag}' is unknown{nearest(tag, names)}; there are: {', '.join(names)}, "
            f"and steps_to({tags[0]} >= 0.8) or seconds_to(...)"
        )


def score(run: Run, metric: str) -> float:
    """The score of one run; see `scores`."""
    mark = parse_mark(metric)
    if mark:
        unit, tag, reached, threshold = mark
        return next((row[unit] for row in run.history if holds(row.get(tag), reached, threshold)), math.inf)
    if metric in RESULT_FIGURES and metric not in run.result["metrics"]:
        return float(run.result[metric])
    if run.status == "diverged":
        return worst(metric)
    if metric not in run.result["metrics"]:
        raise UserError(f"the run in {run.path} did not log '{metric}'; leave it out, or compare by another metric")
    last = run.result["metrics"][metric]["last"]
    return worst(metric) if last is None else float(last)


def parse_mark(metric: str) -> tuple[str, str, str, float] | None:
    """(`step` or `seconds`, tag, operator, threshold) of `steps_to(...)` or `seconds_to(...)`, else None.

    Raises:
        UserError: it has a parenthesis but is neither.
    """
    if "(" not in metric:
        return None
    match = MARK.fullmatch(metric.strip())
    try:
        unit, tag, reached, threshold = match.groups() if match else ("", "", "", "")
        return {"steps": "step", "seconds": "seconds"}[unit], tag, reached, float(threshold)
    except (KeyError, ValueError):
        raise UserError(
            f"metric '{metric}' cannot be read; write steps_to(val/accuracy >= 0.8) or seconds_to(...), "
            f"with one of {', '.join(REACHED)}"
        ) from None


def holds(value: float | None, reached: str, threshold: float) -> bool:
    return value is not None and REACHED[reached](value, threshold)


def worst(metric: str) -> float:
    """The worst value that `metric` can take."""
    if lower_is_better(metric):
        return math.inf
    return 0.0 if "accuracy" in metric or "top5" in metric else -math.inf
