"""A figure without axes of matplotlib's own, drawn in inches: many small things cost little in it."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.studies.figures.names import fit
from lab.studies.figures.style import NARROW, WIDE


def sheet(tall: float, narrow: bool) -> tuple[Figure, Axes]:
    """An empty figure `tall` inches high, whose axes are inches from its lower left corner."""
    total = NARROW if narrow else WIDE
    figure = Figure(figsize=(total, tall))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set_xlim(0, total)
    axis.set_ylim(0, tall)
    return figure, axis


def titles(names: Sequence[str], inches: float, size: float, columns: int) -> tuple[list[str], list[float]]:
    """Names wrapped to `inches`, and the height of each row of `columns` of them."""
    found = fit(names, 0.88 * inches, size)  # the font of a browser may be wider
    rows = [found[start : start + columns] for start in range(0, len(found), columns)]
    return found, [0.145 * max(name.count("\n") + 1 for name in row) + 0.1 for row in rows]
