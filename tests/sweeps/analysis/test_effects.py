"""Contrasts: who is paired with whom, what is counted, and what is left out."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from simulated import SPACE, Truth, World, records, simulate, simulated_spec

from sweeps.analysis.data import SweepData, data_of
from sweeps.analysis.effects import contrasts
from sweeps.analysis.pairs import arms_in, comparisons
from sweeps.analysis.results import OUTCOMES, Contrast
from sweeps.space.dimensions import Picks


def one(found: list[Contrast], outcome: str, axis: str, level: str | None = None, **within: str) -> Contrast:
    fits = [c for c in found if (c.outcome, c.axis, c.within) == (outcome, axis, within) and level in (None, c.level)]
    assert len(fits) == 1, fits
    return fits[0]


def by_init(picks: Picks) -> Truth:
    return Truth(decades=-1.0 if picks["init"] == "default" else 1.0, cpu_seconds=10 if picks["cell"] == "rnn" else 20)


def with_frame(data: SweepData, frame: pd.DataFrame) -> SweepData:
    return dataclasses.replace(data, frame=frame)


def test_a_known_effect_is_found_with_its_size() -> None:
    found = contrasts(simulate(simulated_spec(blocks=12, replicates=2), by_init))
    init = one(found, "decades", "init")
    assert (init.level, init.baseline, init.units, init.evidence) == ("orthogonal(1)", "default", 12, "paired")
    # three pairs of two replicates a block, sd .2 each: the block's own shift has cancelled
    assert init.effect.value == pytest.approx(2, abs=4 * 0.2 * (2 / 6 / 12) ** 0.5)
    assert init.effect.low < 2 < init.effect.high
    assert init.effect.high - init.effect.low < 0.3
    assert init.p_holm is not None
    assert init.p_holm < 0.05
    assert init.at_level - init.at_baseline == pytest.approx(init.effect.value)
    cost = one(found, "cpu_per_update", "cell")
    assert cost.effect.value == pytest.approx(2, rel=0.1)
    assert cost.at_level / cost.at_baseline == pytest.approx(cost.effect.value)
    # seconds of one of 300 updates, of one replicate
    assert cost.at_level == pytest.approx(20 / 300, rel=0.1)


def test_the_differences_are_those_of_the_blocks_by_hand() -> None:
    data = simulate(simulated_spec(blocks=5, replicates=3), by_init, World(seed=3))
    means = data.frame.groupby(["block", "cell", "activation", "init"])["decades"].mean().unstack("init")
    by_hand = (means["orthogonal(1)"] - means["default"]).groupby("block").mean()
    found = one(contrasts(data), "decades", "init")
    assert found.effect.value == pytest.approx(by_hand.mean())
    half = 2.7764451 * by_hand.std() / 5**0.5  # t of 4, .975
    assert found.effect.high - found.effect.value == pytest.approx(half)
    assert "5 pairs of blocks: no p below 0.062" in found.note


def test_an_axis_of_one_side_alone_is_at_its_baseline() -> None:
    spec = simulated_spec(blocks=2, baseline={"activation": "relu"})
    data = simulate(spec, lambda picks: Truth())
    arms = arms_in(data, data.paired)
    cell = next(c for c in comparisons(data, arms) if c.axis == "cell" and not c.within)
    pairs = {
        (arms.loc[a, "init"], arms.loc[b, "activation"], arms.loc[b, "init"])
        for a, b in zip(cell.level_P, cell.base_P, strict=True)
    }
    assert pairs == {("default", "relu", "default"), ("orthogonal(1)", "relu", "orthogonal(1)")}


def test_levels_that_never_meet_are_not_compared() -> None:
    space: dict[str, Any] = {
        "activation": ["tanh", "relu"],
        "init": [
            {"choices": ["default", "orthogonal"], "when": {"activation": "tanh"}},
            {"choices": ["identity", {"orthogonal": 1.4}], "when": {"activation": "relu"}},
        ],
    }
    data = simulate(simulated_spec(blocks=3, space={**space, "lr": SPACE["lr"]}), lambda picks: Truth())
    seen = {(c.axis, c.level, c.baseline, *c.within.values()) for c in contrasts(data)}
    assert seen == {
        ("init", "orthogonal(1)", "default"),
        ("init", "orthogonal(1)", "default", "tanh"),
        ("init", "orthogonal(1.4)", "identity(1)", "relu"),
    }


def test_simple_effects_and_every_outcome() -> None:
    found = contrasts(simulate(simulated_spec(blocks=4), by_init))
    assert {c.outcome for c in found} == set(OUTCOMES)
    assert {tuple(c.within.items()) for c in found if c.axis == "init"} == {
        (), (("cell", "rnn"),), (("cell", "lstm"),), (("activation", "tanh"),), (("activation", "relu"),),
    }  # fmt: skip
    json.dumps([c.model_dump() for c in found], allow_nan=False)


def test_the_three_way_question_is_told_at_joint_levels() -> None:
    space = {
        "activation": ["tanh", "relu"],
        "init": ["default", "identity"],
        "clip": ["none", {"norm": 1.0}],
        "lr": SPACE["lr"],
    }
    found = contrasts(simulate(simulated_spec(blocks=3, space=space), lambda picks: Truth()))
    assert one(found, "healthy", "init", activation="relu", clip="none").counts is not None
    # the optimiser's params do nothing before the first update
    assert not [c for c in found if c.axis == "clip" and c.outcome in ("healthy_init", "decades_init")]
    assert [c for c in found if c.axis == "init" and c.outcome == "decades_init"]


def test_counts_only_of_one_value_a_unit() -> None:
    single = contrasts(simulate(simulated_spec(blocks=8), lambda picks: Truth(healthy=0.7)))
    simple = one(single, "healthy", "init", cell="lstm")
    assert simple.effect.method == "Newcombe"
    assert simple.counts is not None
    assert simple.counts[2] == simple.units == 8
    assert simple.at_level == simple.counts[0] / 8
    # over all, a block averages three pairs
    assert one(single, "healthy", "init").counts is None
    clustered = contrasts(simulate(simulated_spec(blocks=8, replicates=2), lambda picks: Truth(healthy=0.7)))
    assert one(clustered, "healthy", "init", cell="lstm").counts is None


def test_seeds_are_units_where_blocks_draw_nothing_else() -> None:
    spec = simulated_spec(blocks=2, replicates=4, space={"cell": ["rnn", "lstm"]}, nuisance=[])
    found = one(contrasts(simulate(spec, lambda picks: Truth())), "solved", "cell")
    assert found.units == 8
    assert found.counts is not None


def test_who_never_solves_is_not_dropped() -> None:
    spec = simulated_spec(blocks=30, space={"cell": ["rnn", "lstm"], "lr": SPACE["lr"]})
    data = simulate(spec, lambda picks: Truth(solved=0.3 if picks["cell"] == "rnn" else 0.9, diverged=0.1))
    found = one(contrasts(data), "updates_to_solve", "cell")
    assert found.units == 30
    assert found.at_baseline > 240
    assert found.effect.value < -40


def test_holm_counts_distinct_contrasts_of_an_outcome() -> None:
    found = [c for c in contrasts(simulate(simulated_spec(blocks=30), by_init)) if c.outcome == "decades"]
    # within rnn the activation's contrast is the one over all: one hypothesis
    distinct = [c for c in found if not (c.axis == "activation" and c.within == {"cell": "rnn"})]
    smallest = min(distinct, key=lambda c: c.p or 0)
    assert smallest.p_holm == pytest.approx((smallest.p or 0) * len(distinct))
    assert all(c.p_holm is not None and c.p is not None and c.p_holm >= c.p for c in found)


def test_missing_values_are_dropped_in_pairs_and_counted() -> None:
    data = simulate(simulated_spec(blocks=6, space={"cell": ["rnn", "lstm"], "lr": SPACE["lr"]}), lambda picks: Truth())
    frame = data.frame.copy()
    frame.loc[(frame["block"] == 2) & (frame["cell"] == "rnn"), "decades"] = np.nan
    found = contrasts(with_frame(data, frame))
    assert one(found, "decades", "cell").units == 5
    assert "1 pairs without a value left out" in one(found, "decades", "cell").note
    assert one(found, "healthy", "cell").units == 6
    # a trial that has not run yet is no missing value
    early = contrasts(with_frame(data, frame[frame["block"] < 4]))
    assert one(early, "healthy", "cell").units == 4
    assert "left out" not in one(early, "healthy", "cell").note


@pytest.mark.parametrize("blocks", [0, 1])
def test_fewer_than_two_units_give_no_contrast(blocks: int) -> None:
    data = simulate(simulated_spec(blocks=2), by_init)
    assert contrasts(with_frame(data, data.frame[data.frame["block"] < blocks])) == []


def test_adaptive_rows_give_no_contrast() -> None:
    data = simulate(simulated_spec(blocks=4), by_init)
    assert contrasts(with_frame(data, data.frame.assign(stage="refine"))) == []
    mixed = pd.concat([data.frame, data.frame.assign(stage="refine", decades=50.0)], ignore_index=True)
    assert contrasts(with_frame(data, mixed)) == contrasts(data)


def test_winners_are_compared_with_the_baseline_arm_on_fresh_blocks() -> None:
    spec = simulated_spec(blocks=3, design="screen+refine", trials=2, winners=2, confirm=6)
    data = simulate(spec, by_init)
    fresh = data.frame[data.frame["block"] == 0]
    rows = [
        fresh[fresh["label"].isin(["rnn, tanh, default", "lstm, orthogonal(1)"])].assign(
            stage="confirm", unit=f"{block}", block=block, decades=lambda rows, b=block: rows["decades"] + b
        )
        for block in range(20, 26)
    ]
    found = [c for c in contrasts(with_frame(data, pd.concat([data.frame, *rows]))) if c.evidence == "confirmed"]
    decades = one(found, "decades", "arm")
    assert (decades.level, decades.baseline, decades.units) == ("lstm, orthogonal(1)", "rnn, tanh, default", 6)
    # a family of its own: one winner, so Holm changes nothing
    assert decades.p_holm == decades.p == pytest.approx(2 * 0.5**6)


def fraction(size: int) -> SweepData:
    space = {
        "activation": ["tanh", "relu"], "init": ["default", "orthogonal", "identity"], "depth": [1, 2, 3],
        "clip": ["none", {"norm": 1.0}], "lr": SPACE["lr"],
    }  # fmt: skip
    spec = simulated_spec(blocks=6, space=space, size=size)
    assert len(spec.stages.arms) == size

    def truth(picks: Picks) -> Truth:
        effects = {"relu": 0.5, "orthogonal(1)": 2.0, "identity(1)": 3.0, 2: -1.0, 3: -2.0, "norm(1)": 0.25}
        return Truth(decades=sum(effects.get(level, 0.0) for level in picks.values()))

    return simulate(spec, truth, World(replicate_sd=0.05))


def test_a_fraction_is_solved_by_least_squares_in_each_block() -> None:
    found = contrasts(fraction(size=10))
    for axis, level, effect in (
        ("init", "orthogonal(1)", 2),
        ("init", "identity(1)", 3),
        ("depth", "3", -2),
        ("clip", "norm(1)", 0.25),
    ):
        main = one(found, "decades", axis, level)
        assert main.effect.value == pytest.approx(effect, abs=0.15)
        assert "least squares by block" in main.effect.method
        assert main.units == 6
        assert main.counts is None


def test_a_fraction_with_a_missing_arm_is_solved_with_the_others() -> None:
    data = fraction(size=12)
    frame = data.frame.copy()
    frame.loc[frame["trial"] == 5, "decades"] = np.nan
    main = one(contrasts(with_frame(data, frame)), "decades", "depth", "2")
    assert main.units == 6
    assert main.effect.value == pytest.approx(-1, abs=0.15)
    assert "1 replicates without a value left out" in main.note


def test_everything_alike_still_gives_finite_numbers() -> None:
    spec = simulated_spec(blocks=3)
    trials, replicates = records(
        spec, lambda picks: Truth(healthy=1.0, solved=0.0, cpu_seconds=1.0), World(block_sd=0, replicate_sd=0, cpu_sd=0)
    )
    found = contrasts(data_of("alike", spec, trials, replicates, lag=63))
    healthy = one(found, "healthy", "init")
    assert (healthy.effect.value, healthy.p) == (0.0, 1.0)
    assert healthy.effect.high - healthy.effect.low > 0.5
    # a cost has no bounds, so that nothing honest can be said of it
    assert not [c for c in found if c.outcome == "cpu_per_update"]
    json.dumps([c.model_dump() for c in found], allow_nan=False)
