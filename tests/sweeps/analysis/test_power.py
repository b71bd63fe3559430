"""What a design can see, against simulation and published powers."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import Truth, simulate, simulated_spec

from sweeps.analysis.effects import contrasts
from sweeps.analysis.intervals import mcnemar_p, mean_p
from sweeps.analysis.power import WANTED, planned, power, share_power

TIMES = 1000
TOLERANCE = 4 * (0.8 * 0.2 / TIMES) ** 0.5
"""Four Monte-Carlo standard deviations."""


@pytest.mark.parametrize("contrasts_", [1, 12])
def test_a_share_is_found_as_often_as_promised(contrasts_: int) -> None:
    found = power(30, contrasts_)
    smallest = found.share_holm
    assert smallest is not None
    draw = np.random.default_rng(0)
    level, base = draw.random((TIMES, 30)) < 0.5 + smallest, draw.random((TIMES, 30)) < 0.5
    p = np.array([mcnemar_p(a.astype(float), b.astype(float)) for a, b in zip(level, base, strict=True)])
    seen = np.mean(p <= 0.05 / contrasts_)
    assert seen == pytest.approx(share_power(30, 0.05 / contrasts_, 0.5 + smallest, 0.5), abs=TOLERANCE)
    # the smallest step that reaches it
    assert WANTED - TOLERANCE < seen < WANTED + 0.03 + TOLERANCE


@pytest.mark.parametrize(("units", "contrasts_"), [(30, 1), (30, 12), (8, 1), (12, 5)])
def test_a_mean_is_found_as_often_as_promised(units: int, contrasts_: int) -> None:
    smallest = power(units, contrasts_).mean_holm
    assert smallest is not None
    d = np.random.default_rng(1).normal(smallest, 1, size=(TIMES, units))
    seen = np.mean([mean_p(one) <= 0.05 / contrasts_ for one in d])
    # by sign flips of few units the t that it is planned with is an approximation
    assert seen == pytest.approx(WANTED, abs=TOLERANCE + (0.02 if units <= 12 else 0))


def test_five_units_can_show_nothing() -> None:
    found = power(5, 3)
    assert (found.share, found.share_holm, found.mean, found.mean_holm) == (None,) * 4
    assert "no difference" in found.sentence
    # SCIENCE: 2 * 2^-n needs 6 for .05 and 9 for Holm over 10
    assert power(6).mean is not None
    assert power(8, 10).mean_holm is None
    assert power(9, 10).mean_holm is not None


def test_more_blocks_see_smaller_differences() -> None:
    few, many = power(30, 10), power(60, 10)
    assert few.share is not None
    assert many.share is not None
    assert many.share < few.share
    assert few.share_holm is not None
    assert few.share_holm > few.share
    said = few.sentence
    assert "30 blocks" in said
    assert "10 contrasts" in said
    assert f"{0.5 + few.share:.0%} against 50%" in said


def test_a_high_baseline_looks_downwards() -> None:
    assert power(30, baseline_share=0.9).share == power(30, baseline_share=0.1).share


def test_a_plan_counts_what_the_analysis_will() -> None:
    spec = simulated_spec(blocks=6)
    found = planned(spec)
    assert found is not None
    data = simulate(spec, lambda picks: Truth())
    of_one = [one for one in contrasts(data) if one.outcome == "decades"]
    # over all and within rnn are one hypothesis for the activation, which rnn alone has
    assert found.contrasts == len(of_one) - 1
    assert (found.units, found.unit) == (6, "block")


def test_a_plan_without_blocks_to_pair_says_nothing() -> None:
    assert planned(simulated_spec(space={"cell": ["rnn"], "lr": {"low": 1e-4, "high": 1e-2}})) is None
    seeds = planned(simulated_spec(blocks=2, replicates=4, space={"cell": ["rnn", "lstm"]}, nuisance=[]))
    assert seeds is not None
    assert (seeds.units, seeds.unit, seeds.contrasts) == (8, "seed", 1)
