"""One-sided p-values of paired differences, and Holm's adjustment (1979) over several.

How well they hold their level is measured by `benchmarks/calibration.py`.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from lab.studies.statistics.estimate import spread

MOST_EXACT = 12
"""Number of values up to which all changes of sign are counted, 4,096; above, as many are drawn."""


def p_above(values: Sequence[float], margin: float) -> float:
    """One-sided p-value of the hypothesis that `values` lie at or below `margin`, in the mean.

    A t-test, which keeps its level where the values are symmetric about the margin, as differences between two arms are
    that do not differ. It is not justified, and an exact test takes its place, where one is infinite (`sign_test`) and
    where the values have no spread: these show on which side of 0 the mean lies, by chance alone with 2^-n, but not how
    far from it, as rarer values may be anywhere; so against a margin that does not lie beyond 0, p is 1. Where more
    than half of the values tie, p is the larger one of the t-test's and of `ties_test`.

    Returns:
        p in [0, 1]; 1 with fewer than two values.
    """
    if len(values) < 2:
        return 1.0
    shifted = [value - margin for value in values]
    if not all(map(math.isfinite, shifted)):
        return sign_test(shifted)
    n, mean, deviation = len(shifted), math.fsum(shifted) / len(shifted), spread(shifted)
    if deviation == 0:
        return 0.5**n if shows_side(values, margin) else 1.0
    from scipy import special

    return max(float(special.stdtr(n - 1, -mean / deviation * math.sqrt(n))), ties_test(values, margin))


def shows_side(values: Sequence[float], margin: float) -> bool:
    """Whether values without spread lie above 0, and `margin` does not: all that their signs are evidence for."""
    return values[0] > 1e-12 and margin <= 0


def ties_test(values: Sequence[float], margin: float) -> float:
    """p of the hypothesis of `p_above`, from how few of the values differ from the one that most of them tie at.

    The t-test takes a few rare differences for none. At a margin below the tie, the mean lies there only if a share of
    at least (tie - margin) / (largest deviation seen) of all values lie below the tie: this is the chance that so few
    do (Clopper and Pearson 1934).

    Returns:
        p in [0, 1]; 0, no objection to the t-test, where `deviations` finds none that matter.
    """
    found = deviations(values, margin)
    if found is None:
        return 0.0
    from scipy import special

    return float(special.bdtr(found[0], len(values), found[1]))


def deviations(values: Sequence[float], margin: float) -> tuple[int, float] | None:
    """How many values lie below the one that more than half of them tie at, and the share of such that brings the mean
    down to `margin`; None where none would, where no more than half tie, or where they do so at or below the margin.

    Where none lies below, they are thought as far away as those above; unless it is only the side of 0 that is asked.
    """
    counts = Counter(round(value, 12) for value in values)
    tie, number = counts.most_common(1)[0]
    few = sum(value < tie for value in counts.elements())
    largest = tie - min(counts) if few else max(counts) - tie
    if 2 * number <= len(values) or not 1e-12 < tie - margin < largest or (not few and shows_side([tie], margin)):
        return None
    return few, (tie - margin) / largest


def p_below(values: Sequence[float], margin: float) -> float:
    """One-sided p-value of the hypothesis that `values` lie at or above `margin`; see `p_above`."""
    return p_above([-value for value in values], -margin)


def sign_test(values: Sequence[float]) -> float:
    """The chance that so many of the values other than 0 are above it, were each side equally likely."""
    from scipy import stats

    signs = [value > 0 for value in values if value != 0]
    return float(stats.binom.sf(sum(signs) - 1, len(signs), 0.5)) if signs else 1.0


def p_above_exact(values: Sequence[float], margin: float) -> float:
    """The hypothesis of `p_above`, by permutation: the share of changes of sign with as high a sum (Fisher 1935).

    It asks for nothing but symmetry, and cannot fall below 2^-n. With more than 12 values 4,095 changes are drawn,
    and the observed signs are counted among them. With an infinite value, `sign_test`.
    """
    if len(values) < 2:
        return 1.0
    shifted = [value - margin for value in values]
    if not all(map(math.isfinite, shifted)):
        return sign_test(shifted)
    import numpy as np

    sums = sign_changes(len(shifted)) @ np.array(shifted)
    return float((sums >= sums[0] - 1e-9 * np.abs(shifted).sum()).mean())


def sign_changes(n: int):
    """Signs (m, n), the first row all plus: all 2^n of them, or 4,096 from 13 values on."""
    import numpy as np

    if n <= MOST_EXACT:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    signs = np.random.default_rng(0).choice([1.0, -1.0], size=(2**MOST_EXACT, n))
    signs[0] = 1.0
    return signs


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: reject where the result is below alpha, and one false rejection has chance alpha."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted
