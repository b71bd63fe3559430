"""Early signals: what a replicate shows at the start and at 2, 5 and 10% of its budget."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from rnnlab.probes.context import ProbeContext
from rnnlab.probes.jacobian import jacobian_curves
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.tasks.base import Batch
from rnnlab.training.loop import Trainer, train
from rnnlab.training.outcome import ReplicateResult
from rnnlab.training.signals import AT, CUT, SIGNALS, LossMemory, percents, signals_of
from rnnlab.verdict import Verdict
from rnnlab.written import validated


def trial(updates: int = 40, **sections: Any) -> TrialSpec:
    plain: dict[str, Any] = {
        "task": {"kind": "adding", "length": 40},
        "model": {"cell": "rnn", "hidden": 8},
        "optim": {"lr": 1e-2, "batch": 8},
        "probe": {"measure": "signals"},
        "replicates": 2,
        "budget": {"updates": updates, "evaluations": 4},
    }
    return validated(TrialSpec, {**plain, **sections})


def test_every_signal_is_taken_at_every_mark() -> None:
    result = train(trial())
    for replicate in result.replicates:
        assert set(replicate.signals) == {str(percent) for percent in AT}
        assert set(replicate.signals["0"]) == set(SIGNALS) - {"loss"}
        assert all(set(replicate.signals[str(percent)]) == set(SIGNALS) for percent in AT[1:])
        assert all(math.isfinite(value) for seen in replicate.signals.values() for value in seen.values())
        assert replicate.signals["0"]["decades_change"] == 0
        assert replicate.signals["0"]["decades"] == pytest.approx(max(-CUT, replicate.decades_init))


def test_what_was_not_measured_is_absent() -> None:
    result = train(trial(probe={}))
    assert set(result.replicates[0].signals["5"]) == {"decades", "decades_change", "horizon", "healthy", "loss"}


def test_marks_of_a_small_budget_fall_together() -> None:
    assert [percents(update, 1000) for update in (0, 20, 50, 100, 7)] == [[0], [2], [5], [10], []]
    assert percents(1, 10) == [2, 5, 10]
    assert set(train(trial(updates=10)).replicates[0].signals) == {"0", "2", "5", "10"}


def test_signals_are_what_the_probes_measured() -> None:
    memory = MemoryRecorder()
    trainer = Trainer(trial(), memory)
    while not trainer.advance().done:
        pass
    update = -(-40 * 5 // 100)
    for lane, replicate in enumerate(trainer.result.replicates):
        by_name = {curve.name: curve.values_SK[lane] for curve in memory.curves_seen if curve.update == update}
        seen = replicate.signals["5"]
        assert seen["saturation"] == pytest.approx(by_name["saturation_h_l0"].mean())
        assert seen["early_share"] == pytest.approx(by_name["early_share"][9])
        assert seen["condition"] == pytest.approx(np.log10(by_name["jacobian_condition_h_l0"][-1]), rel=1e-9)


def test_the_condition_is_that_of_the_last_state_by_the_first() -> None:
    trainer = Trainer(trial())
    sample = trainer.task.validation
    batch = Batch(sample.x_TNI[:, :4], sample.y_TN[:, :4])
    curves = jacobian_curves(ProbeContext(trainer.network, trainer.task, batch, 0))
    seen = signals_of(curves, 0, 39, Verdict("healthy", 0.0, 0.0, 0.0, None, False), ReplicateResult(0, 1), None)
    condition = next(c for c in curves if c.part == "condition")
    assert 10 ** seen["condition"] == pytest.approx(condition.values_SK[0, -1])
    assert "loss" not in seen


@pytest.mark.parametrize(("horizon", "share"), [(20, 0.5), (40, 1.0), (None, 41 / 40)])
def test_a_horizon_beyond_the_lag_is_above_one(horizon: int | None, share: float) -> None:
    verdict = Verdict("healthy", -320.0, 0.0, 0.0, horizon, False)
    seen = signals_of([], 0, 40, verdict, ReplicateResult(0, 1, decades_init=-5.0), None)
    assert seen["horizon"] == pytest.approx(share)
    assert seen["decades"] == -CUT
    assert seen["decades_change"] == -CUT + 5


def test_the_early_loss_is_the_mean_of_the_last_ten() -> None:
    memory = LossMemory()
    assert memory.score(0, 1.0) is None
    for loss in range(1, 21):
        memory.see(torch.tensor([float(loss), math.nan]))
    assert memory.score(0, 1.55) == pytest.approx(1.0)  # mean of 11 ... 20 is 15.5
    assert memory.score(1, 1.55) == 2.0  # not finite: the worst


def test_when_a_task_was_first_solved() -> None:
    easy = trial(
        updates=200, task={"kind": "temporal_order", "length": 12}, model={"cell": "gru", "hidden": 24},
        optim={"lr": 2e-2, "batch": 32, "clip": {"norm": 1.0}}, budget={"updates": 200, "evaluations": 20}, replicates=1,
    )  # fmt: skip
    (solved,) = train(easy).replicates
    assert solved.solved
    assert solved.solved_at is not None
    assert solved.solved_at % 10 == 0
    assert 10 < solved.solved_at <= 200
    # training stopped just before has not solved it, stopped there it has
    at = solved.solved_at
    for updates, is_solved in ((at, True), (at - 10, False)):
        shorter = easy.model_copy(
            update={"budget": easy.budget.model_copy(update={"updates": updates, "evaluations": updates // 10})}
        )
        assert (train(shorter).replicates[0].solved_at == at) == is_solved


def test_the_law_of_a_curve_and_its_verdict_by_threshold_are_kept() -> None:
    (one, _) = train(trial(updates=1)).replicates
    assert set(one.verdict_by_r) == set(one.horizon_by_r) == {"2", "3", "5"}
    assert one.verdict_by_r["3"] == one.verdict
    assert one.fit in ("exponential", "power_law")
