import math

import numpy as np
import pytest
from scipy import stats

from core import statistics


def test_paired_tests_against_scipy_and_by_hand():
    differences = np.array([0.03, 0.05, -0.01, 0.04, 0.02])
    assert statistics.paired_t(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert statistics.paired_t(np.array([0.1])) is None and statistics.paired_t(np.zeros(4)) == 1.0
    found = stats.permutation_test((differences, np.zeros(5)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    assert statistics.exact_sign_flip(differences) == pytest.approx(found.pvalue)
    assert statistics.exact_sign_flip(np.abs(differences)) == pytest.approx(2 / 32), "the least that five draws can say"
    assert statistics.exact_sign_flip(np.ones(17)) is None and statistics.exact_sign_flip(np.zeros(3)) == 1.0


def test_statistics_against_independent_computations():
    values = np.array([0.5, 0.6, 0.55])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.t_interval(values) == pytest.approx((expected.low, expected.high))
    assert statistics.t_interval(values[:1]) is None
    first = np.array([1.0] * 10 + [0.0] * 12)
    second = np.array([1.0] * 8 + [0.0] * 2 + [1.0] * 9 + [0.0] * 3)
    mcnemar = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11
    assert statistics.sign_flip(first, second, 20_000, 0) == pytest.approx(mcnemar, abs=0.01), "with one seed it is McNemar's exact test"
    assert statistics.sign_flip(first, first, 500, 0) == 1.0
    halves = np.array([0.0, 0.5, 1.0] * 20)
    assert statistics.sign_flip(halves, np.minimum(1.0, halves + 0.5), 2000, 0) < 0.01
    rng = np.random.default_rng(0)
    before = rng.random(400)
    after = before + rng.normal(0.1, 0.2, 400)
    low, high = statistics.paired_bootstrap(before, after, 4000, 0)
    half = 1.96 * np.std(after - before) / 20
    assert low == pytest.approx((after - before).mean() - half, abs=0.004)
    assert high == pytest.approx((after - before).mean() + half, abs=0.004)
    assert statistics.paired_bootstrap(before, after, 500, 1) == statistics.paired_bootstrap(before, after, 500, 1)


def test_welch_against_scipy():
    first, second = np.array([0.2, 0.25, 0.22]), np.array([0.3, 0.28, 0.35, 0.27])
    assert statistics.welch_t(first, second) == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)
    assert statistics.welch_t(first[:1], second) is None
    assert statistics.welch_t(np.ones(3), np.ones(2)) == 1.0 and statistics.welch_t(np.ones(3), np.zeros(2)) == 0.0
