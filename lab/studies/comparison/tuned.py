"""What was tuned, in words, and which runs it leaves to compare."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from lab.errors import UserError
from lab.metric import Metric, parse_metric
from lab.ranges import Range, read_range
from lab.records.results import Run
from lab.records.tuning import Tried, TunedArm, Tuning, base_id, read_tuning
from lab.studies.claims.claim import Claim
from lab.studies.claims.study import Study, claim_id
from lab.studies.claims.verdict import Verdict
from lab.studies.select.selectors import Flat, canonical, is_number, label_full, matches, show
from lab.studies.statistics.numerals import count
from lab.validation import all_keys


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
    return replace(tunings[0], seeds=seeds, arms=arms, superseded=[]), kept


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
    return replace(tuning, arms=arms) if known else None


MOST_POINTS, MOST_NEXT = 10, 3
"""Points beside the best that a line has; of more the next best ones."""


def is_untrainable(arm: TunedArm) -> bool:
    """Whether every tuning trial of `arm` diverged: a result, as no value that was tried trains it."""
    return all(status == "diverged" for point in arm.tried for status in point.statuses)


def arm_name(arm: TunedArm) -> str:
    """`model.norm=batch`, with full keys, as they are typed."""
    return label_full(arm.arm) or "the only arm"


def picked_text(tuning: Tuning, arm: TunedArm) -> str:
    """`model.norm=batch: optimizer.lr=0.1 (val/accuracy 0.9513; 0.01: 0.9012, 0.03: 0.9311)`."""
    if not arm.picked:
        statuses = [status for point in arm.tried for status in point.statuses]
        words = [f"{statuses.count(word)} {word}" for word in ("diverged", "failed") if word in statuses]
        tried = count(len(statuses), "tuning trial")
        if is_untrainable(arm):
            return f"{arm_name(arm)}: no value that was tried trains it ({tried} diverged)"
        return f"{arm_name(arm)}: none of {tried} ended well ({', '.join(words)}); left out"
    metric = parse_metric(tuning.metric)
    best = next(point for point in arm.tried if point.values == arm.picked)
    others = [point for point in arm.tried if point is not best]
    more = ""
    if len(others) > MOST_POINTS:
        sign = 1 if metric.lower_is_better else -1
        others = sorted(others, key=lambda point: sign * mean_score(point, metric))[:MOST_NEXT]
        more = f" and {len(arm.tried) - 1 - MOST_NEXT} others"
    texts = [f"{'/'.join(map(show, point.values.values()))}: {score_text(point, metric)}" for point in others]
    told = f"{metric} {score_text(best, metric)}; {', '.join(texts)}{more}"
    return f"{arm_name(arm)}: {label_full(arm.picked)} ({told})"


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
    drawn = f" at points drawn from {label_full(tuning.ranges)}" * bool(tuning.ranges)
    return f"{keys} {verb} tuned before the comparison{drawn}. {had}; what is best in {tuning.metric} was picked."


def budget(arm: TunedArm) -> str:
    """`3 tuning trials x 1 seed`."""
    return f"{count(len(arm.tried), 'tuning trial')} x {count(len(arm.tried[0].scores), 'seed')}"


def tuning_warnings(tuning: Tuning) -> list[str]:
    """What makes the values picked doubtful: a best one at the edge of what was tried, arms with unequal budgets or
    other values, arms that no value trains."""
    found: dict[str, list[str]] = {}
    for arm in tuning.arms:
        for edge in picked_at_edge(arm, tuning):
            found.setdefault(edge, []).append(arm_name(arm))
    lines = []
    for edge, names in found.items():
        who = f"{len(names)} arms ({names[0]}, ...)" if len(names) > 3 else " and ".join(names)
        lines.append(f"warning: {who} {'is' if len(names) == 1 else 'are'} best at {edge}")
    if len({budget(arm) for arm in tuning.arms}) > 1:
        lines.append("warning: the arms were tuned with unequal budgets; tune all with the same values and seeds")
    elif len({frozenset(canonical([*one.values.values()]) for one in arm.tried) for arm in tuning.arms}) > 1:
        lines.append(
            "warning: the arms were tuned at different values; the whole sweep in one command gives all the same"
        )
    return [*lines, *untrained_lines(tuning)]


def untrained_lines(tuning: Tuning) -> list[str]:
    """A line for each arm that no value trains."""
    return [
        f"no {' and '.join(tuning.keys)} of those tried trains {arm_name(arm)} "
        f"({count(sum(len(one.statuses) for one in arm.tried), 'tuning trial')} diverged), so it has no runs to compare"
        for arm in tuning.arms
        if is_untrainable(arm)
    ]


def with_untrained(verdicts: Sequence[Verdict], study: Study, tuning: Tuning | None) -> list[Verdict]:
    """`verdicts` that say so where a side has no runs because no value that was tried trains it."""
    claims = {claim_id(claim, study.metric): claim for claim in study.claims}
    arms = [arm for arm in tuning.arms if is_untrainable(arm)] if tuning else []
    found = []
    for verdict in verdicts:
        claim = claims.get(verdict.claim_id)
        mine = [arm for arm in arms if claim and not verdict.n and is_on_a_side(arm.arm, claim)]
        reasons = untrained_lines(replace(tuning, arms=mine)) if tuning else []
        lines = [f"{reason[:1].upper()}{reason[1:]}." for reason in reasons]
        found.append(replace(verdict, explain=" ".join([verdict.explain, *lines])) if lines else verdict)
    return found


def is_on_a_side(arm: Flat, claim: Claim) -> bool:
    """Whether `arm`, the keys that make it, is one that `claim` is about."""

    def fits(selector: Flat) -> bool:
        try:
            return matches(arm, selector)
        except UserError:  # a key that makes no arms here
            return False

    where = {key: value for key, value in claim.where.items() if key in arm}
    return fits(where) and any(
        fits(side) for side in (*claim.sides, *(x | y for x in claim.sides for y in claim.between))
    )


def tuning_texts(tuning: Tuning | None) -> list[str]:
    """What was tuned with which budget, and a warning where that does not settle it; nothing without a tuning."""
    return [budget_text(tuning), *tuning_warnings(tuning)] if tuning else []


NEAR = 0.1
"""Share of a range, at each of its ends, in which a best value says that a better one may lie beyond."""


def picked_at_edge(arm: TunedArm, tuning: Tuning) -> list[str]:
    """For each number that was tuned and is best at an end of what `arm` tried, `optimizer.lr=0.1, the largest ...`."""
    drawn, lines = {key: read_range(text) for key, text in tuning.ranges.items()}, list[str]()
    for key, side in find_edges(arm, parse_metric(tuning.metric), drawn):
        shown, up = f"{key}={show(arm.picked[key])}", side == "high"
        other = "larger" if up else "smaller"
        if key in drawn:
            end = "upper" if up else "lower"
            lines.append(f"{shown}, near the {end} end of {drawn[key]}: try {other} ones, as study.tune_widen does")
        else:
            lines.append(f"{shown}, the {'largest' if up else 'smallest'} tried: try {other} ones")
    return lines


def find_edges(arm: TunedArm, metric: Metric, drawn: Mapping[str, Range]) -> list[tuple[str, str]]:
    """The keys in which `arm` is best at an end of what it tried, each with `low` or `high`.

    Of a list that is its first or last number; of a range, in `drawn`, also what lies within a tenth of an end. Where
    the key itself ends nothing lies beyond, and below 0 in no key; where all points score alike, none is best.
    """
    if len({mean_score(point, metric) for point in arm.tried}) == 1:
        return []
    found: list[tuple[str, str]] = []
    for key, best in arm.picked.items():
        values = [point.values[key] for point in arm.tried]
        if not all(map(is_number, values)):
            continue
        low, high = (drawn[key].low, drawn[key].high) if key in drawn else (min(values), max(values))
        share = drawn[key].share(best) if key in drawn else 0.5
        knob = all_keys()[key].knob
        if (best == max(values) or share > 1 - NEAR) and high != knob.high:
            found.append((key, "high"))
        elif (best == min(values) or share < NEAR) and low not in (0, knob.low):
            found.append((key, "low"))
    return found
