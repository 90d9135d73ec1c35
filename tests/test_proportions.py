"""Exact tests and intervals of shares, beside scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from lab.studies.statistics.proportions import (
    clopper_pearson,
    estimate_share,
    estimate_share_difference,
    p_difference,
    share_above,
    share_below,
    unseen,
)


def ones(k: int, n: int) -> list[float]:
    return [1.0] * k + [0.0] * (n - k)


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(5, 5, 0, 5), (4, 5, 1, 5), (9, 10, 4, 10), (7, 12, 3, 9), (2, 3, 2, 3)]
)
def test_without_a_margin_it_is_barnards_test(a: int, n: int, b: int, m: int) -> None:
    found = stats.barnard_exact([[a, b], [n - a, m - b]], alternative="greater").pvalue
    assert p_difference(a, n, b, m, 0.0) == pytest.approx(found, rel=1e-3)


def test_few_seeds_in_different_modes_by_hand() -> None:
    """Equal shares of one half make n against 0 of n likeliest: 4^-n."""
    for n in (2, 3, 5):
        assert share_above([ones(n, n), ones(0, n)], 0.0) == pytest.approx(4.0**-n)
    p = ((1 + 0.3) / 2) ** 10  # shares of .65 and .35 are 5 and 0 of 5
    assert share_above([ones(5, 5), ones(0, 5)], 0.3) == pytest.approx(p, rel=1e-4)


@pytest.mark.parametrize("margin", [-0.3, -0.05, 0.0, 0.1, 0.4])
@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 5), (10, 7)])
def test_it_keeps_its_level_with_any_margin(margin: float, n: int, m: int) -> None:
    """The chance of p <= .05 where the difference is the margin, or smaller, added up over all outcomes."""
    for second in np.linspace(0, 1, 21):
        for first in (second + margin, second + margin - 0.2):
            if 0 <= first <= 1:
                chances = np.outer(stats.binom.pmf(range(n + 1), n, first), stats.binom.pmf(range(m + 1), m, second))
                wrong = [
                    chances[a, b]
                    for a in range(n + 1)
                    for b in range(m + 1)
                    if p_difference(a, n, b, m, margin) <= 0.05
                ]
                assert sum(wrong) <= 0.05 + 1e-4


def test_it_turns_with_its_sides() -> None:
    sides = [ones(7, 10), ones(2, 10)]
    assert share_below(sides, 0.1) == share_above(sides[::-1], -0.1)
    assert share_above(sides, 0.0) + share_below(sides, 0.0) > 1  # both count what was seen
    four = [ones(10, 10), ones(0, 10), ones(0, 10), ones(10, 10)]
    assert share_above(four, 0.0) < 0.04 < share_above([side[:6] for side in four], 0.0)
    assert share_below([four[i] for i in (1, 0, 3, 2)], 0.0) == share_above(four, 0.0)
    assert share_below(four, 0.0) == 1


def test_what_is_no_share_shows_nothing() -> None:
    assert share_above([[1.0, 0.5, 1.0], [0.0, 0.0, 0.0]], 0.0) == 1
    assert share_above([[1.0], [0.0]], 0.0) == 1
    assert share_above([ones(5, 5), ones(0, 5)], 1.0) == 1
    found = estimate_share_difference([[1.0, 0.5], [0.0, 0.0]])
    assert found is not None
    assert (found.value, found.interval) == (0.75, None)
    assert estimate_share([]) is None


def test_intervals_agree_with_scipy_and_with_the_test() -> None:
    for k, n in ((0, 5), (3, 5), (10, 10)):
        low, high = stats.binomtest(k, n).proportion_ci(0.95)
        assert clopper_pearson(k, n, 0.025) == pytest.approx((low, high))
        found = estimate_share(ones(k, n))
        assert found is not None
        assert found.interval == pytest.approx((low, high))
    sides = [ones(9, 10), ones(4, 10)]
    found = estimate_share_difference(sides)
    assert found is not None
    assert found.interval is not None
    low, high = found.interval
    assert 0 < low < found.value < high < 1
    assert share_above(sides, low - 1e-4) < 0.025 < share_above(sides, low + 1e-4)
    assert share_below(sides, high + 1e-4) < 0.025 < share_below(sides, high - 1e-4)


def test_what_clean_seeds_do_not_exclude() -> None:
    """n runs without a failure have the chance (1 - f)^n."""
    assert [round(unseen(n, 0.04), 2) for n in (3, 5, 20)] == [0.66, 0.47, 0.15]
    assert (1 - unseen(5, 0.04)) ** 5 == pytest.approx(0.04)
