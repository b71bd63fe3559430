"""Verdicts on synthetic curves, with the numbers of SCIENCE.md section 5."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import theilslopes

from rnnlab.spec import VerdictSpec
from rnnlab.verdict import FLOOR, SENSITIVITY, WORST_FIRST, Verdict, judge, most_frequent, of_layer, theil_sen, worst

USUAL = VerdictSpec()


def steady(factor: float, lag: int) -> NDArray[np.float64]:
    """log10 of factor^k for lags 0 to `lag`."""
    return np.log10(factor) * np.arange(lag + 1.0)


def bumped(height: float, lag: int = 100, at: int = 50) -> NDArray[np.float64]:
    """Flat but for a hump of `height` decades."""
    curve = np.zeros(lag + 1)
    curve[at - 5 : at + 6] = height
    return curve


def of(log10_K: NDArray[np.float64], thresholds: VerdictSpec = USUAL) -> Verdict:
    return judge(log10_K, len(log10_K) - 1, thresholds)


class TestNames:
    @pytest.mark.parametrize(
        ("curve", "name"),
        [
            (steady(1.0, 100), "healthy"),
            (steady(0.9, 100), "vanishing"),
            (steady(1.1, 100), "exploding"),
            (bumped(3.1), "exploding"),
            (bumped(2.9), "transient"),
            (bumped(1.1), "transient"),
            (bumped(0.9), "healthy"),
            (bumped(-8.0), "healthy"),
            (steady(0.1, 18), "too_short"),
        ],
    )
    def test_each(self, curve: NDArray[np.float64], name: str) -> None:
        assert of(curve).name == name

    def test_exploding_goes_before_vanishing(self) -> None:
        curve = steady(0.9, 100) + bumped(12.0)
        assert of(curve).decades < -3
        assert of(curve).name == "exploding"

    def test_vanishing_goes_before_transient(self) -> None:
        curve = steady(0.9, 100)
        curve[6:10] += 2.5
        assert of(curve).hump > 1
        assert of(curve).name == "vanishing"

    def test_too_short_goes_before_all(self) -> None:
        # 14 lags, 5 to 18; 15 with lag 19
        assert of(steady(10.0, 18)).name == "too_short"
        assert of(steady(10.0, 19)).name == "exploding"
        assert of(np.zeros(19)).name == "too_short"
        assert of(np.zeros(20)).name == "healthy"
        assert of(np.zeros(1)).name == "too_short"

    def test_an_overflow_is_exploding(self) -> None:
        # log10 of inf and of NaN is -FLOOR; a curve that is all that has no hump and no slope
        assert of(np.full(60, -FLOOR)).name == "exploding"
        curve = np.zeros(60)
        curve[30] = -FLOOR
        assert of(curve).name == "exploding"


class TestNumbers:
    """The band of the factor a step for |D| <= 3; D spans 0.9 (K - 5) lags up to half a lag of rounding."""

    @pytest.mark.parametrize(
        ("lag", "low", "high"), [(50, 0.843, 1.186), (100, 0.922, 1.084), (200, 0.961, 1.040), (400, 0.981, 1.020)]
    )
    def test_the_band(self, lag: int, low: float, high: float) -> None:
        # half a lag of 0.9 * 45 moves the edge by .002, three decimals by .0005
        for edge in (low, high):
            step = 0.003 if edge < 1 else -0.003
            assert abs(of(steady(edge + step, lag)).decades) < 3
            assert abs(of(steady(edge - step, lag)).decades) > 3
            # one decimal of D at the edge: 3 * 0.5 / 40 + 0.0005 * 40 * 0.43 / edge
            assert abs(of(steady(edge, lag)).decades) == pytest.approx(3, abs=0.15)

    @pytest.mark.parametrize("lag", [50, 100, 200, 400])
    def test_where_a_steady_curve_changes_its_name(self, lag: int) -> None:
        low = 10 ** (-3 / (0.9 * (lag - 5)))
        assert of(steady(low + 0.003, lag)).name == "healthy"
        assert of(steady(low - 0.003, lag)).name == "vanishing"
        # growing, the hump at the last lag passes 10^3 before D does, for D is of medians of tenths
        high = 10 ** (3 / (lag - 5))
        assert of(steady(high - 1e-4, lag)).name == "transient"
        assert of(steady(high + 1e-4, lag)).name == "exploding"

    def test_a_growing_curve_within_the_band_is_a_hump(self) -> None:
        assert of(steady(1.05, 50)).name == "healthy"
        assert of(steady(1.06, 50)).name == "transient"
        assert 10 ** of(steady(1.06, 50)).hump == pytest.approx(1.06**45, rel=1e-12)

    @pytest.mark.parametrize(
        ("factor", "lag", "decades", "name"),
        [(0.863, 100, -5.5, "vanishing"), (0.863, 40, -2.0, "healthy"), (0.885, 64, -2.84, "healthy")],
    )
    def test_examples(self, factor: float, lag: int, decades: float, name: str) -> None:
        found = of(steady(factor, lag))
        # one or two decimals are quoted, and a tenth of the lags may be rounded by half a lag (0.03)
        assert found.decades == pytest.approx(decades, abs=0.06)
        assert found.name == name

    def test_horizon(self) -> None:
        assert of(steady(0.885, 64)).horizon == 62
        assert of(steady(0.885, 60)).horizon is None
        # .1 a lag passes below 10^-3 of lag 5 at lag 9, for at lag 8 it is 10^-3 to a rounding
        assert of(steady(0.0999, 30)).horizon == 8
        assert judge(steady(0.885, 64), 64, VerdictSpec(horizon=1.0)).horizon == 5 + 19

    @pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1])
    def test_slope_is_of_the_natural_logarithm(self, factor: float) -> None:
        assert np.exp(of(steady(factor, 80)).slope) == pytest.approx(factor, rel=1e-12)

    def test_lags_before_the_fifth_and_after_the_last_are_not_read(self) -> None:
        curve = steady(0.97, 200)
        spoilt = curve.copy()
        spoilt[:5] = 100
        spoilt[101:] = -300
        assert judge(spoilt, 100, USUAL) == judge(curve, 100, USUAL)

    def test_tenths_are_medians(self) -> None:
        curve = np.zeros(105)  # lags 5 to 104: tenths of 10
        curve[5:9] = 0.5
        curve[-4:] = -200.0
        assert of(curve).decades == 0.0


class TestUnderflow:
    def test_it_is_a_flag_beside_the_verdict(self) -> None:
        curve = steady(0.5, 60)
        assert not of(curve).underflow
        curve[60] = FLOOR
        assert of(curve).underflow
        assert of(curve).name == "vanishing"

    def test_only_the_lags_that_are_read_count(self) -> None:
        curve = steady(1.0, 60)
        curve[0] = FLOOR
        assert not of(curve).underflow
        curve[10] = FLOOR
        assert of(curve).underflow
        assert of(curve).name == "healthy"

    def test_a_gradient_that_is_zero_at_all_lags_has_vanished(self) -> None:
        # a plain RNN whose relus are dead: from lag 1 on exactly 0
        dead = np.full(60, FLOOR)
        dead[0] = 0.0
        found = of(dead)
        assert (found.name, found.underflow, found.decades) == ("vanishing", True, FLOOR)
        dead[:7] = 0.0  # lags 5 and 6 live, the median of the first tenth does not
        assert of(dead).name == "vanishing"

    def test_too_short_tells_it_too(self) -> None:
        assert of(np.full(10, FLOOR)).underflow


class TestThresholds:
    def test_each_is_a_parameter(self) -> None:
        two = steady(0.95, 50)  # D = -0.9
        assert of(two).name == "healthy"
        assert of(two, VerdictSpec(decades=0.8)).name == "vanishing"
        assert of(bumped(2.0), VerdictSpec(explosion_hump=50)).name == "exploding"
        assert of(bumped(0.5), VerdictSpec(transient_hump=3)).name == "transient"
        assert of(np.zeros(16), VerdictSpec(least_lags=11)).name == "healthy"
        assert of(np.zeros(16), VerdictSpec(first_lag=0)).name == "healthy"
        assert of(np.zeros(30), VerdictSpec(first_lag=20)).name == "too_short"

    @pytest.mark.parametrize("r", [2.0, 3.0, 5.0])
    def test_sensitivity(self, r: float) -> None:
        edge = 10 ** (-r / (0.9 * 95))
        assert of(steady(edge - 0.003, 100), VerdictSpec(decades=r)).name == "vanishing"
        assert of(steady(edge + 0.003, 100), VerdictSpec(decades=r)).name == "healthy"

    @pytest.mark.parametrize(
        "wrong", [{"decades": 0}, {"explosion_hump": 1}, {"first_lag": -1}, {"least_lags": 1}, {"other": 1}]
    )
    def test_wrong_ones_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValidationError):
            VerdictSpec.model_validate(wrong)


class TestSensitivity:
    def test_horizons_by_r(self) -> None:
        found = of(steady(0.9, 200))  # a decade is 21.85 lags
        assert SENSITIVITY == (2, 3, 5)
        assert found.horizons_by_r == (5 + 44, 5 + 66, 5 + 110)
        assert found.horizon == found.horizons_by_r[1]
        assert of(steady(0.95, 100)).horizons_by_r == (5 + 90, None, None)

    def test_names_by_r(self) -> None:
        # D spans 0.9 of 95 lags
        assert of(steady(10 ** (-4 / 85.5), 100)).names_by_r == ("vanishing", "vanishing", "healthy")
        assert of(steady(10 ** (2.5 / 85.5), 100)).names_by_r[0] == "exploding"
        assert of(bumped(2.0)).names_by_r == ("transient",) * 3
        assert of(bumped(3.1)).names_by_r == ("exploding",) * 3
        assert of(np.zeros(10)).names_by_r == ()


class TestFit:
    @pytest.mark.parametrize("factor", [0.5, 0.9, 0.999, 1.05])
    def test_an_exponential(self, factor: float) -> None:
        found = of(steady(factor, 100))
        assert found.fit == "exponential"
        assert found.residuals[0] == pytest.approx(0, abs=1e-12)  # rounding of a hundred numbers up to 30
        assert found.residuals[1] > 1e-4
        assert found.slope == pytest.approx(np.log(factor), rel=1e-9)

    @pytest.mark.parametrize("power", [-3.0, -1.0, -0.5, 2.0])
    def test_a_power_law_is_not_an_exponential(self, power: float) -> None:
        lags = np.arange(101.0)
        curve = power * np.log10(np.maximum(lags, 1))
        found = of(curve)
        assert found.fit == "power_law"
        assert found.power == pytest.approx(power, rel=1e-9)
        assert found.residuals[1] == pytest.approx(0, abs=1e-12)
        assert found.residuals[0] > 0.01
        assert of(curve, VerdictSpec(first_lag=0)).fit == "power_law"  # lag 0 has no logarithm and is left out

    def test_with_noise(self) -> None:
        noise = np.random.default_rng(0).normal(size=201) * 0.05
        lags = np.arange(201.0)
        assert of(steady(0.95, 200) + noise).fit == "exponential"
        assert of(-2 * np.log10(np.maximum(lags, 1)) + noise).fit == "power_law"

    def test_a_flat_curve_and_one_of_zeros(self) -> None:
        assert of(np.zeros(60)).fit == "exponential"
        assert of(np.full(60, FLOOR)).fit == "none"
        # exact zeros at the end say nothing of the law before them
        curve = steady(0.9, 100)
        curve[60:] = FLOOR
        assert of(curve).fit == "exponential"
        assert of(curve).residuals[0] == pytest.approx(0, abs=1e-12)


def named(name: str, decades: float = 0.0) -> Verdict:
    return Verdict(name, decades, 0.0, 0.0, None, False)


def test_the_worst_layer_counts() -> None:
    assert WORST_FIRST == ("exploding", "vanishing", "transient", "too_short", "healthy")
    for i, name in enumerate(WORST_FIRST):
        assert worst([named(other) for other in reversed(WORST_FIRST[i:])]).name == name
    assert worst([named("vanishing", -4), named("vanishing", -9), named("healthy", 2)]).decades == -9
    assert worst([named("exploding", 4), named("exploding", 5)]).decades == 5


def test_the_most_frequent_with_ties_to_the_worse() -> None:
    assert most_frequent(["healthy", "healthy", "exploding"]) == "healthy"
    assert most_frequent(["healthy", "vanishing"]) == "vanishing"
    assert most_frequent(["transient", "vanishing", "vanishing", "transient", "exploding"]) == "vanishing"
    assert most_frequent(["healthy", "too_short"]) == "too_short"
    assert most_frequent(["healthy"]) == "healthy"


def test_a_layer_reads_one_state_and_flags_where_another_differs() -> None:
    by_state = {"h": named("vanishing", -4), "c": named("healthy", -1)}
    assert of_layer(by_state, "c") == Verdict("healthy", -1, 0.0, 0.0, None, False, mixed=True)
    assert of_layer(by_state, "h").name == "vanishing"
    assert not of_layer({"h": named("healthy", -2), "c": named("healthy", -1)}, "c").mixed
    assert not of_layer({"h": named("healthy")}, "h").mixed


class TestTheilSen:
    def test_is_scipys(self) -> None:
        rng = np.random.default_rng(0)
        y = -0.1 * np.arange(300) + rng.normal(size=300)
        # the same function
        assert theil_sen(y) == pytest.approx(float(theilslopes(y).slope), rel=1e-12)

    @pytest.mark.parametrize("length", [401, 799, 1500])
    def test_a_long_curve_is_thinned(self, length: int) -> None:
        rng = np.random.default_rng(length)
        y = -0.05 * np.arange(length) + rng.normal(size=length)
        # the slope's own standard error with 200 points or more over 400 lags or more is below .0006
        assert theil_sen(y) == pytest.approx(float(theilslopes(y).slope), abs=0.002)
        assert theil_sen(-0.05 * np.arange(length)) == pytest.approx(-0.05, rel=1e-9)

    def test_outliers_do_not_move_it(self) -> None:
        y = -0.1 * np.arange(100.0)
        y[::7] += 50
        assert theil_sen(y) == pytest.approx(-0.1, abs=0.02)
        assert abs(float(np.polyfit(np.arange(100), y, 1)[0]) + 0.1) > abs(theil_sen(y) + 0.1)


SMOOTH = st.integers(20, 120).flatmap(lambda size: st.lists(st.integers(-400, 400), min_size=size, max_size=size))


@given(SMOOTH, st.integers(-10_000, 10_000))
def test_a_constant_added_to_the_log_curve_changes_nothing(steps: list[int], constant: int) -> None:
    # sixty-fourths add without rounding, so that nothing can sit on another side of a threshold
    curve = np.cumsum(np.array(steps) / 64.0) / 16
    curve = curve[np.abs(curve) < 100]
    moved = curve + constant / 64
    assert of(curve) == of(moved)


@given(SMOOTH)
def test_a_verdict_is_always_finite_and_known(steps: list[int]) -> None:
    found = of(np.clip(np.cumsum(np.array(steps, dtype=float)), FLOOR, -FLOOR))
    assert found.name in WORST_FIRST
    assert np.isfinite([found.decades, found.slope, found.hump]).all()
