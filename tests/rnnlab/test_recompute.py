"""Gradient checkpointing: the numbers of the plain update, from the activations of one segment at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from rnnlab.architecture import noise
from rnnlab.cells import CELLS
from rnnlab.errors import SpecError
from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer, train
from rnnlab.training.recompute import recomputed_loss, segment_length
from rnnlab.training.step import training_loss, update
from rnnlab.written import validated

TWIN: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-13}
"""float64: sums of some hundred terms in another order."""
OPTIONS: dict[str, dict[str, Any]] = {
    "residual": {"model": {"between": "residual", "depth": 3}},
    "highway": {"model": {"between": "highway", "depth": 3, "cell": "gru"}},
    "zoneout": {"model": {"zoneout_h": 0.3, "depth": 2}},
    "zoneout of c": {"model": {"cell": "lstm", "zoneout_h": 0.1, "zoneout_c": 0.4, "depth": 2}},
    "dropout": {"model": {"dropout": 0.4, "depth": 2, "cell": "lstm"}},
    "every step": {"task": {"kind": "adding", "length": 13, "loss": {"at": "every", "combine": "sum"}}},
    "some steps": {"task": {"kind": "adding", "length": 13, "loss": {"at": [0, 5, -2]}}},
    "classes": {"task": {"kind": "copying", "length": 3}},
    "one timestep": {"task": {"kind": "digits", "read": "rows", "loss": {"at": [0]}}},
}


def spec_of(**sections: Any) -> TrialSpec:
    plain: dict[str, Any] = {
        "task": {"kind": "adding", "length": 13},
        "model": {"hidden": 5, "depth": 2},
        "optim": {"kind": "sgd", "lr": 0.05, "batch": 4},
        "budget": {"updates": 6, "evaluations": 2},
        "replicates": 2,
        "probe": {"schedule": [0], "batch": 2},
    }
    return validated(TrialSpec, plain | sections)


def checkpointed(spec: TrialSpec, chosen: Any = "sqrt") -> TrialSpec:
    return spec.model_copy(update={"optim": spec.optim.model_copy(update={"gradient_checkpointing": chosen})})


class Case:
    """A network in float64, a batch a lane, and the generators of one update's masks."""

    def __init__(self, spec: TrialSpec) -> None:
        trainer = Trainer(spec)
        self.network, self.task = trainer.network.double(), trainer.task
        batches = [self.task.draw(stream, 4) for stream in trainer.streams]
        self.x_TSBI = torch.stack([batch.x_TNI for batch in batches], 1).double()
        self.y_TSB = torch.stack([batch.y_TN for batch in batches], 1)
        if self.task.objective == "mse":
            self.y_TSB = self.y_TSB.double()

    def noise(self) -> list[torch.Generator] | None:
        return noise([1, 2], 3) if self.network.architecture.noisy else None

    def plain(self) -> tuple[Tensor, Tensor]:
        loss_S, *_ = training_loss(self.network, self.task, self.x_TSBI, self.y_TSB, noise=self.noise())
        return loss_S.detach(), torch.autograd.grad(loss_S.sum(), [self.network.theta])[0]

    def recomputed(self, chosen: Any) -> tuple[Tensor, Tensor]:
        passed = recomputed_loss(self.network, self.task, self.x_TSBI, self.y_TSB, chosen, self.noise())
        assert passed.last_S.tolist() == passed.finite_S.tolist() == [True, True]
        (g_SP,) = torch.autograd.grad(passed.loss_S.sum(), [self.network.theta])
        return passed.loss_S.detach(), g_SP

    def same(self) -> None:
        loss_S, g_SP = self.plain()
        assert (g_SP != 0).any(1).all()
        for chosen in ("sqrt", 1, 5, 100):
            found = self.recomputed(chosen)
            torch.testing.assert_close(found[0], loss_S, **TWIN)
            torch.testing.assert_close(found[1], g_SP, **TWIN)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_has_the_gradient_of_the_plain_update(cell: str) -> None:
    Case(spec_of(model={"cell": cell, "hidden": 5, "depth": 2})).same()


@pytest.mark.parametrize("name", OPTIONS)
def test_what_else_an_update_may_have(name: str) -> None:
    sections = dict(OPTIONS[name])
    model = {"hidden": 5, **sections.pop("model", {})}
    Case(spec_of(model=model, **sections)).same()


def test_segments_that_are_the_whole_sequence_are_the_plain_update_bit_by_bit() -> None:
    case = Case(spec_of())
    for ours, plain in zip(case.recomputed(100), case.plain(), strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize(("steps", "length"), [(1, 1), (2, 2), (4, 2), (5, 3), (100, 10), (101, 11), (3200, 57)])
def test_the_root_is_rounded_up(steps: int, length: int) -> None:
    assert segment_length("sqrt", steps) == length
    assert segment_length(7, steps) == min(7, steps)


@pytest.mark.parametrize("model", [{"cell": "lstm"}, {"zoneout_h": 0.2}])
def test_training_is_the_same_up_to_rounding(model: dict[str, Any]) -> None:
    spec = spec_of(model={"hidden": 5, **model})
    plain, ours = train(spec), train(checkpointed(spec))
    for left, right in zip(plain.replicates, ours.replicates, strict=True):
        assert left.score is not None
        # six updates in float32, which rounds at 6e-8
        assert right.score == pytest.approx(left.score, abs=1e-5)
        assert (left.verdict, left.outcome) == (right.verdict, right.outcome)


@pytest.mark.parametrize("chosen", [None, "sqrt"])
@pytest.mark.parametrize(
    ("activation", "name", "value", "cause"),
    [
        ("tanh", "weight_ih_l0", math.nan, "state"),
        ("tanh", "readout.bias", math.inf, "loss"),
        # infinite at the first timestep alone: the second layer's relu takes minus infinity to 0
        ("relu", "weight_ih_l0", math.inf, "state"),
    ],
)
def test_what_fails_is_named_as_in_the_plain_update(
    chosen: Any, activation: str, name: str, value: float, cause: str
) -> None:
    trainer = Trainer(spec_of(model={"hidden": 5, "activation": activation}))
    trainer.network.named()[name].data[1].view(-1)[0] = value
    batches = [trainer.task.draw(stream, 4) for stream in trainer.streams]
    step = update(
        trainer.network, trainer.task, trainer.optimiser, trainer.clip, batches, trainer.alive_S, checkpointing=chosen
    )
    assert {cause: lanes.tolist() for cause, lanes in step.failed.items() if lanes.any()} == {cause: [False, True]}


def test_a_state_that_is_infinite_on_the_way_alone_is_found() -> None:
    case = Case(spec_of(model={"hidden": 5, "activation": "relu"}))
    case.network.theta.data.zero_()
    case.network.named()["weight_ih_l0"].data.fill_(1.0)
    case.x_TSBI[:] = 0
    case.x_TSBI[1, 1] = math.inf
    case.network.named()["weight_hh_l0"].data.fill_(0.0)
    passed = recomputed_loss(case.network, case.task, case.x_TSBI, case.y_TSB, 4)
    assert passed.finite_S.tolist() == [True, False]


def test_off_it_is_not_written_and_on_it_counts() -> None:
    plain = spec_of()
    assert "gradient_checkpointing" not in plain.to_yaml()
    assert "gradient_checkpointing: sqrt" in checkpointed(plain).to_yaml()
    assert checkpointed(plain).config_hash != plain.config_hash
    assert spec_of(optim={"gradient_checkpointing": 20}).optim.gradient_checkpointing == 20


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"model": {"truncate": {"k1": 5, "k2": 5}}}, "an update without truncate, which"),
        ({"model": {"dilation": 2, "depth": 2}}, "an update without dilation, which"),
        ({"optim": {"clip": "timestep"}}, "without clip 'timestep'"),
        ({"optim": {"regulariser": "norm_stabiliser"}}, "without regulariser 'norm_stabiliser'"),
        ({"optim": {"gradient_checkpointing": 0}}, "gradient_checkpointing"),
        ({"optim": {"gradient_checkpointing": True}}, "gradient_checkpointing"),
        ({"optim": {"gradient_checkpointing": "root"}}, "gradient_checkpointing"),
    ],
)
def test_what_does_not_fit_is_told(sections: dict[str, Any], words: str) -> None:
    optim = {"gradient_checkpointing": "sqrt", **sections.get("optim", {})}
    with pytest.raises(SpecError, match=words):
        spec_of(**{**sections, "optim": optim})


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most that tensors allocated in `run` hold at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    assert seen.profiler is not None
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "leaky"])
def test_memory_grows_as_the_root(cell: str) -> None:
    growth: dict[Any, float] = {}
    for chosen in (None, "sqrt"):
        peaks = []
        for steps in (64, 1024):
            case = Case(spec_of(task={"kind": "adding", "length": steps}, model={"cell": cell, "hidden": 32}))
            peaks.append(peak_bytes(case.plain if chosen is None else lambda c=case: c.recomputed("sqrt")))
        growth[chosen] = math.log(peaks[1] / peaks[0]) / math.log(16)
    assert growth[None] > 0.9
    assert growth["sqrt"] < 0.6
