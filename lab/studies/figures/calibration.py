"""Reliability diagrams: how often nets are right where they are so sure (Guo et al. 2017, figure 1)."""

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lab.studies.comparison.answers import FEWEST_SEEDS, Answers
from lab.studies.comparison.calibration import BINS, Calibration
from lab.studies.figures.lattice import Cell, Side, make_lattice
from lab.studies.figures.style import COLORS, FAINT, OTHERS, STYLE
from lab.studies.statistics.estimate import mean_interval

FEWEST = 10
"""Images of a bin in each seed from which it has an interval, and a full dot."""


@rc_context(STYLE)
def draw_calibration(answers: Answers | None, narrow: bool = False) -> Figure | None:
    """A panel an arm: accuracy over mean confidence, bin by bin, and the share of the images in each bin as bars."""
    found = [(one, one.calibration) for one in answers.arms if one.calibration] if answers else []
    if not found:
        return None
    titles = [one.arm.label for one, _ in found]
    across = Side("confidence: probability of the predicted class", 0, 1, ticks=(0, 0.5, 1), texts=("0", "0.5", "1"))
    up = Side("accuracy", 0, 1, ticks=(0, 0.5, 1), texts=("0", "0.5", "1"))
    figure, cells = make_lattice(titles, [across], up, narrow, height=1.45 if len(found) > 2 and not narrow else 2.0)
    for cell, (_, calibration) in zip(cells, found, strict=True):
        if calibration:
            draw_bins(cell, calibration)
    return figure


def error_text(calibration: Calibration) -> str:
    """`ECE 2.1 %`."""
    return f"ECE {100 * np.mean(calibration.errors):.1f} %"


def draw_bins(cell: Cell, calibration: Calibration) -> None:
    """The diagonal on which confidence is accuracy, bars, dots and intervals."""
    cell.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    edges, counts = np.linspace(0, 1, BINS + 1), calibration.counts
    share = (counts / counts.sum(1, keepdims=True)).mean(0)
    xs, heights = np.repeat(edges, 2)[1:-1], np.repeat(share, 2)
    cell.fill(xs.tolist(), [0.0] * len(xs), heights.tolist(), color=OTHERS, alpha=0.6, linewidth=0, zorder=1)
    bins = [number for number in range(BINS) if counts[:, number].any()]
    full = [bin_point(calibration, number) for number in bins if counts[:, number].min() >= FEWEST]
    few = [bin_point(calibration, number) for number in bins if counts[:, number].min() < FEWEST]
    for x, _, interval in full:
        if interval:
            cell.plot([x, x], list(interval), color=COLORS[0], linewidth=1.2)
    for points, line, fill in (
        (full, "o-", {"markeredgewidth": 0, "linewidth": 1.2}),
        (few, "o", {"markerfacecolor": "#FFFFFF", "markeredgewidth": 0.8}),
    ):
        cell.plot([x for x, _, _ in points], [y for _, y, _ in points], line, color=COLORS[0], markersize=4, **fill)
    cell.axis.text(0.04, 0.96, error_text(calibration), va="top", fontsize=8.5, **cell.place())


def bin_point(calibration: Calibration, number: int) -> tuple[float, float, tuple[float, float] | None]:
    """Mean confidence and accuracy of a bin over the seeds that have images in it, and the accuracy's interval."""
    counts = calibration.counts[:, number]
    there = counts > 0
    accuracy = calibration.rights[there, number] / counts[there]
    confidence = calibration.confidences[there, number] / counts[there]
    interval = mean_interval(accuracy.tolist(), bounds=(0.0, 1.0)) if len(accuracy) >= FEWEST_SEEDS else None
    return float(confidence.mean()), float(accuracy.mean()), interval
