"""Differences of differences."""

from __future__ import annotations

import json

import pytest
from simulated import SPACE, Truth, World, simulate, simulated_spec

from sweeps.analysis.effects import contrasts
from sweeps.analysis.interactions import interactions
from sweeps.space.dimensions import Picks


def truth(picks: Picks) -> Truth:
    helps = picks["init"] == "orthogonal(1)"
    return Truth(decades=3.0 * helps if picks["cell"] == "lstm" else 1.0 * helps, healthy=0.9 if helps else 0.2)


def test_an_interaction_is_the_difference_of_two_simple_effects() -> None:
    data = simulate(simulated_spec(blocks=12), truth)
    found = {(one.axis, one.by, one.outcome): one for one in interactions(data)}
    cell = found["init", "cell", "decades"]
    assert (cell.level, cell.baseline, cell.by_level, cell.by_baseline) == ("orthogonal(1)", "default", "lstm", "rnn")
    assert cell.effect.value == pytest.approx(2, abs=0.4)
    assert cell.p_holm is not None
    assert cell.p_holm < 0.01
    simple = {
        c.within.get("cell"): c.effect.value for c in contrasts(data) if c.axis == "init" and c.outcome == "decades"
    }
    assert cell.effect.value == pytest.approx(simple["lstm"] - simple["rnn"])
    # none where there is none
    other = found["init", "activation", "decades"]
    assert other.effect.low < 0 < other.effect.high
    assert cell.p is not None
    assert cell.p_holm == pytest.approx(2 * cell.p)


def test_costs_interact_as_ratios_of_ratios() -> None:
    def costs(picks: Picks) -> Truth:
        slow = picks["init"] == "orthogonal(1)"
        return Truth(cpu_seconds=10 * (2 if slow else 1) * (3 if slow and picks["cell"] == "lstm" else 1))

    found = interactions(simulate(simulated_spec(blocks=20), costs))
    ratio = next(one for one in found if one.by == "cell" and one.outcome == "cpu_per_update")
    assert ratio.effect.value == pytest.approx(3, rel=0.1)
    assert ratio.effect.low < 3 < ratio.effect.high


def test_only_named_interactions_and_two_units() -> None:
    space = {"cell": ["rnn", "lstm"], "clip": ["none", {"norm": 1.0}], "lr": SPACE["lr"]}
    assert interactions(simulate(simulated_spec(blocks=6, space=space), lambda picks: Truth())) == []
    assert interactions(simulate(simulated_spec(blocks=1), truth)) == []


def test_the_lag_of_a_task_is_an_axis() -> None:
    spec = simulated_spec(blocks=6).model_dump(mode="json", exclude_unset=True)
    spec["task"] = {"kind": "adding"}
    spec["space"] = {"init": ["default", "orthogonal"], "task.length": [50, 100], "lr": SPACE["lr"]}
    data = simulate(type(simulated_spec()).model_validate(spec), lambda picks: Truth())
    assert {(one.axis, one.by, one.by_level) for one in interactions(data)} == {("init", "task.length", "100")}


def test_units_that_are_all_alike_keep_a_width() -> None:
    data = simulate(simulated_spec(blocks=4), lambda picks: Truth(healthy=1.0), World(replicate_sd=0, cpu_sd=0))
    found = interactions(data)
    healthy = next(one for one in found if one.outcome == "healthy")
    assert healthy.p == 1.0
    assert healthy.effect.high - healthy.effect.low > 0.5
    json.dumps([one.model_dump() for one in found], allow_nan=False)
