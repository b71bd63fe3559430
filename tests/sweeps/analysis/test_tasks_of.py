"""Where a sweep varies its task, a signal that tells the task alone tells nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated import Truth, simulate, simulated_spec

from sweeps.analysis.data import SweepData
from sweeps.analysis.prediction import predict
from sweeps.analysis.signals import aucs

SPACE = {"cell": ["rnn", "lstm"], "task.read": ["pixels", "permuted"]}


def swept(name: str, *, by_task: bool) -> SweepData:
    """Permuted digits are solved rarely; the condition tells the task, or (`by_task` False) who solves it."""
    spec = simulated_spec(blocks=40, space=SPACE, nuisance=[])
    data = simulate(spec, lambda picks: Truth(solved=0.8 if picks["task.read"] == "pixels" else 0.2))
    frame = data.frame.copy()
    told = frame["task.read"] == "permuted" if by_task else ~frame["solved"].astype(bool)
    noise = np.random.default_rng(len(name)).normal(0, 0.1, len(frame))
    for percent in (0, 2, 5, 10):
        frame[f"condition_{percent}"] = 5.0 * told + noise
    return replace(data, sweep_id=name, frame=frame)


@pytest.mark.parametrize(("by_task", "expected"), [(True, 0.5), (False, 0.0)])
def test_the_auc_of_a_sweep_is_taken_inside_a_task(by_task: bool, expected: float) -> None:
    found = {(one.signal, one.percent, one.group): one for one in aucs(swept("one", by_task=by_task))}
    assert found["condition", 5, "all"].auc.value == pytest.approx(expected, abs=0.12)


@pytest.mark.parametrize("names", [("one",), ("one", "other")])
def test_so_is_that_of_a_prediction(names: tuple[str, ...]) -> None:
    found = predict([swept(name, by_task=True) for name in names])
    condition = next(one for one in found.judged if one.model == "condition number" and one.percent == 0)
    assert condition.auc.low < 0.5 < condition.auc.high
    assert {one.task for one in found.sweeps} == {"digits (read pixels, permuted)"}
