"""The rows of the report's tables of effects and of costs."""

import math

from lab.metric import Metric
from lab.studies.comparison.compare import Comparison
from lab.studies.comparison.cost import costs
from lab.studies.comparison.factorial import Grid
from lab.studies.statistics.estimate import Estimate
from lab.studies.statistics.numerals import center_text, decimals, fixed, interval_text


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


def cost_rows(comparison: Comparison, metric: Metric | None) -> list[tuple[str, ...]]:
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
