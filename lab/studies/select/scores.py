"""What a run scores under a metric: a logged scalar or what its curve comes to, a figure of its result, or a time."""

import itertools
import math
import operator
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lab.config import StudyConfig
from lab.errors import UserError, nearest
from lab.metric import lower_is_better
from lab.records.results import Run

MARK = re.compile(r"(steps|seconds)_to\(\s*(\S+?)\s*(>=|<=|>|<)\s*([^\s)]+)\s*\)")

REACHED = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}

SUMMARY = re.compile(r"(best|mean|auc|gap)\(\s*([^\s,()]+)\s*(?:,\s*(\S+?)\s*)?\)")

FORMS = "best(val/accuracy), mean(val/accuracy, 5), auc(val/accuracy), gap(accuracy), steps_to(val/accuracy >= 0.8)"

# Figures of `result.json` that can be compared like a logged scalar.
RESULT_FIGURES = ("images_per_second", "train_seconds", "num_params")


def scores(runs: Iterable[Run], metric: str) -> list[float]:
    """The score of each run, in order.

    `val/accuracy` and other tags give the last value logged, `best(val/accuracy)` the best, `mean(val/accuracy, 5)` the
    mean of the last five, `auc(val/accuracy)` the area under the curve over the steps, divided by their range, and
    `gap(accuracy)` by how much the last validation value is worse than the last training value (for an accuracy train
    minus val, for a loss val minus train). `steps_to(val/accuracy >= 0.8)` gives the first logged step at which the
    condition held, `seconds_to(...)` the seconds of training until then, and infinity where it never did;
    `images_per_second`, `train_seconds` and `num_params` come from the result.

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
    """Raises `UserError` unless `metric` can be read and is, or is about, some of `tags` (any if there are none)."""
    there = sorted(tags)
    for tag in metric_tags(metric):
        if there and tag not in there and ("(" in metric or tag not in RESULT_FIGURES):
            names = [*there, *RESULT_FIGURES]
            raise UserError(
                f"metric '{tag}' is unknown{nearest(tag, names)}; there are: {', '.join(names)}, and {FORMS}"
            )


def metric_tags(metric: str) -> list[str]:
    """The logged scalars that `metric` is made of, the one whose curve shows it first."""
    mark, summary = parse_mark(metric), parse_summary(metric)
    if summary:
        kind, tag, _ = summary
        return [f"val/{tag}", f"train/{tag}"] if kind == "gap" else [tag]
    return [mark[1] if mark else metric]


def score(run: Run, metric: str) -> float:
    """The score of one run; see `scores`."""
    mark, summary = parse_mark(metric), parse_summary(metric)
    if mark:
        unit, tag, reached, threshold = mark
        return next((row[unit] for row in run.history if holds(row.get(tag), reached, threshold)), math.inf)
    if metric in RESULT_FIGURES and metric not in run.result["metrics"]:
        return float(run.result[metric])
    if run.status == "diverged":
        return worst(metric)
    for tag in metric_tags(metric):
        if tag not in run.result["metrics"]:
            raise UserError(f"the run in {run.path} did not log '{tag}'; leave it out, or compare by another metric")
    value = summarised(run, *summary) if summary else run.result["metrics"][metric]["last"]
    return worst(metric) if value is None or math.isnan(value) else float(value)


def summarised(run: Run, kind: str, tag: str, count: int) -> float | None:
    """`best`, `mean` of the last `count`, `auc` or `gap` of a run that logged `tag`; None where a value is not finite.

    Raises:
        UserError: the run logged fewer values than the mean is of, or none at all for the area.
    """
    logged = run.result["metrics"]
    if kind == "best":
        return logged[tag]["best"]
    if kind == "gap":
        train, val = logged[f"train/{tag}"]["last"], logged[f"val/{tag}"]["last"]
        if train is None or val is None:
            return None
        return val - train if lower_is_better(f"val/{tag}") else train - val
    points = [(row["step"], row[tag]) for row in run.history if tag in row]
    if len(points) < count:
        raise UserError(f"the run in {run.path} logged '{tag}' {len(points)} times; a mean of {count} needs as many")
    values = [value for _, value in points][-count if kind == "mean" else 0 :]
    if None in values:
        return None
    if kind == "mean" or len(points) == 1:
        return math.fsum(values) / len(values)
    area = math.fsum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in itertools.pairwise(points))
    return area / (points[-1][0] - points[0][0])


def parse_summary(metric: str) -> tuple[str, str, int] | None:
    """(`best`, `mean`, `auc` or `gap`, tag, how many of the last values: 1 but for a mean), else None.

    Raises:
        UserError: it starts like one of them and cannot be read.
    """
    if not metric.strip().startswith(("best(", "mean(", "auc(", "gap(")):
        return None
    match = SUMMARY.fullmatch(metric.strip())
    kind, tag, count = match.groups() if match else ("", "", None)
    # A number belongs to a mean, and to nothing else.
    good = kind and (kind == "mean") == (count is not None) and (count is None or (count.isdecimal() and int(count)))
    if not good or (kind == "gap" and "/" in tag):
        raise UserError(f"metric '{metric}' cannot be read; there are: {FORMS} and seconds_to(...)")
    return kind, tag, int(count or 1)


def parse_mark(metric: str) -> tuple[str, str, str, float] | None:
    """(`step` or `seconds`, tag, operator, threshold) of `steps_to(...)` or `seconds_to(...)`, else None.

    Raises:
        UserError: it has a parenthesis but is neither, nor a summary of a curve.
    """
    if "(" not in metric or parse_summary(metric):
        return None
    match = MARK.fullmatch(metric.strip())
    try:
        unit, tag, reached, threshold = match.groups() if match else ("", "", "", "")
        return {"steps": "step", "seconds": "seconds"}[unit], tag, reached, float(threshold)
    except (KeyError, ValueError):
        raise UserError(
            f"metric '{metric}' cannot be read; write steps_to(val/accuracy >= 0.8) or seconds_to(...), "
            f"with one of {', '.join(REACHED)}; there are also {FORMS.rpartition(', ')[0]}"
        ) from None


def holds(value: float | None, reached: str, threshold: float) -> bool:
    return value is not None and REACHED[reached](value, threshold)


def worst(metric: str) -> float:
    """The worst value that `metric` can take."""
    if lower_is_better(metric):
        return math.inf
    return 0.0 if "accuracy" in metric or "top5" in metric else -math.inf
