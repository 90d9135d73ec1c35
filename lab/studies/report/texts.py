"""What the report shows beside its figures: their numbers in words and tables, and a verdict's strip."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lab.studies.claims.verdict import Verdict
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.factorial import Grid
from lab.studies.comparison.tuned import picked_text
from lab.studies.figures.cost import costs
from lab.studies.statistics.numerals import center_text, decimals, fixed, interval_text
from lab.studies.statistics.paired import Estimate

MOST_DESCRIBED = 24
"""Rows of a figure that its description reads out."""


def descriptions(comparison: Comparison, grid: Grid | None) -> dict[str, str]:
    """What each figure shows, with its numbers, for those who cannot see it."""
    metric, arms = comparison.metric, comparison.arms
    scores = listed((arm.label, arm.score, False) for arm in arms if arm.score)
    apart = listed((arm.label, arm.difference, True) for arm in arms if arm.difference)
    texts = {
        "curves": f"Curves of {metric}; at the end: {scores}",
        "seeds": f"{metric} of every run; mean and 95 % interval: {scores}",
        "forest": f"Differences in {metric} to {comparison.reference}, with 95 % intervals: {apart}",
        "cost": f"{metric} over what it cost; the numbers are in the table that follows.",
    }
    if grid:
        effects = listed((effect.label, effect.center, True) for effect in [*grid.main, *grid.interactions])
        texts["effects"] = f"Main effects and interactions in {metric}, with 95 % intervals: {effects}"
        texts["interactions"] = f"{metric} at each pair of levels; the numbers are in the table that follows."
    if comparison.tuning:
        picks = "; ".join(picked_text(comparison.tuning, arm) for arm in comparison.tuning.arms[:MOST_DESCRIBED])
        texts["tuning"] = f"{comparison.tuning.metric} over what was tuned; picked: {picks}."
    return texts


def listed(found: Iterable[tuple[str, Estimate | None, bool]]) -> str:
    """`init=he_normal 0.97 [0.96, 0.98]; ...`, the first ones."""
    rows = list(found)
    places = decimals(center for _, center, _ in rows)
    words = [
        f"{name} {center_text(center, places, sign)}"
        + (f" {interval_text(center, places, sign)}" if center and center.interval else "")
        for name, center, sign in rows[:MOST_DESCRIBED]
    ]
    rest = len(rows) - len(words)
    return "; ".join([*words, f"and {rest} more, in the table"] if rest else words) + "."


def effect_rows(grid: Grid) -> list[tuple[str, str, str, str, int]]:
    """The table of effects: (kind, name, mean, interval, seeds)."""
    kinds = [("main effect", effect) for effect in grid.main] + [
        ("interaction", effect) for effect in grid.interactions
    ]
    places = decimals(effect.center for _, effect in kinds)
    return [
        (
            kind,
            effect.label,
            center_text(effect.center, places, sign=True),
            interval_text(effect.center, places, sign=True),
            len(effect.values),
        )
        for kind, effect in kinds
    ]


def cost_rows(comparison: Comparison, metric: str | None) -> list[tuple[str, ...]]:
    """The table of costs: (arm, score, parameters, images/s, seconds, seconds to the target, how many reached it)."""
    found = costs(comparison, metric)
    places = decimals(one.arm.score for one in found)
    return [
        (
            one.arm.label,
            center_text(one.arm.score, places),
            f"{one.num_params:,}" if one.num_params is not None else "-",
            fixed(one.images_per_second, 0),
            significant(one.train_seconds),
            reached_text(one.to_target),
            f"{one.to_target.n - one.to_target.num_infinite} of {one.to_target.n}" if one.to_target else "-",
        )
        for one in found
    ]


def reached_text(seconds: Estimate | None) -> str:
    """`3.21`, `median 5.10` where some runs never got there, `never` where half did not."""
    if seconds is None:
        return "-"
    if math.isinf(seconds.value):
        return "never"
    return f"median {significant(seconds.value)}" if seconds.num_infinite else significant(seconds.value)


def significant(value: float | None) -> str:
    """Three digits: `0.0123`, `4.56`, `789`, `12,345`."""
    if value is None:
        return "-"
    return fixed(value, max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0)


@dataclass(frozen=True)
class Strip:
    """A verdict as a picture 100 wide: where its claim holds, zero, the effect and its interval."""

    zero: float
    effect: float
    interval: tuple[float, float] | None
    holds: tuple[float, float] | None
    """The effects of which the claim is true; None for a kind that has no such range."""
    edges: list[float]
    """Where that range begins or ends."""


def strip(verdict: Verdict) -> Strip | None:
    """The strip of a verdict, or None without a finite effect."""
    if verdict.effect is None or not math.isfinite(verdict.effect):
        return None
    margin = abs(verdict.margin)
    ranges = {
        "higher": (margin, math.inf),
        "interaction": (margin, math.inf),
        "lower": (-math.inf, -margin),
        "same": (-margin, margin),
    }
    holds = ranges.get(verdict.kind)
    edges = [edge for edge in holds or () if math.isfinite(edge)]
    shown = [0.0, verdict.effect, *(verdict.interval or ()), *edges]
    low, high = min(shown), max(shown)
    room = 0.12 * (high - low) or 1.0

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - low + room) / (high - low + 2 * room))), 2)

    return Strip(
        zero=place(0.0),
        effect=place(verdict.effect),
        interval=(place(verdict.interval[0]), place(verdict.interval[1])) if verdict.interval else None,
        holds=(place(holds[0]), place(holds[1])) if holds else None,
        edges=list(map(place, edges)),
    )
