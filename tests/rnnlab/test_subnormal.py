"""Subnormal numbers: 0 in an update, kept in a probe, and a thread's own setting as it was before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.training.step import training_loss, update
from rnnlab.training.subnormal import SMALLEST, flushed, flushes
from rnnlab.written import validated

pytestmark = pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush subnormals")


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    """Tests begin and end with what torch begins with."""
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(False)


def trainer() -> Trainer:
    """A plain RNN of 200 timesteps, whose gradient passes through all subnormal numbers on its way back."""
    spec: dict[str, Any] = {
        "task": {"kind": "adding", "length": 200},
        "model": {"hidden": 16},
        "optim": {"batch": 8},
        "replicates": 2,
        "budget": {"updates": 3, "evaluations": 1},
        "probe": {"schedule": [0], "batch": 4},
    }
    return Trainer(validated(TrialSpec, spec))


def totals(made: Trainer) -> torch.Tensor:
    """dL/dh_t of the network's batch, (T, S, B, H) in float32, with or without subnormals as the thread has it."""
    batches = [made.task.draw(stream, 8) for stream in made.streams]
    x_TSBI = torch.stack([batch.x_TNI for batch in batches], 1)
    y_TSB = torch.stack([batch.y_TN for batch in batches], 1)
    probes = [x_TSBI.new_zeros((*x_TSBI.shape[:3], made.network.hidden)).requires_grad_()]
    loss_S, *_ = training_loss(made.network, made.task, x_TSBI, y_TSB, probes=probes)
    (found,) = torch.autograd.grad(loss_S.sum(), probes)
    return found.abs()


def test_flushed_is_for_its_body_alone_and_leaves_a_persons_own_setting() -> None:
    tiny = torch.full((3,), SMALLEST)
    with flushed():
        assert flushes()
        assert not (tiny * 0.5).any()
        assert (tiny * 2).all()
        with flushed():
            pass
        assert flushes()
    assert not flushes()
    assert (tiny * 0.5).all()
    with pytest.raises(ZeroDivisionError), flushed():
        1 / 0  # noqa: B018
    assert not flushes()
    torch.set_flush_denormal(True)
    with flushed():
        pass
    assert flushes()


def test_only_what_is_subnormal_becomes_0() -> None:
    kept = totals(trainer())
    with flushed():
        zeroed = totals(trainer())
    assert ((kept > 0) & (kept < SMALLEST)).any()
    assert not ((zeroed > 0) & (zeroed < SMALLEST)).any()
    # a sum of products some of which are 0 now: they were below 1e-38 each
    torch.testing.assert_close(zeroed, kept, rtol=1e-5, atol=1e-36)


def test_an_update_flushes_and_gives_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, own = trainer(), trainer()
    seen: list[bool] = []
    step = type(own.optimiser).step
    monkeypatch.setattr(type(own.optimiser), "step", lambda self, *rest: (seen.append(flushes()), step(self, *rest))[1])
    thetas = []
    for made, call in ((plain, update.__wrapped__), (own, update)):  # type: ignore[attr-defined]
        batches = [made.task.draw(stream, 8) for stream in made.streams]
        call(made.network, made.task, made.optimiser, made.clip, batches, made.alive_S)
        thetas.append(made.network.theta.detach().clone())
    assert seen == [False, True]
    assert not flushes()
    torch.testing.assert_close(thetas[1], thetas[0], rtol=1e-6, atol=1e-9)


def test_a_probe_keeps_what_float32_cannot() -> None:
    """After an update in the same thread, dL/dh_t goes on below 1e-38, where an update has 0."""
    made = trainer()
    told: dict[int, Any] = {}

    class Kept:
        def curves(self, update: int, curves: Any) -> None:
            told[update] = {curve.kind: curve.values_SK for curve in curves}

        def scalars(self, update: int, values: Any) -> None:
            pass

    made.recorders = [Kept()]
    while not made.advance().done:
        pass
    assert set(told) == {0, 3}
    for curves in told.values():
        assert ((curves["total"] > 0) & (curves["total"] < SMALLEST)).any()
