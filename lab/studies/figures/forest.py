"""The forest plot: every arm's difference to its reference, pair by pair, with mean and interval."""

from matplotlib.figure import Figure

from lab.studies.comparison.compare import Comparison
from lab.studies.figures.dots import Column, Row, draw_rows
from lab.studies.figures.style import axis_label, cut


def difference_rows(comparison: Comparison) -> list[Row]:
    """A row for each arm that has a difference: its pairs' differences, their mean and interval."""
    found = cut(comparison)
    return [
        Row(arm.label, arm.differences, arm.difference, found.style(arm)["color"], arm.left_out)
        for arm in comparison.arms
        if arm.values and (arm.difference or arm.left_out)
    ]


def draw_forest(comparison: Comparison, narrow: bool = False) -> Figure | None:
    """The differences to the reference, a row an arm (the first 60), with a line at zero.

    Returns:
        The figure, or None where no arm has a difference.
    """
    name = f"difference in {axis_label(comparison.metric)}"
    rows, bounds = difference_rows(comparison), comparison.metric.difference_bounds
    return draw_rows([Column(name, rows, bounds, zero=True)], narrow)
