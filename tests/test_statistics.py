"""The statistics agree with scipy, with figures worked by hand, and with themselves where samples are degenerate."""

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lab.studies.select.pairs import subtract
from lab.studies.statistics import power
from lab.studies.statistics.estimate import estimate, improvement, interquartile_mean, mean_interval, mean_intervals
from lab.studies.statistics.p_values import holm, p_above, p_above_exact, p_below
from lab.studies.statistics.power import seeds_needed

INF = math.inf


def t_test(values: Any, margin: float, alternative: str) -> Any:
    """scipy's p-values, along the last axis."""
    return stats.ttest_1samp(values, margin, axis=-1, alternative=alternative)[1]


def test_interval_of_few_values_is_that_of_t():
    values = [0.91, 0.93, 0.90, 0.95, 0.88]
    assert mean_interval(values) == pytest.approx(stats.t.interval(0.95, 4, np.mean(values), stats.sem(values)))
    assert mean_interval(values, 0.8) == pytest.approx(stats.t.interval(0.8, 4, np.mean(values), stats.sem(values)))


def test_interval_of_ten_values_is_as_wide_as_either():
    values = np.random.default_rng(3).exponential(size=12)
    t = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    level = float(1 - 2 * stats.norm.sf(math.sqrt(12 / 11) * stats.t.isf(0.025, 11)))
    bca = stats.bootstrap(
        (values,), np.mean, method="BCa", confidence_level=level, n_resamples=4999, rng=np.random.default_rng(0)
    ).confidence_interval
    assert bca.low > t[0]
    assert bca.high > t[1]
    assert mean_interval(values.tolist()) == pytest.approx((t[0], bca.high))
    assert mean_interval(values.tolist()) == mean_interval(values.tolist())


@pytest.mark.parametrize("n", [2, 5, 10, 25])
@pytest.mark.parametrize("bounds", [(-INF, INF), (0.0, 8.0)])
def test_intervals_of_columns_are_those_of_each(n, bounds):
    values = np.random.default_rng(n).exponential(size=(n, 6))
    values[:, 3], values[:, 4], values[:, 5] = 0.1, np.round(values[:, 4]), 0.0
    edges = np.array(mean_intervals(values, bounds)).T
    for column, found in zip(values.T, edges, strict=True):
        assert found.tolist() == pytest.approx(mean_interval(column.tolist(), bounds=bounds))


def test_no_interval_goes_beyond_what_there_can_be():
    values = [1.0, 0.9, 1.0]
    assert (mean_interval(values) or (0, 0))[1] > 1
    found = estimate(values, (0.0, 1.0))
    assert found is not None
    assert found.interval is not None
    assert 0.0 < found.interval[0] < (mean_interval(values) or (0, 0))[0]
    assert found.interval[1] == 1.0


def test_far_from_the_bounds_they_change_nothing():
    values = [0.501, 0.503, 0.497, 0.499, 0.504]
    assert mean_interval(values, bounds=(0.0, 1.0)) == pytest.approx(mean_interval(values), abs=1e-6)
    assert mean_interval(values, bounds=(0.0, INF)) == mean_interval(values)


def test_degenerate_samples_have_an_interval_of_no_width_or_none():
    assert mean_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)
    assert mean_interval([0.5, 0.5 + 1e-16]) == (0.5, 0.5)
    assert mean_interval([0.1]) is None
    assert mean_interval([]) is None
    assert mean_interval([1.0, INF]) is None


def test_difference_pairs_by_position():
    paired = estimate(subtract([0.9, 0.8, 0.7], [0.8, 0.7, 0.6]))
    assert paired is not None
    assert paired.value == pytest.approx(0.1)
    assert paired.interval == pytest.approx((0.1, 0.1))
    with pytest.raises(ValueError, match="shorter"):
        subtract([1.0, 2.0], [1.0])


def test_equal_infinities_are_a_tie():
    assert subtract([INF, INF, 3.0], [INF, 2.0, INF]) == [0.0, INF, -INF]


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


