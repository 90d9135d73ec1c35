"""The lab's figures beside those of statsmodels and rliable, where they compute the same thing."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lab.studies.claims.flips import mcnemar
from lab.studies.statistics.estimate import improvement, interquartile_mean
from lab.studies.statistics.p_values import holm, p_above, p_below

VALUES = np.random.default_rng(0).normal(0.4, 1, size=11)


def module(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their own imports may warn, which is not ours to mend
        return pytest.importorskip(name, reason=f"{name} is not installed; it is only compared with")


def test_two_one_sided_tests_are_those_of_statsmodels() -> None:
    weights = module("statsmodels.stats.weightstats")
    p, upper, lower = weights.ttost_paired(VALUES, np.zeros(11), -1.0, 1.0)
    ours = p_above(VALUES.tolist(), -1.0), p_below(VALUES.tolist(), 1.0)
    assert max(ours) == pytest.approx(p, rel=1e-12)
    assert sorted(ours) == pytest.approx(sorted((upper[1], lower[1])), rel=1e-12)


def test_holm_is_that_of_statsmodels() -> None:
    multitest = module("statsmodels.stats.multitest")
    ps = [0.012, 0.04, 0.001, 0.3, 0.04]
    assert holm(ps) == pytest.approx(multitest.multipletests(ps, method="holm")[1], rel=1e-12)


def test_mcnemar_is_that_of_statsmodels() -> None:
    tables = module("statsmodels.stats.contingency_tables")
    for gained, lost in ((3, 12), (0, 4), (7, 7)):
        reference = tables.mcnemar([[50, gained], [lost, 30]], exact=True).pvalue
        assert mcnemar(gained, lost) == pytest.approx(reference, rel=1e-9)
        assert mcnemar(gained, lost) == pytest.approx(min(1, stats.binomtest(gained, gained + lost).pvalue), rel=1e-9)
    assert mcnemar(0, 0) == 1.0


def test_interval_of_the_probability_is_that_of_statsmodels() -> None:
    proportion = module("statsmodels.stats.proportion")
    low, high = proportion.proportion_confint((VALUES > 0).sum(), 11, method="wilson")
    assert improvement(VALUES.tolist()) == pytest.approx(((VALUES > 0).mean(), low, high), rel=1e-9)


def test_interquartile_mean_and_probability_are_those_of_rliable() -> None:
    metrics = module("rliable.metrics")
    assert interquartile_mean(VALUES.tolist()) == pytest.approx(metrics.aggregate_iqm(VALUES[:, None]), rel=1e-12)
    # One run a task: rliable averages over tasks what a pair says, as we do over seeds.
    a, b = np.round(VALUES), np.zeros(11)
    share = (improvement((a - b).tolist()) or (0, 0, 0))[0]
    assert share == pytest.approx(metrics.probability_of_improvement(a[None], b[None]), rel=1e-12)
