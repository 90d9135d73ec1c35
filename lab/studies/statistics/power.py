"""The seeds still needed to decide a claim, from the power of its tests at the effect that is seen so far.

Source: power of the t-test from the noncentral t distribution. How far the numbers can be believed is measured by
`benchmarks/calibration.py`.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

from lab.studies.statistics.estimate import ALPHA, BOOTSTRAP_FROM, spread
from lab.studies.statistics.p_values import deviations, shows_side

POWER = 0.8
MOST_SEEDS = 1000


def seeds_needed(
    values: Sequence[float],
    margins: Sequence[float],
    alpha: float = ALPHA,
    later: Callable[[int], float] | None = None,
) -> int | None:
    """Further pairs until one-sided tests against all of `margins` reject with power 0.8, as far as can be told so far.

    Args:
        values: paired differences so far, at least two, which left the matter undecided.
        margins: one value for a test away from it on the side of the mean; two for the mean to lie between them.
        alpha: level of each test so far.
        later: level of each test with so many further pairs, which falls with their number; `alpha` if None.

    Returns:
        A number of at least 1; None if it is above 1,000, or if the observed values give no ground for one.
    """
    if len(values) < 2:
        return None
    if all(map(math.isfinite, values)):
        powers = [t_power(values, margin, alpha if len(margins) == 1 else None) for margin in margins]
    else:
        powers = [sign_power(values, margin) for margin in margins]

    def enough(further: int) -> bool:
        level = later(further) if later else alpha
        return sum(power(len(values) + further, level) for power in powers) - (len(margins) - 1) >= POWER

    if not enough(MOST_SEEDS):
        return None
    number = 1 + bisect_left(range(1, MOST_SEEDS + 1), True, key=enough)
    return min(MOST_SEEDS, round(number * caution(values)))


def t_below(freedom: int, effect: float, t: float) -> float:
    """The chance that a noncentral t with noncentrality `effect` lies below `t`.

    scipy's series gives no number from an `effect` of about 38 on; a normal approximation stands in (Johnson and Welch
    1940), which is 0 or 1 there to all digits that matter.
    """
    from scipy import special

    found = float(special.nctdtr(freedom, effect, t))
    if not math.isnan(found):
        return found
    return float(special.ndtr((t * (1 - 1 / (4 * freedom)) - effect) / math.sqrt(1 + t * t / (2 * freedom))))


def least_effect(n: int, level: float) -> float:
    """The effect, in standard deviations of a value, that a one-sided t-test of `n` values shows with power 0.8.

    Args:
        n: number of values, two or more.
        level: of the test.
    """
    from scipy import special

    critical = -float(special.stdtrit(n - 1, level))
    least, most = 0.0, 1e5
    for _ in range(60):
        middle = (least + most) / 2
        below = t_below(n - 1, middle * math.sqrt(n), critical)
        least, most = (middle, most) if below > 1 - POWER else (least, middle)
    return most


def caution(values: Sequence[float]) -> float:
    """By how much the number of further seeds is raised, since a few values do not show their tails.

    A number that is right for normal scores is half of what skewed or heavy-tailed ones need after three seeds, and two
    thirds after five. Nobody can tell them apart from so few, so a middle course is taken below ten values: 1.25 times
    the number after three, 1.12 after five (`benchmarks/calibration.py`). Values without spread, and those with an
    infinite one, are counted by their signs, which have no tails.
    """
    n = len(values)
    by_sign = not all(map(math.isfinite, values)) or spread(values) == 0
    return 1.0 if by_sign or n >= BOOTSTRAP_FROM else 1 + 1.3 / n**1.5


Power = Callable[[int, float], float]
"""Number of values and level to the chance that a one-sided test rejects."""


def t_power(values: Sequence[float], margin: float, undecided_at: float | None) -> Power:
    """Power of the one-sided t-test away from `margin`, at the effect that finite `values` suggest; where half of them
    tie it is at most that of `ties_test`, at the share of them that deviates.

    Args:
        values: differences so far.
        margin: what they are tested against.
        undecided_at: the level at which a test to either side decided nothing, where that is why the question is asked.
    """
    from scipy import special

    size, mean, deviation = len(values), math.fsum(values) / len(values), spread(values)
    sign = 1 if mean > margin else -1
    values, margin = [sign * value for value in values], sign * margin
    if deviation == 0:
        shown = shows_side(values, margin)
        return lambda n, level: float(shown and 0.5**n < level)
    deviating, mean = deviations(values, margin), sign * mean
    effect = median_effect(abs(mean - margin) / deviation * math.sqrt(size), size - 1, undecided_at) / math.sqrt(size)

    def power(n: int, level: float) -> float:
        found = (1 - t_below(n - 1, effect * math.sqrt(n), -float(special.stdtrit(n - 1, level)))) * (effect > 0)
        return min(found, ties_power(n, level)) if deviating else found

    def ties_power(n: int, level: float) -> float:
        from scipy import stats

        few, share = deviating or (0, 0.5)
        most = stats.binom.ppf(level, n, share) - 1  # deviations with which the test rejects
        return float(stats.binom.cdf(most, n, few / size))

    return power


def median_effect(t: float, freedom: int, undecided_at: float | None) -> float:
    """The noncentrality, at least 0, under which a statistic comes out below `t`, at least 0, half of the time.

    Experiments that are undecided are those in which the effect came out small, and to take it as it came would ask for
    twice the seeds and more. So where a level `undecided_at` is given, only statistics that are not significant at it,
    to either side, count, and by their size, as nobody knows the side. Estimates are then above and below the truth
    equally often among undecided experiments, and so is the number of seeds, which falls with the effect. A size that
    chance alone exceeds half of the time gives 0.
    """
    from scipy import special

    edge = math.inf if undecided_at is None else -float(special.stdtrit(freedom, undecided_at))
    if t >= edge:  # decided by itself, and held back by the other claims only
        edge = math.inf

    def below(effect: float) -> float:
        if undecided_at is None:
            return t_below(freedom, effect, t)
        inside, whole = (
            1.0 if math.isinf(x) else t_below(freedom, effect, x) - t_below(freedom, effect, -x) for x in (t, edge)
        )
        return inside / max(whole, 1e-300)

    if below(0.0) <= 0.5:
        return 0.0
    least, most = 0.0, (t if math.isinf(edge) else edge) + 6
    for _ in range(20):
        middle = (least + most) / 2
        least, most = (middle, most) if below(middle) > 0.5 else (least, middle)
    return most


def sign_power(values: Sequence[float], margin: float) -> Power:
    """Power of the sign test against `margin`, at the observed share on its larger side."""
    from scipy import stats

    above, below = sum(value > margin for value in values), sum(value < margin for value in values)
    share = max(above, below) / len(values)
    return lambda n, level: float(stats.binom.sf(stats.binom.isf(level, n, 0.5), n, share))