def test_values_without_spread_are_tested_by_their_signs():
    # Three seeds in which one arm is an epoch ahead are no certainty: by chance alone one in eight.
    assert p_above([0.3, 0.3, 0.3], 0.0) == p_above([0.3, 0.3, 0.3], -0.1) == 1 / 8
    assert p_below([-0.1, -0.1], 0.0) == 1 / 4
    assert p_above([0.1, 0.1], 0.2) == p_below([0.1, 0.1], 0.0) == 1.0
    assert p_above([0.0, 0.0], 0.0) == p_below([0.0, 0.0], 0.0) == 1.0
    # How far from 0 the mean is they do not tell: rarer values may lie anywhere.
    assert p_above([0.3] * 9, 0.2) == p_below([0.1] * 9, 0.2) == 1.0
    assert p_above([0.0] * 9, -0.01) == p_below([0.0] * 9, 0.01) == 1.0
    # 0.3 - 0.1 is a little below 0.2 in floating point; that is no evidence.
    assert p_below([0.3 - 0.1] * 3, 0.2) == 1.0
    assert p_above([5.0], 0.0) == 1.0


def test_a_few_rare_differences_are_not_taken_for_none():
    values = [0.0] * 9 + [0.02]
    # The mean reaches 0.005 if a quarter of the values are like the one: then one or none of ten have a chance of 24 %.
    assert p_below(values, 0.005) == pytest.approx(stats.binom.cdf(1, 10, 0.25))
    # Beyond the largest difference, on the other side of 0, and with less than half tied, t has no objection.
    for fine, margin in ((values, 0.03), ([-v for v in values], 0.0), ([0.0, 0.0, 0.01, 0.02, 0.03], 0.05)):
        assert p_below(fine, margin) == pytest.approx(t_test(fine, margin, "less"))
    assert p_above([-v for v in values], -0.005) == p_below(values, 0.005)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_exact_p_values_are_those_of_scipy(n):
    values = np.random.default_rng(n).normal(0.3, size=n)
    reference = stats.permutation_test(
        (values - 0.1,), np.sum, permutation_type="samples", alternative="greater", n_resamples=9999
    )
    assert p_above_exact(values.tolist(), 0.1) == pytest.approx(reference.pvalue)


def test_exact_p_values_of_many_values_are_drawn():
    values = np.random.default_rng(0).normal(0.3, size=20).tolist()
    assert p_above_exact(values, 0.0) == pytest.approx(p_above(values, 0.0), abs=0.02)
    assert p_above_exact([1.0] * 20, 0.0) == pytest.approx(2**-12)
    assert p_above_exact([INF, INF, 1.0], 0.0) == 1 / 8
    assert p_above_exact([1.0], 0.0) == 1.0


def test_interquartile_mean_by_hand():
    assert interquartile_mean([9.0, 1.0, 2.0, 3.0]) == 2.5
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0
    assert interquartile_mean([INF, 1.0, 2.0, 3.0]) == 2.5
    assert interquartile_mean([INF, INF, 2.0, 3.0]) is None


def test_improvement_counts_ties_half():
    share, low, high = improvement([0.1, 0.0, -0.1, 0.2]) or (0, 0, 0)
    assert share == 0.625
    assert 0 < low < share < high < 1
    assert (improvement([1.0, 1.0]) or (0, 0, 0))[2] == 1.0
    assert improvement([]) is None


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


def test_seeds_needed_are_right_in_the_median_of_undecided_claims():
    generator, effect, said = np.random.default_rng(0), 0.55, []
    power = [stats.nct.sf(stats.t.isf(0.05, n - 1), n - 1, effect * math.sqrt(n)) for n in range(2, 60)]
    truth = next(n for n, value in enumerate(power, start=2) if value >= 0.8) - 10
    for values in generator.normal(effect, size=(400, 10)).tolist():
        if min(p_above(values, 0.0), p_below(values, 0.0)) >= 0.05:
            said.append(seeds_needed(values, [0.0]) or INF)
    assert truth == 12
    assert len(said) > 100
    assert np.median(said) == pytest.approx(truth, rel=1 / 3)


