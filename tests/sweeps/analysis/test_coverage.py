"""Every kind of interval on simulated blocks: how often it holds the truth, and how often chance looks like an effect.

`docs/statistics.md` shows what is measured here: `python tests/sweeps/analysis/test_coverage.py` prints its table, and
a test holds the two equal. Truths of shares are marginal, over the blocks' shifts. With 1,000 simulations the
Monte-Carlo standard deviation at .95 is .007.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy.special import expit, logit
from simulated import Truth, simulate, simulated_spec

from sweeps.analysis.effects import Outcomes, contrasts, effect_of
from sweeps.analysis.intervals import (
    Array,
    difference_interval,
    holm_p,
    mean_interval,
    newcombe,
    ratio_interval,
    share_interval,
    wilson,
)
from sweeps.analysis.pairs import comparisons
from sweeps.analysis.results import Interval

TIMES = 1000
REPLICATES = 5
BUDGET = 300.0
UNITS = (5, 10, 20, 30, 60)
LEAST = 0.92
"""Coverage from 30 units on, of the issue."""
DOCS = Path(__file__).parents[3] / "docs" / "statistics.md"
Draw = np.random.Generator
Kind = tuple[Callable[[Draw, int], Interval | None], float]
"""Draws a sweep of so many units and gives its interval; the truth."""


def marginal(chance: float, block_sd: float) -> float:
    """P(success) over blocks whose shift is normal on the logit scale."""
    nodes, weights = hermegauss(99)
    return float(weights @ expit(logit(chance) + block_sd * nodes) / weights.sum())


def shares(draw: Draw, units: int, replicates: int, block_sd: float, *chances: float) -> list[Array]:
    """Share of successes of each unit, for arms that share the blocks' shifts."""
    shift = block_sd * draw.normal(size=units)
    return [draw.binomial(replicates, expit(logit(chance) + shift)) / replicates for chance in chances]


def scores(draw: Draw, units: int, diverged: float, mean: float) -> Array:
    """Test scores, some of which are +2 since the run diverged."""
    return np.where(draw.random(units) < diverged, 2.0, mean + 0.3 * draw.normal(size=units))


def times(draw: Draw, units: int, solved: float) -> Array:
    """Updates to solve, uniform over 90 to 300, the budget where never."""
    return np.where(draw.random(units) < solved, draw.uniform(90, BUDGET, units), BUDGET)


def mean_time(solved: float) -> float:
    return solved * (90 + BUDGET) / 2 + (1 - solved) * BUDGET


def arm_share(chance: float, block_sd: float, replicates: int) -> Kind:
    return (
        lambda draw, n: share_interval(shares(draw, n, replicates, block_sd, chance)[0], n * replicates),
        marginal(chance, block_sd),
    )


def share_difference(level: float, base: float) -> Kind:
    def found(draw: Draw, n: int) -> Interval | None:
        return difference_interval(*shares(draw, n, REPLICATES, 1.5, level, base), bounds=(0, 1))

    return found, marginal(level, 1.5) - marginal(base, 1.5)


KINDS: dict[str, Kind] = {
    "Wilson, share .7": arm_share(0.7, 1.0, 1),
    "Wilson on the effective number, share .5, 5 replicates a block": arm_share(0.5, 1.5, REPLICATES),
    "the same, share .95": arm_share(0.95, 1.5, REPLICATES),
    "Newcombe, shares .8 and .5": (
        lambda draw, n: newcombe(*shares(draw, n, 1, 1.0, 0.8, 0.5)),
        marginal(0.8, 1.0) - marginal(0.5, 1.0),
    ),
    "t on units, difference of shares .8 and .5, 5 replicates a block": share_difference(0.8, 0.5),
    "the same, shares .95 and .9": share_difference(0.95, 0.9),
    "t on units, difference of scores, a tenth diverged": (
        lambda draw, n: difference_interval(scores(draw, n, 0.1, -1), scores(draw, n, 0.1, -0.5), (-4, 2)),
        -0.45,
    ),
    "arm's mean score, a tenth diverged (t, bootstrap from 30)": (
        lambda draw, n: mean_interval(scores(draw, n, 0.1, -1), (-4, 2)),
        -0.7,
    ),
    "arm's restricted mean time, .3 solved (t, bootstrap from 30)": (
        lambda draw, n: mean_interval(times(draw, n, 0.3), (0, BUDGET)),
        mean_time(0.3),
    ),
    "t on units, difference of restricted mean times, .7 and .3 solved": (
        lambda draw, n: difference_interval(times(draw, n, 0.7), times(draw, n, 0.3), (0, BUDGET)),
        mean_time(0.7) - mean_time(0.3),
    ),
    "t on logs, ratio of skewed costs": (
        # each cost is a block's own, times gamma of skewness 1.4
        lambda draw, n: ratio_interval(np.log(2.0 * draw.gamma(2, size=n)) - np.log(draw.gamma(2, size=n))),
        2.0,
    ),
}


