"""Intervals of the mean of what is bounded on both sides, as an accuracy is: wider away from the nearer bound."""

import math
from typing import Any


def logit_edges(center: Any, half: Any, bounds: tuple[float, float]) -> tuple[Any, Any]:
    """The interval `center` -+ `half`, taken on the logit scale of `bounds` and brought back.

    Near a bound scores are skewed away from it, and a symmetric interval is too short on that side. On the logit scale
    it has the width that the delta method gives, half / (x (1 - x)) for the share x of the range. What is covered is
    measured by `benchmarks/calibration.py --coverage`.

    Args:
        center: a mean, or an array of them.
        half: half the width of the symmetric interval, of each.
        bounds: the least and the greatest value there can be; where one is infinite the interval is the symmetric one.

    Returns:
        The lower and the upper edge; symmetric for a center at a bound.
    """
    import numpy as np
    from scipy import special

    low, high = bounds
    if not math.isfinite(high - low):
        return center - half, center + half
    share = np.clip((center - low) / (high - low), 1e-9, 1 - 1e-9)
    at, room = special.logit(share), half / ((high - low) * share * (1 - share))
    edges = (low + (high - low) * special.expit(at + sign * room) for sign in (-1, 1))
    inside = (center > low) & (center < high)
    below, above = (np.where(inside, edge, center + sign * half) for edge, sign in zip(edges, (-1, 1), strict=True))
    return below, above
