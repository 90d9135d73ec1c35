"""The statistics agree with scipy, with figures worked by hand, and with themselves where samples are degenerate."""

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lab.studies.statistics import (
    difference,
    differences,
    estimate,
    holm,
    mean_interval,
    p_above,
    p_below,
    seeds_needed,
)

INF = math.inf


def t_test(values: Any, margin: float, alternative: str) -> Any:
    """scipy's p-values, along the last axis."""
    return stats.ttest_1samp(values, margin, axis=-1, alternative=alternative)[1]


def test_interval_is_that_of_scipy():
    values = [0.91, 0.93, 0.90, 0.95, 0.88]
    reference = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=4999, rng=np.random.default_rng(0)
    ).confidence_interval
    assert mean_interval(values) == pytest.approx((reference.low, reference.high))
    assert mean_interval(values) == mean_interval(values)


def test_degenerate_samples_have_an_interval_of_no_width_or_none():
    assert mean_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)
    assert mean_interval([0.5, 0.5 + 1e-16]) == (0.5, 0.5)
    assert mean_interval([0.1]) is None
    assert mean_interval([]) is None
    assert mean_interval([1.0, INF]) is None
    low, high = mean_interval([0.1, 0.1, 0.1, 0.1, 0.9]) or (0, 0)
    assert 0.1 <= low < 0.26 < high <= 0.9


def test_difference_pairs_by_position():
    paired = difference([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert paired is not None
    assert paired.value == pytest.approx(0.1)
    assert paired.interval == pytest.approx((0.1, 0.1))
    with pytest.raises(ValueError, match="shorter"):
        difference([1.0, 2.0], [1.0])


def test_equal_infinities_are_a_tie():
    assert differences([INF, INF, 3.0], [INF, 2.0, INF]) == [0.0, INF, -INF]


def test_estimate_falls_back_to_the_median_where_a_value_is_infinite():
    found = estimate([420.0, 400.0, INF])
    assert found is not None
    assert (found.value, found.interval, found.num_infinite) == (420.0, None, 1)
    assert estimate([]) is None
    for values, center in (([INF, -INF], 0.0), ([INF, INF], INF), ([1.0, INF], INF)):
        found = estimate(values)
        assert found is not None
        assert found.value == center


@pytest.mark.parametrize("margin", [0.0, 0.1, -0.2])
def test_p_values_are_those_of_the_paired_t_test(margin):
    generator = random.Random(1)
    values = [generator.gauss(0.1, 0.2) for _ in range(7)]
    assert p_above(values, margin) == pytest.approx(t_test(values, margin, "greater"))
    assert p_below(values, margin) == pytest.approx(t_test(values, margin, "less"))


def test_p_values_of_values_without_spread_are_the_limit():
    assert p_above([0.3, 0.3], 0.2) == 0.0
    assert p_above([0.1, 0.1], 0.2) == 1.0
    assert p_below([0.1, 0.1], 0.2) == 0.0
    assert p_above([0.0, 0.0], 0.0) == p_below([0.0, 0.0], 0.0) == 1.0
    # 0.3 - 0.1 is a little below 0.2 in floating point; that is no evidence.
    assert p_below([0.3 - 0.1] * 3, 0.2) == 1.0
    assert p_above([5.0], 0.0) == 1.0


def test_infinite_values_are_tested_by_their_signs():
    assert p_above([INF, INF, INF, 5.0, 2.0], 0.0) == pytest.approx(1 / 32)
    assert p_above([INF, INF, INF, INF, -2.0], 0.0) == pytest.approx(6 / 32)
    assert p_above([INF, 0.0, 0.0, 3.0], 0.0) == pytest.approx(1 / 4)
    assert p_below([INF, INF, INF], 0.0) == 1.0
    assert p_above([-INF, -INF], -INF) == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_seeds_needed_reaches_the_power_that_is_simulated():
    values = [-0.5, 1.5, 0.5, 0.9, 0.1]  # mean 0.5, standard deviation 0.76
    further = seeds_needed(values, [0.0])
    assert further is not None
    n = len(values) + further
    sample = np.random.default_rng(0).normal(np.mean(values), np.std(values, ddof=1), (4000, n))
    power = (t_test(sample, 0.0, "greater") < 0.05).mean()
    assert 0.78 < power < 0.86


def test_seeds_needed_where_there_is_no_ground_for_a_number():
    assert seeds_needed([0.3], [0.0]) is None
    assert seeds_needed([-1.0, 1.0], [0.0]) is None
    assert seeds_needed([0.0, 0.0, 0.0], [0.0]) is None
    assert seeds_needed([1.0, 1.0], [0.0]) == 1


def test_seeds_needed_by_signs():
    # Five of five on one side give p = 1/32, the first below 0.05.
    assert seeds_needed([INF, INF, INF], [0.0]) == 2
    assert seeds_needed([INF, -INF], [0.0]) is None


def test_seeds_needed_between_two_margins_exceeds_that_of_either():
    values = [0.01, -0.03, 0.02, 0.04, -0.01]
    either = [seeds_needed(values, [margin]) for margin in (-0.03, 0.03)]
    both = seeds_needed(values, [-0.03, 0.03])
    assert both is not None
    assert all(one is not None and one <= both for one in either)
