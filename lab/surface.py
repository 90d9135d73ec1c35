"""Surfaces over a plane, on which optimizers can be watched: the height as a formula, where paths start, what is shown.

No array library is imported: nets take the heights of tensors, figures those of arrays. The least height of each is 0,
so that one threshold serves all.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Height = Callable[[Any, Any, Callable[[Any], Any]], Any]
"""From x and y, and the cosine of their library, to the height."""


@dataclass(frozen=True)
class Surface:
    """One of them."""

    height: Height
    start: tuple[float, float]
    """Where paths start on average."""
    spread: tuple[float, float]
    """Standard deviations of the start, so that seeds differ."""
    window: tuple[tuple[float, float], tuple[float, float]]
    """Least and greatest x, and y, that a figure shows."""
    minima: tuple[tuple[float, float], ...]
    """Where the height is 0."""
    lines: int = 11
    """Contour lines in a figure: fewer where each is in many pieces."""


def saddle(x: Any, y: Any, cos: Any) -> Any:
    return x**2 - y**2 + y**4 / 2 + 1 / 2


def ravine(x: Any, y: Any, cos: Any) -> Any:
    return x**2 / 10 + 2 * y**2


def beale(x: Any, y: Any, cos: Any) -> Any:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def many_minima(x: Any, y: Any, cos: Any) -> Any:
    return 20 + x**2 + y**2 - 10 * cos(2 * math.pi * x) - 10 * cos(2 * math.pi * y)


FORMULAS = {
    "saddle": Surface(saddle, (-1.5, 0.0), (0.1, 0.01), ((-1.8, 1.2), (-1.4, 1.4)), ((0.0, -1.0), (0.0, 1.0))),
    "ravine": Surface(ravine, (-5.0, -2.0), (0.2, 0.2), ((-5.6, 2.0), (-2.6, 2.6)), ((0.0, 0.0),)),
    "beale": Surface(beale, (1.0, 1.0), (0.1, 0.1), ((-0.5, 4.0), (-1.5, 1.8)), ((3.0, 0.5),)),
    "many_minima": Surface(many_minima, (-3.5, 2.5), (0.5, 0.5), ((-4.6, 1.6), (-1.6, 4.0)), ((0.0, 0.0),), 4),
}
"""By the name of the net (`model.name`) whose only parameter is a point on it."""
