"""The forest plot: every arm's difference to its reference, pair by pair, with mean and interval."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.studies.comparison.compare import Arm, Comparison
from lab.studies.figures.dots import Row, draw_rows
from lab.studies.figures.style import arm_colors, axis_label
from lab.studies.select.arms import differing_keys, pairs
from lab.studies.statistics.paired import Estimate, differences

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def difference_rows(comparison: Comparison) -> list[Row]:
    """A row for each arm that has a difference: its pairs' differences, their mean and interval."""
    arms = [arm for arm in comparison.arms if arm.values]
    if not arms:
        return []
    colors = arm_colors(comparison, arms)
    return [
        Row(arm.label, paired_differences(arm, comparison), arm.difference, colors[arm.label])
        for arm in arms
        if arm.difference is not None
    ]


def paired_differences(arm: Arm, comparison: Comparison) -> list[float]:
    """The differences whose mean `arm.difference` is, in the order of seeds; empty where no reference fits it.

    A comparison does not say which of several references an arm was compared with; the one whose pairs have the mean
    that was found is as good as it.
    """
    configs = [run.config for run in comparison.runs]
    pooled = len({arm_id for one in comparison.arms for arm_id in one.arm_ids}) > len(comparison.arms)
    keys = [key for key in differing_keys(configs) if key not in comparison.keys] if pooled else []
    own = list(zip(arm.runs, arm.values, strict=True))
    for other in comparison.arms:
        if not other.is_reference or not arm.difference:
            continue
        paired = pairs(own, list(zip(other.runs, other.values, strict=True)), keys)
        found = differences([a for _, a, _ in paired], [b for _, _, b in paired])
        if len(found) == arm.difference.n and close(found, arm.difference):
            return found
    return []


def close(found: Sequence[float], center: Estimate) -> bool:
    """Whether `center` is the mean of `found`, or has as many infinite values."""
    if center.num_infinite:
        return sum(map(math.isinf, found)) == center.num_infinite
    return math.isclose(sum(found) / len(found), center.value, rel_tol=1e-9, abs_tol=1e-12)


def draw_forest(comparison: Comparison, narrow: bool = False) -> "Figure | None":
    """The differences to the reference, a row an arm (the first 60), with a line at zero.

    Returns:
        The figure, or None where no arm has a difference.
    """
    rows = difference_rows(comparison)
    name = f"difference in {axis_label(comparison.metric)}"
    return draw_rows(rows, name, narrow, zero=True)