def coverage(kind: str, units: int) -> float:
    """Share of simulations whose interval holds the truth; none at all holds nothing."""
    found, truth = KINDS[kind]
    draw = np.random.default_rng([units, list(KINDS).index(kind)])
    made = [found(draw, units) for _ in range(TIMES)]
    return float(np.mean([one is not None and one.low <= truth <= one.high for one in made]))


def documented() -> dict[str, list[float]]:
    """Kind -> coverage at `UNITS`, as the page shows it."""
    lines = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("|")]
    cells = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}
    return {kind: [float(cell) for cell in cells[kind]] for kind in KINDS}


def check(kind: str, units: int) -> None:
    measured = coverage(kind, units)
    # the same draws, so that only a change of the rule moves it
    assert measured == pytest.approx(documented()[kind][UNITS.index(units)], abs=0.006)
    assert units < 30 or measured >= LEAST


@pytest.mark.parametrize("units", [5, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interval_holds_the_truth_as_often_as_the_page_says(kind: str, units: int) -> None:
    check(kind, units)


@pytest.mark.slow
@pytest.mark.parametrize("units", [10, 20, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_at_other_sizes(kind: str, units: int) -> None:
    check(kind, units)


def test_wilson_over_clustered_replicates_is_the_trap_that_the_rule_avoids() -> None:
    draw, truth = np.random.default_rng(0), marginal(0.5, 1.5)
    drawn = [shares(draw, 30, REPLICATES, 1.5, 0.5)[0] for _ in range(TIMES)]
    naive = [wilson(float(x_U.mean()), 30 * REPLICATES) for x_U in drawn]
    ours = [share_interval(x_U, 30 * REPLICATES) for x_U in drawn]
    assert np.mean([low <= truth <= high for low, high in naive]) < 0.85
    assert np.mean([one.low <= truth <= one.high for one in ours]) >= LEAST


def null_p(blocks: int, replicates: int, outcome: str, times: int) -> NDArray[np.float64]:
    """p of every contrast of sweeps in which no level does anything, (sweeps, distinct contrasts)."""
    data = simulate(simulated_spec(blocks=blocks, replicates=replicates), lambda picks: Truth())
    screen = Outcomes(data, data.paired)
    compared = list({one.same: one for one in comparisons(data, screen.arms)}.values())
    draw = np.random.default_rng(blocks)
    shape = (blocks, replicates, len(screen.arms))
    found = []
    for _ in range(times):
        shift = draw.normal(size=(blocks, 1, 1))
        y = draw.random(shape) < expit(shift) if outcome == "healthy" else shift + draw.standard_t(4, size=shape)
        screen.__dict__["tables"] = {outcome: y.reshape(-1, len(screen.arms)).astype(float)}
        found.append([effect_of(screen.sides(one, outcome), outcome, 300)[1] for one in compared])
    return np.array(found)


@pytest.mark.parametrize(("blocks", "replicates"), [(30, 1), (10, 5)])
@pytest.mark.parametrize("outcome", ["healthy", "decades"])
def test_chance_seldom_looks_like_an_effect(outcome: str, blocks: int, replicates: int) -> None:
    times = 400
    p = null_p(blocks, replicates, outcome, times)
    # exact tests of few values keep below; three Monte-Carlo standard deviations above
    assert np.mean(p < 0.05) < 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5
    if outcome == "decades":
        assert np.mean(p < 0.05) > 0.035
    family = np.mean([holm_p(of_sweep).min() < 0.05 for of_sweep in p])
    assert family < 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5


@pytest.mark.slow
def test_chance_seldom_looks_like_an_effect_through_the_whole_path() -> None:
    spec = simulated_spec(blocks=14, replicates=2)
    data = simulate(spec, lambda picks: Truth())
    draw, families = np.random.default_rng(0), []
    for _ in range(200):
        shift = draw.normal(size=15)[data.frame["block"]]
        data.frame["decades"] = shift + draw.normal(size=len(shift))
        data.frame["healthy"] = draw.random(len(shift)) < expit(shift)
        data.__dict__.pop("paired", None)
        found = contrasts(data)
        families += [[one.p_holm for one in found if one.outcome == outcome] for outcome in ("decades", "healthy")]
    assert np.mean([min(p for p in family if p is not None) < 0.05 for family in families]) < 0.05 + 3 * 0.011


if __name__ == "__main__":
    for kind in KINDS:
        print("|", kind, "|", " | ".join(f"{coverage(kind, units):.3f}" for units in UNITS), "|", flush=True)
