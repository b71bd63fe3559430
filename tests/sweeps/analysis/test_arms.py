"""A line a configuration."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from simulated import SPACE, Truth, simulate, simulated_spec
from statsmodels.stats.proportion import proportion_confint

from sweeps.analysis.arms import arm_labels, arms, sensitivity
from sweeps.analysis.data import SweepData
from sweeps.analysis.results import SHARES


def test_an_arm_is_a_configuration_over_its_blocks() -> None:
    data = simulate(simulated_spec(blocks=10), lambda picks: Truth(healthy=0.8, diverged=0.2))
    found = arms(data)
    assert len(found) == 6
    arm = next(one for one in found if one.label == "rnn, relu, orthogonal(1)")
    assert arm.levels == {"cell": "rnn", "activation": "relu", "init": "orthogonal(1)"}
    assert (arm.evidence, arm.units, arm.replicates) == ("paired", 10, 10)
    rows = data.frame[data.frame["label"] == arm.label]
    assert arm.counts == {name: int(rows[name].sum()) for name in (*SHARES, "diverged")}
    assert (arm.shares["healthy"].low, arm.shares["healthy"].high) == pytest.approx(
        proportion_confint(arm.counts["healthy"], 10, method="wilson")
    )
    assert arm.means["test_score"].value == pytest.approx(rows["test_score"].mean())
    assert arm.means["updates_to_solve"].value == pytest.approx(rows["solved_at"].fillna(300).mean())
    # seconds of an update, geometric
    assert arm.means["cpu_per_update"].value == pytest.approx(np.exp(np.log(rows["cpu_seconds"] / 300).mean()))
    json.dumps([one.model_dump() for one in found], allow_nan=False)


def test_the_median_knows_who_never_solved() -> None:
    data = simulate(simulated_spec(blocks=30), lambda picks: Truth(solved=0.05 if picks["init"] == "default" else 1.0))
    for arm in arms(data):
        if arm.levels["init"] == "default":
            assert arm.median_updates_to_solve is None
        else:
            assert arm.median_updates_to_solve is not None
            assert 90 <= arm.median_updates_to_solve <= 300


def test_stages_are_not_mixed_and_say_what_they_are() -> None:
    data = simulate(simulated_spec(blocks=4), lambda picks: Truth())
    first = data.frame[(data.frame["label"] == "lstm, default")]
    refined = pd.concat([first.assign(stage="refine", block=10 + n, healthy=True) for n in range(3)])
    few = first.head(2).assign(stage="confirm", unit=["20", "21"])
    both = dataclasses.replace(data, frame=pd.concat([data.frame, refined, few], ignore_index=True))
    found = {(arm.evidence, arm.units) for arm in arms(both) if arm.label == "lstm, default"}
    # two fresh blocks are too few to be called confirmed
    assert found == {("paired", 4), ("adaptive", 3), ("none", 2)}
    # nor do the refined ones, all healthy, enter the shares of the screen
    assert sensitivity(both) == sensitivity(data)


def test_one_block_is_no_evidence_but_has_finite_numbers() -> None:
    found = arms(simulate(simulated_spec(blocks=1, replicates=5), lambda picks: Truth()))
    assert {arm.evidence for arm in found} == {"none"}
    json.dumps([arm.model_dump() for arm in found], allow_nan=False)
    assert "cpu_per_update" not in found[0].means


def test_labels_that_coincide_are_told_apart() -> None:
    spec = simulated_spec(blocks=2, space={"cell": ["rnn", "lstm"], "batch": [16, 32], "lr": SPACE["lr"]})
    data = simulate(spec, lambda picks: Truth())
    same = dataclasses.replace(data, frame=data.frame.assign(label=data.frame["cell"]))
    assert set(arm_labels(same).values()) == {"rnn (batch 16)", "rnn (batch 32)", "lstm (batch 16)", "lstm (batch 32)"}


def test_sensitivity_to_the_threshold() -> None:
    data: SweepData = simulate(simulated_spec(blocks=4), lambda picks: Truth(healthy=1.0))
    frame = data.frame.assign(healthy_r2=data.frame["block"] == 0)
    found = sensitivity(dataclasses.replace(data, frame=frame))
    assert set(found) == {"2", "3", "5"}
    assert set(found["2"].values()) == {0.25}
    assert set(found["5"].values()) == {1.0}
    assert set(found["3"]) == {arm.label for arm in arms(data)}


def test_a_sweep_that_has_not_begun() -> None:
    data = simulate(simulated_spec(blocks=2), lambda picks: Truth())
    empty = dataclasses.replace(data, frame=data.frame.iloc[:0])
    assert arms(empty) == []
    assert set(sensitivity(empty)) == {"2", "3", "5"}
