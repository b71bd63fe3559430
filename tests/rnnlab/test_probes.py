"""Probes beyond the usual four, each against what it is defined by (SCIENCE.md sections 4 and 5)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.curve import Curve
from rnnlab.model import Network, build
from rnnlab.probes import PRESETS, PROBES, USUAL
from rnnlab.probes.anchor import anchor_gradients
from rnnlab.probes.context import ProbeContext, before
from rnnlab.probes.early_share import early_share_curve
from rnnlab.probes.jacobian import jacobian_curves, jacobian_lags, jacobians
from rnnlab.probes.lyapunov import lyapunov_curve, lyapunov_exponents
from rnnlab.probes.reach import reach_curves, reach_positions
from rnnlab.probes.saturation import gate_values, saturation_curves
from rnnlab.probes.weight_share import weight_deltas, weight_share_curves
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import ModelSpec, ProbeSpec, TaskSpec, TrialSpec
from rnnlab.tasks.adding import Adding
from rnnlab.training.loop import train
from rnnlab.training.seeding import generator_for

STEPS, BATCH, HIDDEN = 12, 5, 6
MODELS = [
    pytest.param({"cell": cell, "activation": phi, "depth": depth}, id=f"{cell}-{phi}-{depth}")
    for cell, phi in (("rnn", "tanh"), ("rnn", "sin"), ("rnn", "relu"), ("lstm", None), ("gru", None))
    for depth in (1, 2)
]


def context_of(loss: Any = "every", **model: Any) -> ProbeContext:
    task = Adding(TaskSpec.model_validate({"kind": "adding", "length": STEPS, "loss": {"at": loss}}))
    spec = ModelSpec.model_validate({"hidden": HIDDEN, **model})
    network = build(spec, task.inputs, task.outputs, STEPS, [1, 2])
    return ProbeContext(network, task, task.draw(generator_for("contexts"), BATCH), 3)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator_for("more probes"), dtype=torch.float64)


def linear(w_hh: Tensor) -> Network:
    """One layer h' = W h + x with these weights, float64."""
    size = len(w_hh)
    made = build(ModelSpec.model_validate({"activation": "linear", "hidden": size}), 1, None, STEPS, [0]).double()
    with torch.no_grad():
        made.named()["weight_hh_l0"].copy_(w_hh)
    return made


def named(curves: list[Curve]) -> dict[str, np.ndarray]:
    assert len({curve.name for curve in curves}) == len(curves)
    return {curve.name: curve.values_SK for curve in curves}


class TestTable:
    def test_the_usual_ones_stay(self) -> None:
        assert USUAL == ("loss", "total", "inputs", "anchor")
        assert ProbeSpec().measure == list(USUAL)

    def test_signals_is_a_preset(self) -> None:
        expected = ["anchor", "jacobian", "saturation", "early_share"]
        assert ProbeSpec.model_validate({"measure": "signals"}).measure == expected
        assert set(PRESETS["signals"]) <= set(PROBES)

    def test_an_unknown_preset_is_told(self) -> None:
        with pytest.raises(ValidationError, match=r"preset \(signals\), but got 'signal'; did you mean 'signals'"):
            ProbeSpec.model_validate({"measure": "signal"})

    @pytest.mark.parametrize("name", PROBES)
    def test_definition_source_and_cost_are_told(self, name: str) -> None:
        words = choose(PROBES, name).load().__doc__
        assert "Cost: " in words
        assert any(cost in words for cost in ("Cost: free", "Cost: cheap", "Cost: full"))
        assert "Source" in words

    @pytest.mark.parametrize("model", MODELS)
    @pytest.mark.parametrize("name", PROBES)
    def test_every_probe_gives_a_row_a_lane(self, name: str, model: dict[str, Any]) -> None:
        curves = choose(PROBES, name).load()(context_of(**model))
        assert curves
        for curve in curves:
            assert curve.update == 3
            assert curve.values_SK.dtype == np.float64
            assert curve.values_SK.shape[0] == 2
            if curve.axis != "index":
                assert curve.values_SK.shape == (2, STEPS)
        named(curves)

    @pytest.mark.parametrize("cell", CELLS)
    def test_all_of_them_in_a_training(self, cell: str) -> None:
        spec = {
            "task": {"kind": "adding", "length": 8, "loss": {"at": "every"}},
            "model": {"hidden": 4, "cell": cell, "depth": 2},
            "optim": {"kind": "sgd", "lr": 0.05, "batch": 4},
            "budget": {"updates": 3, "evaluations": 1},
            "probe": {"measure": list(PROBES), "batch": 3},
            "replicates": 2,
        }
        recorder = MemoryRecorder()
        train(TrialSpec.model_validate(spec), recorder)
        assert all(np.isfinite(curve.values_SK).all() for curve in recorder.curves_seen)
        seen = [{c.name for c in recorder.curves_seen if c.update == update} for update in (0, 1, 3)]
        assert seen[0] == seen[1] == seen[2]


class TestJacobian:
    def test_scaled_orthogonal(self) -> None:
        q = torch.linalg.qr(noise(HIDDEN, HIDDEN))[0]
        made = linear(0.9 * q)
        (j,) = jacobians(made, noise(30, 1, 2, 1), made.theta.detach(), [1, 10, 29], state="h")
        found = torch.linalg.svdvals(j)
        for lag, values in zip((1, 10, 29), found, strict=True):
            # a product of lag orthogonal matrices
            torch.testing.assert_close(values, torch.full_like(values, 0.9**lag), rtol=1e-12, atol=0)
        torch.testing.assert_close(j[1, 0, 0], torch.linalg.matrix_power(0.9 * q, 10), rtol=1e-10, atol=1e-14)

    @pytest.mark.parametrize("model", MODELS)
    def test_its_rows_are_the_anchors_gradients(self, model: dict[str, Any]) -> None:
        context = context_of(**model)
        network, state = context.network, context.network.cell.anchor_state
        lags = [1, 4, STEPS - 1]
        found = jacobians(network, context.x_TSBI, context.theta_SP, lags, state=state)
        v_BH = noise(BATCH, HIDDEN)
        plain = anchor_gradients(network, context.x_TSBI, context.theta_SP, state=state, v_BH=v_BH)
        for layer, j_KSBHH in enumerate(found):
            expected = plain[layer][state][[STEPS - 1 - lag for lag in lags]]
            product = torch.einsum("bi,ksbij->ksbj", v_BH, j_KSBHH)
            torch.testing.assert_close(product, expected, rtol=1e-9, atol=1e-14)

    def test_directions_that_do_not_fit_go_in_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context = context_of()
        args = (context.network, context.x_TSBI, context.theta_SP, [1, 5])
        (whole,) = jacobians(*args, state="h")
        monkeypatch.setattr("rnnlab.probes.jacobian.ENTRIES", STEPS * 2 * HIDDEN * 4)
        (parts,) = jacobians(*args, state="h")
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-300)

    def test_curves(self) -> None:
        curves = named(jacobian_curves(context_of(cell="lstm", depth=2)))
        assert jacobian_lags(STEPS) == [1, 2, 5, 10, 11]
        assert curves["jacobian_lags"].tolist() == [[1, 2, 5, 10, 11]] * 2
        values = curves["jacobian_lag10_c_l1"]
        assert values.shape == (2, HIDDEN)
        assert (np.diff(values) <= 0).all()
        np.testing.assert_allclose(curves["jacobian_condition_c_l1"][:, 3], values[:, 0] / values[:, -1])

    @pytest.mark.parametrize("steps", [1, 2, 3])
    def test_short_sequences(self, steps: int) -> None:
        assert jacobian_lags(steps) == [[0], [1], [1, 2]][steps - 1]


class TestLyapunov:
    @pytest.mark.parametrize("gain", [0.9, 1.0, 1.1])
    def test_8_orthogonal_linear_is_ln_g(self, gain: float) -> None:
        made = linear(gain * torch.linalg.qr(noise(HIDDEN, HIDDEN))[0])
        found = lyapunov_exponents(made, noise(30, 1, 2, 1), made.theta.detach())
        torch.testing.assert_close(
            found, torch.full((1, HIDDEN), math.log(gain), dtype=torch.float64), rtol=1e-10, atol=1e-13
        )

    @pytest.mark.parametrize("model", [m for m in MODELS if "relu" not in str(m.id)])
    def test_8_the_sum_is_the_mean_log_determinant(self, model: dict[str, Any]) -> None:
        context = context_of(**model)
        network, theta = context.network, context.theta_SP
        x_TSBI = context.x_TSBI[:, :, :2]
        found = lyapunov_exponents(network, x_TSBI, theta)
        names, layers = network.cell.states, network.layers(theta)
        whole = network.depth * len(names) * HIDDEN
        assert found.shape == (2, whole)
        seen = network.states(x_TSBI, theta)
        sums = torch.zeros(2, dtype=torch.float64)
        for lane in range(2):
            for b in range(2):
                for t in range(1, STEPS):

                    def forward(z: Tensor, lane: int = lane, b: int = b, t: int = t) -> Tensor:
                        parts = z.view(network.depth, len(names), 1, 1, HIDDEN)
                        x, out = x_TSBI[t, lane, b].view(1, 1, -1), []
                        for weights, state in zip(layers, parts, strict=True):
                            mine = type(weights)(*(w[lane : lane + 1] for w in weights))
                            after = network.cell.step(mine, x, tuple(state))
                            x = after[0]
                            out += [part.flatten() for part in after]
                        return torch.cat(out)

                    z = torch.cat([layer[name][t - 1, lane, b] for layer in seen for name in names]).detach()
                    j = torch.autograd.functional.jacobian(forward, z)
                    sums[lane] += torch.linalg.slogdet(j).logabsdet
        expected = sums / 2 / (STEPS - 1)
        # QR of D columns, T steps; a tiny determinant costs digits
        torch.testing.assert_close(found.sum(1), expected, rtol=1e-6, atol=1e-8)

    def test_the_leading_ones_are_the_first_of_all(self) -> None:
        context = context_of()
        args = (context.network, context.x_TSBI, context.theta_SP)
        some, every = lyapunov_exponents(*args, 3), lyapunov_exponents(*args)
        assert some.shape == (2, 3)
        # the first column of a frame does not feel the others; here both frames begin with other random numbers
        assert (some[:, 0] - every[:, 0]).abs().max() < 0.2

    def test_the_leading_one_is_the_slope_of_the_anchor(self) -> None:
        made = build(ModelSpec.model_validate({"hidden": 24}), 1, None, 200, [0])
        x_TSBI = noise(300, 1, 2, 1)
        theta = made.theta.detach().double()
        leading = float(lyapunov_exponents(made, x_TSBI, theta, 1))
        (plain,) = anchor_gradients(made, x_TSBI, theta, state="h")
        norms = plain["h"].norm(dim=-1).log().mean((1, 2))
        # both are finite-time estimates along another direction: O(1) over 300 steps
        assert leading == pytest.approx(float(norms[0] - norms[-1]) / 299, abs=0.02)

    def test_curve(self) -> None:
        (curve,) = lyapunov_curve(context_of(cell="lstm"))
        assert (curve.name, curve.values_SK.shape) == ("lyapunov", (2, 8))
        (curve,) = lyapunov_curve(context_of())
        assert curve.values_SK.shape == (2, HIDDEN)


