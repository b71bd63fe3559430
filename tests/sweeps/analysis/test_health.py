"""Health against success."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import Truth, World, simulate, simulated_spec

from sweeps.analysis.health import crosses
from sweeps.analysis.resampling import BOOTSTRAP, SCORE, draws, interval, share, simultaneous


def test_every_replicate_stands_in_one_place_of_its_table() -> None:
    data = simulate(simulated_spec(blocks=20), lambda picks: Truth(healthy=0.3, solved=0.6, diverged=0.2))
    by_group = {one.group: one for one in crosses(data)}
    assert list(by_group) == ["rnn", "lstm", "all"]
    frame = data.frame
    for group, one in by_group.items():
        rows = frame if group == "all" else frame[frame["cell"] == group]
        assert one.healthy_solved == (rows["healthy"] & rows["solved"]).sum()
        assert one.healthy_unsolved == (rows["healthy"] & ~rows["solved"]).sum()
        assert one.sick_solved == (~rows["healthy"] & rows["solved"]).sum()
        assert one.sick_unsolved == (~rows["healthy"] & ~rows["solved"]).sum()
        assert one.solved_if_healthy is not None
        assert one.solved_if_healthy.value == pytest.approx(rows[rows["healthy"]]["solved"].mean())
    # diverged ones are in it: none of them is healthy
    assert frame["diverged"].sum() > 5
    assert not (frame["diverged"] & frame["healthy"]).any()


def test_the_interval_holds_the_chance_and_is_wider_where_blocks_differ() -> None:
    def width(block_sd: float) -> float:
        spec = simulated_spec(blocks=30, replicates=2)
        data = simulate(spec, lambda picks: Truth(healthy=1.0, solved=0.5), World(block_sd=block_sd, seed=3))
        found = crosses(data)[-1].solved_if_healthy
        assert found is not None
        assert found.method == BOOTSTRAP
        assert found.low < 0.5 < found.high
        return found.high - found.low

    assert width(2.0) > 1.5 * width(0.0)


def test_one_cell_type_is_told_once_and_an_empty_side_is_none() -> None:
    spec = simulated_spec(blocks=6, space={"init": ["default", "orthogonal"], "lr": {"low": 1e-4, "high": 1e-2}})
    [one] = crosses(simulate(spec, lambda picks: Truth(healthy=1.0, solved=1.0)))
    assert one.group == "all"
    assert one.solved_if_sick is None
    # all of 6 blocks solved it: Wilson's interval of 6 of 6, not [1, 1], however many replicates a block has
    assert one.solved_if_healthy is not None
    assert one.solved_if_healthy.method == SCORE
    assert one.solved_if_healthy.low == pytest.approx(0.6097, abs=1e-4)
    assert one.solved_if_healthy.high == 1.0


@pytest.mark.parametrize(("units", "p"), [(8, 0.5), (30, 0.5), (30, 0.15)])
def test_the_interval_of_a_share_holds_the_true_one_in_95_of_100_sweeps(units: int, p: float) -> None:
    draw, held, sweeps = np.random.default_rng(1), 0, 300
    for _ in range(sweeps):
        chance = draw.beta(4 * p, 4 * (1 - p), size=(units, 1))  # replicates of a unit are alike: correlation 0.2
        yes = draw.random((units, 6)) < chance
        found = share(yes.ravel(), np.repeat(np.arange(units), 6), draws(units, resamples=400))
        held += found.low <= p <= found.high
    # 0.95 less 2.5 standard errors of 300 sweeps; the percentile interval gives 0.88 at 8 units
    assert held / sweeps >= 0.92


def test_simultaneous_intervals_reach_as_far_as_sidak_says() -> None:
    redrawn = list(np.random.default_rng(0).normal(size=(10, 20_000)))
    for one in simultaneous([0.0] * 10, redrawn, 10_000, "max-t"):
        # ten independent normals: P(all within z) = 0.95 at z = 2.800
        assert one.high == pytest.approx(2.800, abs=0.06)
        assert one.low == -one.high


def test_too_few_units_to_resample() -> None:
    found = interval(0.5, np.full(100, 0.5), 1, lambda p: p * (1 - p))
    assert found.method == SCORE
    assert (found.low, found.high) == (pytest.approx(0.0546, abs=1e-3), pytest.approx(0.9454, abs=1e-3))
