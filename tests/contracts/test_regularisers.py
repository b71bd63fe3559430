"""What every line of the table of regularisers promises, and what each claims for itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnlab.choices import choose, options_of
from rnnlab.errors import SpecError
from rnnlab.model import build
from rnnlab.probes.lyapunov import lyapunov_exponents
from rnnlab.recorder import MemoryRecorder
from rnnlab.regularisers import REGULARISERS
from rnnlab.regularisers.base import Regulariser, Seen
from rnnlab.regularisers.flossing import GradientFlossing, exponents_of
from rnnlab.regularisers.norm_stabiliser import NormStabiliser
from rnnlab.regularisers.omega import Form, Omega, slopes_of
from rnnlab.spec import ModelSpec, TrialSpec
from rnnlab.training.checkpoint import restore, save
from rnnlab.training.loop import Trainer
from rnnlab.training.seeding import generator_for
from rnnlab.written import validated

EAGER: dict[str, dict[str, Any]] = {"flossing": {"before": 2, "every": 3, "sequences": 2}}
"""Options with which a regulariser acts within a few updates."""


def trial(name: str, *, seeds: int = 2, **sections: Any) -> TrialSpec:
    chosen = {name: options_of(REGULARISERS, name, EAGER.get(name, {}))} if REGULARISERS[name].options else name
    plain: dict[str, Any] = {
        "task": {"kind": "adding", "length": 15},
        "model": {"hidden": 5, "depth": 2, "init": "glorot"},
        "optim": {"lr": 1e-2, "batch": 4, "regulariser": chosen},
        "replicates": seeds,
        "budget": {"updates": 8, "evaluations": 4},
        "probe": {"schedule": [0], "batch": 2},
    }
    return validated(TrialSpec, {**plain, **sections})


def finish(trainer: Trainer) -> Trainer:
    while not trainer.advance().done:
        pass
    return trainer


@pytest.mark.parametrize("name", REGULARISERS)
class TestRegulariser:
    def test_it_changes_the_gradient_before_the_clip_and_is_recorded(self, name: str) -> None:
        memory = MemoryRecorder()
        clipped = {"clip": {"norm": 1e-3}}
        optim = trial(name).optim.model_dump(mode="json") | clipped
        trainer = finish(Trainer(trial(name, optim=optim), memory))
        seen = [values["regulariser"] for _, values in memory.scalars_seen if "regulariser" in values]
        plain = finish(Trainer(trial("none", optim={**optim, "regulariser": "none"})))
        if name == "none":
            assert not seen
            assert torch.equal(trainer.network.theta, plain.network.theta)
            return
        assert seen
        assert all(value.shape == (2,) and (value > 0).all() for value in seen)
        assert not torch.equal(trainer.network.theta, plain.network.theta)
        assert all(replicate.clip_rate == 1 for replicate in trainer.result.replicates)

    def test_it_says_when_it_acts(self, name: str) -> None:
        memory = MemoryRecorder()
        trainer = finish(Trainer(trial(name, budget={"updates": 8, "evaluations": 8}), memory))
        seen = [update for update, values in memory.scalars_seen if "regulariser" in values]
        assert seen == [update for update in range(1, 9) if trainer.regulariser.acts(update)]

    def test_lanes_are_alone(self, name: str) -> None:
        together = finish(Trainer(trial(name, seeds=3)))
        first = finish(Trainer(trial(name, seeds=1)))
        # float32: products of stacked lanes round differently
        torch.testing.assert_close(together.network.theta[:1], first.network.theta, rtol=1e-4, atol=1e-5)

    def test_training_goes_on_bit_for_bit(self, name: str, tmp_path: Path) -> None:
        # with masks too, which are drawn anew for every update
        spec = trial(name, model={"hidden": 5, "dropout": 0.0 if name == "omega" else 0.3, "zoneout_c": 0.0})
        whole = finish(Trainer(spec))
        first = Trainer(spec)
        first.advance()
        save(first, tmp_path / "checkpoint")
        second = Trainer(spec)
        restore(second, tmp_path / "checkpoint")
        assert second.done == 2
        assert torch.equal(finish(second).network.theta, whole.network.theta)

    def test_a_lane_that_is_not_finite_is_frozen_and_harms_no_other(self, name: str) -> None:
        trainer, plain = Trainer(trial(name)), Trainer(trial(name))
        with torch.no_grad():
            trainer.network.theta[1] = torch.inf
        finish(trainer)
        finish(plain)
        assert [r.outcome.value for r in trainer.result.replicates] == ["finished", "diverged"]
        assert torch.equal(trainer.network.theta[0], plain.network.theta[0])

    def test_a_single_timestep(self, name: str) -> None:
        made = build(validated(ModelSpec, {"hidden": 4}), 2, None, 1, [1])
        regulariser: Regulariser = choose(REGULARISERS, name).load()(**EAGER.get(name, {}))
        x, h = draw(1, 1, 3, 2).float(), draw(1, 1, 3, 4).float()
        penalty = regulariser.penalty([h])
        assert penalty is None or float(penalty) == 0
        added = regulariser.gradient(Seen(made, x, [h], [h], 1))
        assert added is None or (float(added[0]) == 0 and not added[1].any())


def test_masks_of_every_kind_are_drawn_again(tmp_path: Path) -> None:
    spec = trial("none", model={"cell": "lstm", "hidden": 5, "dropout": 0.3, "zoneout_h": 0.2, "zoneout_c": 0.4})
    first = Trainer(spec)
    first.advance()
    save(first, tmp_path / "checkpoint")
    second = Trainer(spec)
    restore(second, tmp_path / "checkpoint")
    assert torch.equal(finish(second).network.theta, finish(Trainer(spec)).network.theta)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator_for("regularisers"), dtype=torch.float64)


class TestOmega:
    @staticmethod
    def paper(w: Tensor, total: Tensor, slope: Tensor, d: int) -> float:
        """One lane by loops, from dL/dh (T, B, H): Pascanu 2013, equation 9."""
        found = 0.0
        for b in range(total.shape[1]):
            for t in range(len(total) - d):
                delta = total[t + d, b] * slope[t + d, b]
                size = math.sqrt(float(delta @ delta))
                if size:
                    back = [slope[t, b, j] * sum(delta[i] * w[i, j] for i in range(len(w))) for j in range(len(w))]
                    found += (math.sqrt(sum(float(v) ** 2 for v in back)) / size - 1) ** 2
        return found / total.shape[1]

    @staticmethod
    def code(w: Tensor, total: Tensor, slope: Tensor, d: int) -> float:
        """The same of the authors' code: tmp_x / tmp_y of each t and sequence, its means over the batch, their sums."""
        terms, live = 0.0, 0.0
        for of_t, slope_of_t in zip(total, slope, strict=True):
            tmp_x = ((of_t * slope_of_t) @ w).square().sum(1)
            tmp_y = of_t.square().sum(1)
            reg = [(float(x / y) - 1) ** 2 if y >= 1e-20 else 0.0 for x, y in zip(tmp_x, tmp_y, strict=True)]
            terms += float(np.mean(reg))
            live += float((tmp_y >= 1e-20).double().mean())
        return terms / live

    @pytest.mark.parametrize("form", get_args(Form))
    @pytest.mark.parametrize(
        "model",
        [{}, {"activation": "softsign"}, {"activation": "elu"}, {"depth": 2, "dilation": 2, "between": "residual"}],
        ids=str,
    )
    def test_its_gradient_is_the_twins_by_finite_differences(self, model: dict[str, Any], form: Any) -> None:
        made = build(validated(ModelSpec, {"hidden": 4, "init": "glorot", **model}), 2, None, 7, [1, 2]).double()
        x = draw(7, 2, 3, 2)
        shape = (7, 2, 3, 4)
        probes = [x.new_zeros(shape).requires_grad_() for _ in range(made.depth)]
        hidden, top = made.run(x, None, probes)
        _, *totals = torch.autograd.grad((top[-1] * draw(2, 3, 4)).sum(), [made.theta, *probes])
        totals[0][:3, 0, 0] = 0.0  # a gradient of 0 is left out
        totals[0][:, 1, 1] *= 1e-13
        value_S, added_SP = Omega(3.0, form).gradient(Seen(made, x, [h.detach() for h in hidden], totals, 1))
        slopes = slopes_of(made, x, [h.detach() for h in hidden])
        twin = {"paper": self.paper, "code": self.code}[form]
        expected_S = [0.0, 0.0]
        for layer, weights in enumerate(made.layers()):
            d = made.architecture.stride(layer)
            for lane in range(2):
                w = weights.w_hh_SGH[lane].detach()
                parts = (totals[layer][:, lane], slopes[layer][:, lane], d)
                expected_S[lane] += 3 * twin(w, *parts)
                for i, j in ((0, 0), (2, 1), (3, 3)):
                    step = torch.zeros_like(w)
                    step[i, j] = 1e-6
                    slow = 3 * (twin(w + step, *parts) - twin(w - step, *parts)) / 2e-6
                    found = float(made.named(added_SP)[f"weight_hh_l{layer}"][lane, i, j])
                    assert found == pytest.approx(slow, rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(value_S.numpy(), expected_S, rtol=1e-10)
        named = made.named(added_SP)
        assert not any(part.any() for name, part in named.items() if not name.startswith("weight_hh"))

    def test_slopes_are_those_of_autograd(self) -> None:
        for phi in ("tanh", "relu", "elu", "sin", "modrelu"):
            made = build(validated(ModelSpec, {"hidden": 4, "activation": phi}), 2, None, 7, [1]).double()
            x = draw(5, 1, 2, 2)
            probe = torch.zeros(5, 1, 2, 4, dtype=torch.float64, requires_grad=True)
            h = made.run(x)[0][0].detach()
            (slope,) = slopes_of(made, x, [h])
            # delta through b_ih, timestep by timestep
            weights = made.layers(made.theta.detach())[0]
            for t in range(5):
                earlier = h[t - 1] if t else torch.zeros_like(h[0])
                bias = weights.b_ih_SG.clone().expand(2, 4).clone().requires_grad_()
                lanes = [weights._replace(b_ih_SG=bias[b : b + 1]) for b in range(2)]
                after = torch.cat(
                    [made.cell.step(lanes[b], x[t, :, b : b + 1], (earlier[:, b : b + 1],))[0] for b in range(2)], 1
                )
                (g,) = torch.autograd.grad(after.sum(), bias)
                torch.testing.assert_close(slope[t, 0], g, rtol=1e-10, atol=1e-12)
            assert probe.grad is None

    def test_an_orthogonal_linear_network_has_none(self) -> None:
        made = build(validated(ModelSpec, {"hidden": 4, "activation": "linear", "init": "orthogonal"}), 2, None, 7, [1])
        x, h, total = draw(7, 1, 3, 2).float(), draw(7, 1, 3, 4).float(), draw(7, 1, 3, 4).float()
        for form in get_args(Form):
            value_S, added_SP = Omega(form=form).gradient(Seen(made, x, [h], [total], 1))
            assert float(value_S) < 1e-10  # float32 weights, squared
            assert float(added_SP.abs().max()) < 1e-4

    def test_it_is_for_plain_networks(self) -> None:
        with pytest.raises(SpecError, match="regulariser 'omega' requires the cell rnn, but the cell is 'gru'"):
            trial("omega", model={"cell": "gru"})
        with pytest.raises(SpecError, match="requires neither zoneout_h nor dropout"):
            trial("omega", model={"dropout": 0.1})


class TestNormStabiliser:
    def test_its_value_by_hand_and_its_gradient_by_autograd(self) -> None:
        # norms 5, 1, 3 and 0, 2, 2
        h = (
            torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [2.0, 0.0]]])
            .double()[:, None]
            .requires_grad_()
        )
        value = NormStabiliser(10.0).penalty([h])
        # ((16 + 4) / 2 + (4 + 0) / 2) / 2, times beta
        assert value.tolist() == [60.0]
        (g,) = torch.autograd.grad(value.sum(), h)
        # d/dh_0 of (‖h_1‖ - ‖h_0‖)² = 2 (5 - 1) h_0 / 5, over T - 1 = 2 and B = 2; 0 where h is 0
        np.testing.assert_allclose(g[0, 0].numpy(), [[10 * 8 * 0.6 / 4, 10 * 8 * 0.8 / 4], [0, 0]], rtol=1e-12)

    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    def test_the_update_has_the_gradient_of_the_sum(self, cell: str) -> None:
        made = build(validated(ModelSpec, {"cell": cell, "hidden": 4, "depth": 2}), 2, None, 7, [1, 2]).double()
        x = draw(6, 2, 3, 2)
        found = []
        for run in (lambda: made.run(x)[0], lambda: [states["h"] for states in made.states(x)]):
            norms = [torch.stack([h.square().sum(-1).sqrt() for h in layer]) for layer in run()]
            slow = sum(((n[1:] - n[:-1]) ** 2).mean((0, 2)).sum() for n in norms) * 50
            assert isinstance(slow, Tensor)
            found.append(torch.autograd.grad(slow, made.theta)[0])
            value = NormStabiliser().penalty(run())
            assert float(value.detach().sum()) == pytest.approx(float(slow.detach()), rel=1e-12)
            found.append(torch.autograd.grad(value.sum(), made.theta)[0])
        for other in found[1:]:
            torch.testing.assert_close(found[0], other, rtol=1e-9, atol=1e-12)


class TestFlossing:
    @pytest.mark.parametrize(
        "model",
        [
            {},
            {"cell": "lstm"},
            {"cell": "gru", "depth": 2, "between": "residual", "dilation": 2},
            {"depth": 3, "between": "highway"},
        ],
        ids=str,
    )
    def test_its_exponents_are_the_probes_and_its_gradient_their_slope(self, model: dict[str, Any]) -> None:
        made = build(validated(ModelSpec, {"hidden": 3, **model}), 2, None, 7, [1, 2]).double()
        x, theta = draw(6, 2, 2, 2), made.theta.detach()
        found = exponents_of(made, x, theta, 3)
        torch.testing.assert_close(found.mean(1), lyapunov_exponents(made, x, theta, 3), rtol=1e-9, atol=1e-12)
        flossing = GradientFlossing(exponents=3, sequences=2, weight=2.0)
        value_S, g_SP = flossing.gradient(Seen(made, x, [], [], 1)) or (None, None)
        assert value_S is not None and g_SP is not None  # noqa: PT018
        np.testing.assert_allclose(value_S.numpy(), 2 * found.square().mean((1, 2)).detach().numpy(), rtol=1e-12)
        for lane, at in ((0, 3), (1, 10), (1, 20)):
            step = torch.zeros_like(theta)
            step[lane, at] = 1e-6
            up, down = (2 * exponents_of(made, x, theta + sign * step, 3).square().mean() * 2 for sign in (1, -1))
            # the mean over both lanes, of which one moves
            assert float(g_SP[lane, at]) == pytest.approx(float((up - down).detach() / 2e-6), rel=1e-4, abs=1e-7)

    def test_it_drives_the_exponents_of_a_random_network_to_zero(self) -> None:
        chosen = {"flossing": {"before": 60, "exponents": 4, "sequences": 2}}
        spec = validated(
            TrialSpec,
            {
                "task": {"kind": "adding", "length": 30},
                "model": {"hidden": 12, "init": "default"},
                "optim": {"lr": 1e-2, "batch": 4, "regulariser": chosen},
                "replicates": 2,
                "budget": {"updates": 60, "evaluations": 1},
                "probe": {"schedule": [60], "batch": 2, "measure": ["anchor", "lyapunov"]},
            },
        )
        trainer = Trainer(spec)
        x = trainer.task.validation.x_TNI[:, None, :8].double().expand(-1, 2, -1, -1)

        def exponents() -> Tensor:
            return lyapunov_exponents(trainer.network, x, trainer.network.theta.detach().double(), 4)

        before = exponents()
        assert (before < -0.4).all()  # .585 a step is -0.54
        finish(trainer)
        assert exponents().abs().max() < 0.1

    def test_when_it_acts(self) -> None:
        made = build(validated(ModelSpec, {"hidden": 3}), 2, None, 7, [1])
        x = draw(4, 1, 2, 2).float()
        flossing = GradientFlossing(before=2, every=3)
        acts = [flossing.gradient(Seen(made, x, [], [], update)) is not None for update in range(1, 10)]
        assert acts == [True, True, False, False, True, False, False, True, False]
        assert [flossing.alone(update) for update in (1, 2, 3)] == [True, True, False]

    def test_before_training_the_readout_stands_still(self) -> None:
        trainer = Trainer(trial("flossing"))
        begun = trainer.network.named()["readout.weight"].clone()
        trainer.advance()
        assert trainer.done == 2
        assert torch.equal(trainer.network.named()["readout.weight"], begun)
        trainer.advance()
        assert not torch.equal(trainer.network.named()["readout.weight"], begun)

    def test_activations_that_go_flat_are_refused(self) -> None:
        with pytest.raises(SpecError, match="regulariser 'flossing' requires the activation tanh or"):
            trial("flossing", model={"activation": "relu"})
