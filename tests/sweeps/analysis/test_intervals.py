"""Intervals and p-values against published numbers, closed forms and slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sweeps.analysis import intervals
from sweeps.analysis.intervals import (
    difference_interval,
    holm_p,
    mcnemar_p,
    mean_interval,
    mean_p,
    newcombe,
    ratio_interval,
    share_interval,
    smallest_p,
)


def table(both: int, level_only: int, base_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    rows = [(1, 1)] * both + [(1, 0)] * level_only + [(0, 1)] * base_only + [(0, 0)] * neither
    level, base = np.array(rows, dtype=float).T
    return level, base


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        # Newcombe (1998, Stat Med 17:2635), examples of method 10
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((20, 12, 2, 16), 0.0562, 0.3292),
        # Altman et al. (2000), Statistics with Confidence, p. 52: .01 to .23
        ((14, 5, 0, 22), 0.0114, 0.2265),
    ],
)
def test_newcombe_as_published(cells: tuple[int, int, int, int], low: float, high: float) -> None:
    found = newcombe(*table(*cells))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.method == "Newcombe"


def test_newcombe_mirrors() -> None:
    level, base = table(7, 5, 1, 4)
    there, back = newcombe(level, base), newcombe(base, level)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(5, 5, 0.566, 1), (0, 5, 0, 0.434), (8, 10, 0.490, 0.943), (20, 20, 0.839, 1)]
)
def test_wilson_of_one_replicate_a_unit(k: int, n: int, low: float, high: float) -> None:
    found = share_interval(np.array([1.0] * k + [0.0] * (n - k)), n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)


def test_clustered_replicates_count_for_less() -> None:
    same = np.array([1.0, 0.0] * 15)
    naive = share_interval(same, 30)
    clustered = share_interval(same, 150)
    # five replicates that always agree are one: only the t quantile widens it
    assert clustered.high - clustered.low == pytest.approx(naive.high - naive.low, rel=0.06)
    assert clustered.high - clustered.low > naive.high - naive.low
    spread = np.array([0.4, 0.6] * 15)
    # these differ less than binomial replicates would, and still count as 150 at most
    assert share_interval(spread, 150).high - 0.5 == pytest.approx(stats.t.ppf(0.975, 29) * 0.5 / 150**0.5, rel=0.02)


@pytest.mark.parametrize("value", [0.0, 0.6, 1.0])
def test_units_that_are_all_alike_keep_a_width(value: float) -> None:
    x = np.full(10, value)
    share, mean = share_interval(x, 50), mean_interval(x * 300, (0, 300))
    difference = difference_interval(x, np.zeros(10), (0, 1))
    assert mean is not None
    assert difference is not None
    for one, scale in ((share, 1), (mean, 300), (difference, 1)):
        assert one.high - one.low > 0.25 * scale
        assert one.low <= one.value <= one.high
        assert "all alike" in one.method
    # nothing to hold on to: no interval rather than one without a width
    assert mean_interval(x, None) is None
    assert difference_interval(x, x, None) is None
    assert ratio_interval(x) is None


def test_t_on_units_is_scipys() -> None:
    level, base = np.random.default_rng(0).normal(size=(2, 9))
    found = difference_interval(level, base, (-20, 20))
    wanted = stats.ttest_rel(level, base).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.method == "t on units"


def test_an_arms_mean_is_resampled_from_30_units_and_stays_in_bounds() -> None:
    x = np.where(np.arange(30) < 3, 100.0, 300.0)
    found = mean_interval(x, (0, 300))
    assert found is not None
    assert found.method == "cluster bootstrap"
    # BCa leans to the long tail, as t cannot
    assert found.value - found.low > 1.4 * (found.high - found.value)
    again = mean_interval(x, (0, 300))
    assert found == again
    few = mean_interval(x[:29], (0, 300))
    assert few is not None
    assert few.method == "t on units"
    assert few.high <= 300


def test_a_ratio_is_exp_of_t_on_logs() -> None:
    logs = np.log([1.1, 1.4, 0.9, 1.3])
    found = ratio_interval(logs)
    assert found is not None
    wanted = stats.ttest_1samp(logs, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((np.exp(wanted.low), np.exp(wanted.high)))
    assert found.value == pytest.approx((1.1 * 1.4 * 0.9 * 1.3) ** 0.25)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_sign_flips_are_scipys_permutation_test(n: int) -> None:
    d = np.random.default_rng(n).normal(0.7, 1, size=n).round(1)
    wanted = stats.permutation_test(
        (d,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert mean_p(d) == pytest.approx(wanted.pvalue)


def test_the_smallest_p_is_reached_and_not_passed() -> None:
    assert mean_p(np.array([1.0, 2, 3, 4, 5])) == pytest.approx(smallest_p(5)) == pytest.approx(0.0625)
    assert mean_p(np.zeros(5)) == 1.0
    assert mean_p(np.zeros(40)) == 1.0
    assert mean_p(np.full(40, 0.2)) == pytest.approx(2 * 0.5**40)


def test_more_units_than_flips_take_t() -> None:
    d = np.random.default_rng(0).normal(0.3, 1, size=intervals.EXACT_TO + 1)
    assert mean_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue)


def test_mcnemar_is_the_sign_test_of_pairs_that_differ() -> None:
    assert mcnemar_p(*table(3, 9, 1, 4)) == pytest.approx(stats.binomtest(9, 10).pvalue)
    assert mcnemar_p(*table(3, 2, 2, 4)) == 1.0
    assert mcnemar_p(*table(3, 0, 0, 4)) == 1.0


def test_holm_is_statsmodels() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9, 0.03])
    assert holm_p(p) == pytest.approx(multipletests(p, method="holm")[1])
