"""What was tuned, in words, and which runs it leaves to compare."""

import math
from collections.abc import Sequence
from statistics import fmean

from lab.metric import Metric, parse_metric
from lab.records.results import Run
from lab.records.tuning import Tried, TunedArm, Tuning, base_id, read_tuning
from lab.studies.select.selectors import is_number, label_full, show
from lab.studies.statistics.numerals import count


def find_tuning(runs: Sequence[Run]) -> tuple[Tuning | None, list[Run]]:
    """The tuning that `runs` had, as their experiments' `tune.json` tells, and those of them that it leaves to compare.

    A run is left out where its arm was tuned and it has other values than those picked in the end: it was made before,
    or while other values were tried. Tunings of several experiments are joined if all are of the same keys by the same
    metric; else there is None, so that what one of them tuned sets its runs apart from those of the others.
    """
    found = {root: read_tuning(root) for root in dict.fromkeys(run.path.parent.parent for run in runs)}
    kept = [run for run in runs if is_current(run, found[run.path.parent.parent])]
    tunings = [tuning for tuning in found.values() if tuning]
    if not tunings or len(tunings) < len(found) or len({(*one.keys, one.metric) for one in tunings}) > 1:
        return None, kept
    seeds = sorted({seed for tuning in tunings for seed in tuning.seeds})
    arms = [arm for tuning in tunings for arm in tuning.arms]
    return Tuning(tunings[0].keys, tunings[0].metric, seeds, arms, []), kept


def is_current(run: Run, tuning: Tuning | None) -> bool:
    """Whether `run` is at the values that `tuning`, of its experiment, picked, or was not tuned at all."""
    if tuning is None or run.arm_id in {arm.arm_id for arm in tuning.arms}:
        return True
    own = base_id(run.config, tuning.keys)
    return run.arm_id not in tuning.superseded and all(arm.base_id != own for arm in tuning.arms)


def compared(tuning: Tuning, runs: Sequence[Run]) -> Tuning | None:
    """`tuning` without the arms that are not among `runs`; those of which no tuning trial ended well are among none."""
    there = {run.arm_id for run in runs}
    arms = [arm for arm in tuning.arms if arm.arm_id in there or not arm.picked]
    known = any(arm.picked for arm in arms)
    return Tuning(tuning.keys, tuning.metric, tuning.seeds, arms, tuning.superseded) if known else None


def arm_name(arm: TunedArm) -> str:
    """`model.norm=batch`, with full keys, as they are typed."""
    return label_full(arm.arm) or "the only arm"


def picked_text(tuning: Tuning, arm: TunedArm) -> str:
    """`model.norm=batch: optimizer.lr=0.1 (val/accuracy 0.9513; 0.01: 0.9012, 0.03: 0.9311)`."""
    if not arm.picked:
        statuses = [status for point in arm.tried for status in point.statuses]
        words = [f"{statuses.count(word)} {word}" for word in ("diverged", "failed") if word in statuses]
        tried = count(len(statuses), "tuning trial")
        return f"{arm_name(arm)}: none of {tried} ended well ({', '.join(words)}); left out"
    metric = parse_metric(tuning.metric)
    others = [
        f"{', '.join(map(show, point.values.values()))}: {score_text(point, metric)}"
        for point in arm.tried
        if point.values != arm.picked
    ]
    best = next(point for point in arm.tried if point.values == arm.picked)
    return f"{arm_name(arm)}: {label_full(arm.picked)} ({metric} {score_text(best, metric)}; {', '.join(others)})"


def score_text(point: Tried, metric: Metric) -> str:
    mean, statuses = mean_score(point, metric), set(point.statuses)
    if "finished" not in statuses:
        return " or ".join(sorted(statuses))
    return f"{mean:.4f}" if math.isfinite(mean) else "infinite"


def mean_score(point: Tried, metric: Metric) -> float:
    """The mean over the seeds, those that diverged or failed at their worst; infinite where one of them is."""
    return fmean(metric.worst if score is None else score for score in point.scores)


def budget_text(tuning: Tuning) -> str:
    """What every arm had: honest where one had more than another."""
    keys, budgets = " and ".join(tuning.keys), [budget(arm) for arm in tuning.arms]
    seeds = f"{'seed' if len(tuning.seeds) == 1 else 'seeds'} {', '.join(map(str, tuning.seeds))}"
    ways = "Each arm had" if len(budgets) > 1 else "The arm had"
    if len(set(budgets)) == 1:
        had = f"{ways} {budgets[0]} ({seeds}, which no comparison uses)"
    else:
        each = "; ".join(f"{arm_name(arm)} {text}" for arm, text in zip(tuning.arms, budgets, strict=True))
        had = f"The arms had unequal budgets ({each})"
    verb = "was" if len(tuning.keys) == 1 else "were"
    return f"{keys} {verb} tuned before the comparison. {had}; what is best in {tuning.metric} was picked."


def budget(arm: TunedArm) -> str:
    """`3 tuning trials x 1 seed`."""
    return f"{count(len(arm.tried), 'tuning trial')} x {count(len(arm.tried[0].scores), 'seed')}"


def tuning_warnings(tuning: Tuning) -> list[str]:
    """What makes the values picked doubtful: a best one at the edge of what was tried, arms with unequal budgets."""
    found: dict[str, list[str]] = {}
    for arm in tuning.arms:
        for edge in picked_at_edge(arm, parse_metric(tuning.metric)):
            found.setdefault(edge, []).append(arm_name(arm))
    lines = []
    for edge, names in found.items():
        who = f"{len(names)} arms ({names[0]}, ...)" if len(names) > 3 else " and ".join(names)
        lines.append(f"warning: {who} {'is' if len(names) == 1 else 'are'} best at {edge}")
    if len({budget(arm) for arm in tuning.arms}) > 1:
        lines.append("warning: the arms were tuned with unequal budgets; tune all with the same values and seeds")
    return lines


def tuning_texts(tuning: Tuning | None) -> list[str]:
    """What was tuned with which budget, and a warning where that does not settle it; nothing without a tuning."""
    return [budget_text(tuning), *tuning_warnings(tuning)] if tuning else []


def picked_at_edge(arm: TunedArm, metric: Metric) -> list[str]:
    """For each number that was tuned and is best at an end of what `arm` tried, `optimizer.lr=0.1, the largest ...`.

    Nothing lies below 0 in any key, so 0 is no edge; and where all points score alike, none is best.
    """
    lines: list[str] = []
    if len({mean_score(point, metric) for point in arm.tried}) == 1:
        return lines
    for key, best in arm.picked.items():
        values = [point.values[key] for point in arm.tried]
        if not all(map(is_number, values)):
            continue
        if best == max(values):
            lines.append(f"{key}={show(best)}, the largest tried: try larger ones")
        elif best == min(values) and best:
            lines.append(f"{key}={show(best)}, the smallest tried: try smaller ones")
    return lines