class TestWeightShare:
    @pytest.mark.parametrize("model", MODELS)
    def test_11_the_sum_over_time_is_the_gradient_of_the_weights(self, model: dict[str, Any]) -> None:
        context = context_of(**model)
        theta = context.theta_SP.clone().requires_grad_()
        h = context.network.states(context.x_TSBI, theta)[-1]["h"]
        out = context.network.read(h, theta)
        loss = (out - context.batch.y_TN.double()[:, None]).square().mean(-1).sum()
        (g_SP,) = torch.autograd.grad(loss, [theta])
        expected = context.network.named(g_SP)
        curves = named(weight_share_curves(context))
        for layer in range(context.network.depth):
            delta, h_TSBH = weight_deltas(context, layer), before(context.states[layer]["h"])
            each = torch.einsum("tsbg,tsbh->tsbgh", delta, h_TSBH)
            torch.testing.assert_close(each.sum((0, 2)), expected[f"weight_hh_l{layer}"], rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(delta.sum((0, 2)), expected[f"bias_hh_l{layer}"], rtol=1e-10, atol=1e-12)
            # of one sequence ‖delta h^T‖_F = ‖delta‖ ‖h‖; the curve is the RMS of that
            norms = each.flatten(-2).norm(dim=-1).square().mean(2).sqrt().T
            np.testing.assert_allclose(curves[f"weight_norm_l{layer}"], norms, rtol=1e-12)
            np.testing.assert_allclose(curves[f"weight_share_l{layer}"].sum(1), 1, rtol=1e-12)
            assert (curves[f"weight_norm_l{layer}"][:, 0] == 0).all()

    def test_many_rows_go_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context = context_of(cell="gru")
        whole = weight_deltas(context, 0)
        monkeypatch.setattr("rnnlab.probes.weight_share.ROWS", 7)
        torch.testing.assert_close(weight_deltas(context, 0), whole, rtol=1e-12, atol=1e-300)


class TestReach:
    @pytest.mark.parametrize("model", MODELS)
    def test_the_vectors_over_all_tau_add_up_to_the_total(self, model: dict[str, Any]) -> None:
        context = context_of(**model)
        taus = context.task.positions
        assert len(taus) == STEPS
        found = [context.gradients_of([tau]) for tau in taus]
        for layer in range(context.network.depth):
            for state in context.network.cell.states:
                whole = sum(part.states[layer][state] for part in found)
                torch.testing.assert_close(whole, context.gradients.states[layer][state], rtol=1e-10, atol=1e-14)
        whole = sum(part.inputs_TSBI for part in found)
        torch.testing.assert_close(whole, context.gradients.inputs_TSBI, rtol=1e-10, atol=1e-14)

    def test_curves(self) -> None:
        curves = named(reach_curves(context_of(cell="lstm")))
        taus = [0, 2, 3, 5, 6, 8, 9, 11]
        assert list(curves) == [f"reach_t{tau}_{end}" for tau in taus for end in ("h_l0", "c_l0", "inputs")]
        assert (curves["reach_t5_inputs"][:, 6:] == 0).all()
        assert (curves["reach_t5_inputs"][:, :6] > 0).all()

    def test_a_single_loss_is_the_total(self) -> None:
        context = context_of("last")
        curves = named(reach_curves(context))
        assert list(curves) == ["reach_t11_h_l0", "reach_t11_inputs"]
        norms = context.gradients.states[0]["h"].norm(dim=-1).square().mean(2).sqrt().T
        np.testing.assert_allclose(curves["reach_t11_h_l0"], norms, rtol=1e-12)

    def test_positions(self) -> None:
        assert reach_positions([3, 1]) == [1, 3]
        assert reach_positions(list(range(100))) == [0, 14, 28, 42, 57, 71, 85, 99]


class TestSaturation:
    @pytest.mark.parametrize("model", MODELS)
    def test_gates_give_the_states(self, model: dict[str, Any]) -> None:
        context = context_of(**model)
        for layer in range(context.network.depth):
            values = {name: value for name, (value, _) in gate_values(context, layer).items()}
            seen = context.states[layer]
            if "c" in seen:
                h = values["o"] * torch.tanh(values["f"] * before(seen["c"]) + values["i"] * values["g"])
            elif "z" in values:
                h = (1 - values["z"]) * values["n"] + values["z"] * before(seen["h"])
            else:
                h = values["h"]
            torch.testing.assert_close(h, seen["h"], rtol=1e-11, atol=1e-13)

    def test_slopes(self) -> None:
        context = context_of(cell="lstm")
        found = gate_values(context, 0)
        for name, (value, slope) in found.items():
            bounded = 1 - value**2 if name in "gc" else value * (1 - value)
            torch.testing.assert_close(slope, bounded)

    def test_a_biased_gate_is_saturated_and_open(self) -> None:
        context = context_of(cell="lstm")
        with torch.no_grad():
            bias = context.network.named()["bias_ih_l0"]
            bias.zero_()
            bias[:, HIDDEN : 2 * HIDDEN] = 50.0
        curves = named(saturation_curves(context))
        assert (curves["saturation_f_l0"] == 1).all()
        np.testing.assert_allclose(curves["gate_f_l0"], 1, rtol=1e-12)
        assert (curves["saturation_i_l0"] < 0.5).all()
        names = [
            f"{kind}_{gate}_l0" for gate in "ifgo" for kind in ("saturation", "gate") if (kind, gate) != ("gate", "g")
        ]
        assert list(curves) == [*names, "saturation_c_l0"]

    def test_dead_relus_and_a_linear_network(self) -> None:
        context = context_of(activation="relu")
        with torch.no_grad():
            context.network.named()["bias_ih_l0"].fill_(-100)
        assert (named(saturation_curves(context))["saturation_h_l0"] == 1).all()
        assert (named(saturation_curves(context_of(activation="linear")))["saturation_h_l0"] == 0).all()


def test_early_share_rises_to_one() -> None:
    context = context_of()
    (curve,) = early_share_curve(context)
    assert (curve.name, curve.axis) == ("early_share", "timestep")
    assert (np.diff(curve.values_SK) >= 0).all()
    np.testing.assert_allclose(curve.values_SK[:, -1], 1, rtol=1e-12)
    norms = context.gradients.inputs_TSBI.norm(dim=-1).square().mean(2).sqrt().T
    np.testing.assert_allclose(curve.values_SK[:, 3], norms[:, :4].sum(1) / norms.sum(1), rtol=1e-12)