@pytest.mark.parametrize("effect", [0.0, 0.5, 3.0, 20.0, 37.0, 39.0, 60.0, 400.0, 5000.0])
def test_the_noncentral_t_is_that_of_another_library_however_large_the_effect(effect: float) -> None:
    for freedom in (1, 2, 4, 9, 30, 254, 499, 1004):
        for t in (-2.0, 0.0, 2.5, 5.0, 12.0):
            expected = stats.nct.cdf(t, freedom, effect)  # by boost
            expected = 0.0 if math.isnan(expected) and effect > t + 20 else expected
            assert power.t_below(freedom, effect, t) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scale", [0.01, 0.1, 0.3, 1.0])
def test_an_effect_that_is_large_beside_its_spread_takes_few_seeds(scale: float) -> None:
    values = [0.031 + scale * one for one in (-0.002, 0.03, -0.002, -0.016, -0.01)]
    asked = [seeds_needed([value * size for value in values], [0.0], 0.004) for size in (1.0, -1.0, 50.0)]
    assert len(set(asked)) == 1
    assert asked[0] is not None
    assert asked[0] <= 5


def test_seeds_needed_where_there_is_no_ground_for_a_number():
    assert seeds_needed([0.3], [0.0]) is None
    assert seeds_needed([-1.0, 1.0], [0.0]) is None
    assert seeds_needed([0.0, 0.0, 0.0], [0.0]) is None
    # Five of five alike give p = 1/32, the first below 0.05.
    assert seeds_needed([1.0, 1.0], [0.0]) == 3
    assert seeds_needed([1.0, 1.0], [0.5]) is None
    assert seeds_needed([0.0] * 5, [-0.1, 0.1]) is None


def test_an_effect_that_chance_exceeds_half_of_the_time_gives_no_number():
    # The median of |t| with 4 degrees of freedom, among those up to the edge of one-sided 0.05, is 0.66.
    edge, middle = (float(stats.t.isf(tail, 4)) for tail in (0.05, 0.5 - 0.45 / 2))
    assert stats.t.cdf(edge, 4) - 0.5 == pytest.approx(2 * (stats.t.cdf(middle, 4) - 0.5))
    noise = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    for factor, known in ((0.95, False), (1.3, True)):
        values = noise + factor * middle * stats.sem(noise)
        assert (seeds_needed(values.tolist(), [0.0]) is not None) == known
        assert (seeds_needed((-values).tolist(), [0.0]) is not None) == known


def test_a_later_look_with_a_smaller_level_needs_more_seeds():
    values = [0.3, 0.1, -0.1, 0.4, 0.0]
    asked: list[int] = []

    def later(further: int) -> float:
        asked.append(further)
        return 0.01

    now, then = seeds_needed(values, [0.0]), seeds_needed(values, [0.0], 0.05, later)
    assert now is not None
    assert then is not None
    assert then > now
    assert {1000, then} <= set(asked)
    # The effect is estimated at the level of this look, the power found at that of the next.
    assert then != seeds_needed(values, [0.0], 0.01)


def test_few_values_ask_for_more_seeds_than_normal_ones_would_need(monkeypatch: pytest.MonkeyPatch):
    for values in ([0.1, 0.5, 0.3], [0.3, 0.1, -0.1, 0.4, 0.0], [0.3, 0.1, -0.1, 0.4, 0.0] * 2):
        raised = seeds_needed(values, [0.0], 0.001)
        monkeypatch.setattr(power, "caution", lambda values: 1.0)
        plain = seeds_needed(values, [0.0], 0.001)
        monkeypatch.undo()
        assert plain is not None
        factor = {3: 1.25, 5: 1.116, 10: 1.0}[len(values)]
        assert raised == round(plain * factor)
        assert plain > 4 or len(values) == 10  # so that the factor is seen


def test_seeds_needed_where_most_tie_are_those_of_the_rarer_test():
    values = [0.0] * 9 + [0.02]
    further = seeds_needed(values, [0.005])
    assert further is not None

    def power(n: int) -> float:
        most = next(k for k in range(n) if stats.binom.cdf(k, n, 0.25) >= 0.05) - 1
        return float(stats.binom.cdf(most, n, 0.1))

    assert power(10 + further) >= 0.8
    assert p_below(values, 0.005) > 0.05


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
