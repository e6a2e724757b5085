"""Intervals against scipy.stats."""

import numpy as np
import pytest
from scipy import stats

from study.statistics import binomial, interval


@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_the_interval_of_a_mean_is_students(n):
    values = np.random.default_rng(n).normal(3, 2, n)
    expected = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert interval(values)[1:] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 40), (7, 40), (40, 40), (999, 1000), (3, 100_000)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert binomial(successes, trials) == pytest.approx((expected.low, expected.high), rel=1e-9)
