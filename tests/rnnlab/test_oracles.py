"""SCIENCE.md sections 0 and 4: closed forms and traps that the instrument is held against, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnnlab import from_torch, gradient_curve
from rnnlab.activations import ACTIVATIONS
from rnnlab.cells import CELLS
from rnnlab.choices import Choice, choose, options_of
from rnnlab.curve import rms_norm
from rnnlab.inits.draws import Draws
from rnnlab.inits.orthogonal import orthogonal
from rnnlab.model import Network, build, load_cell
from rnnlab.parameters import parameter_shapes
from rnnlab.probes.anchor import anchor_curves, anchor_gradients
from rnnlab.probes.context import ProbeContext, zero_probes
from rnnlab.probes.inputs import input_curve
from rnnlab.probes.loss import loss_curve
from rnnlab.probes.total import total_curves
from rnnlab.spec import ModelSpec, TaskSpec
from rnnlab.tasks.adding import Adding
from rnnlab.tasks.base import Batch
from rnnlab.training.seeding import generator_for

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 0}
"""float64: a hundred products of order 1, each off by 1e-16."""


def net(cell: str, w_hh: Tensor, activation: str | None = None, inputs: int = 1, **parts: Tensor) -> Network:
    """A one-lane, one-layer float64 network with these weights; those not given are 0."""
    phi = Choice(kind=activation, options=options_of(ACTIVATIONS, activation, {})) if activation is not None else None
    made = load_cell(Choice(kind=cell), phi)
    hidden = w_hh.shape[1]
    shapes = parameter_shapes(len(made.gates), inputs, hidden, 1, None)
    given = {"weight_hh_l0": w_hh, **parts}
    values = [given.get(name, torch.zeros(shape)).double().reshape(-1) for name, shape in shapes.items()]
    return Network(made, inputs, hidden, 1, None, torch.cat(values)[None])


def noise(steps: int, batch: int = 3, inputs: int = 1) -> Tensor:
    return torch.randn(steps, batch, inputs, generator=generator_for("oracles"), dtype=torch.float64)


def orthogonal_matrix(size: int, gain: float = 1.0) -> Tensor:
    return orthogonal(Draws(3, 0, ("h",), 1, size), gain).w_hh_GH


def row(curve: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = curve.values_SK[0]
    return values


def close(found: Any, expected: Any, **how: float) -> None:
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=torch.float64), torch.as_tensor(expected, dtype=torch.float64), **how
    )


class TestOneScaledOrthogonal:
    @pytest.mark.parametrize(("gain", "at_50"), [(0.9, 5.15377520732012e-3), (1.0, 1.0), (1.1, 117.390852879696)])
    def test_the_norm_is_gain_to_the_lag(self, gain: float, at_50: float) -> None:
        curve = gradient_curve(net("rnn", orthogonal_matrix(24, gain), "linear"), noise(60))
        close(row(curve), gain ** np.arange(60.0), **EXACT)
        close(row(curve)[50], at_50, **EXACT)

    def test_at_any_anchor_and_along_any_direction(self) -> None:
        network = net("rnn", orthogonal_matrix(24, 0.9), "linear")
        for seed in (0, 1):
            for anchor in (0, 20, -1):
                found = row(gradient_curve(network, noise(60), anchor=anchor, seed=seed))
                assert len(found) == anchor % 60 + 1
                close(found, 0.9 ** np.arange(float(len(found))), **EXACT)


def test_2_diagonal() -> None:
    rates = torch.tensor([0.5, 0.9, 1.0, 1.02], dtype=torch.float64)
    network = net("rnn", torch.diag(rates), "linear")
    (by_state,) = anchor_gradients(network, noise(41)[:, None], network.theta.detach(), state="h", seed=4)
    gradient_TBH = by_state["h"][:, 0]
    v_BH = gradient_TBH[-1]
    close(v_BH.norm(dim=1), torch.ones(3), **EXACT)
    lags = torch.arange(40, -1, -1)
    expected = v_BH * rates ** lags[:, None, None]
    close(gradient_TBH, expected, **EXACT)
    found = row(gradient_curve(network, noise(41), seed=4))
    close(found, expected.square().sum(2).mean(1).sqrt().flip(0), **EXACT)


@pytest.mark.parametrize(
    ("w", "fixed", "factor"),
    [(0.5, 0.0, 0.5), (1.5, 0.858560, 0.394313), (2.0, 0.957504, 0.166372), (3.0, 0.994902, 0.030513)],
)
def test_4_scalar_tanh_at_its_fixed_point(w: float, fixed: float, factor: float) -> None:
    steps = 120
    one = torch.ones(1, 1, dtype=torch.float64)
    network = net("rnn", w * one, "tanh", weight_ih_l0=one)
    # a push at the first step; 110 steps later the state stands at its fixed point, to rounding
    x = torch.zeros(steps, 1, 1, dtype=torch.float64)
    x[0] = 2.0
    h = float(network.states(x[:, None])[0]["h"][-1].detach())
    found = row(gradient_curve(network, x))
    if w > 1:
        assert h == pytest.approx(fixed, abs=1e-6)  # the table has six decimals
        assert abs(math.tanh(w * h) - h) < 1e-14
    ratio = found[1:8] / found[:7]
    close(ratio, np.full(7, w * (1 - h**2)), rtol=1e-9, atol=0)  # 0.5^110 short of the fixed point
    assert ratio[0] == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize(
    ("cell", "state", "bias", "at_10"),
    [("lstm", "c", 1.0, 0.0436035428), ("gru", "h", 2.0, 0.2810338624)],
)
def test_5_gates_alone(cell: str, state: str, bias: float, at_10: float) -> None:
    hidden = 6
    gates = choose(CELLS, cell).load().gates
    biases = torch.zeros(len(gates) * hidden)
    gate = gates.index("f" if cell == "lstm" else "z")
    biases[gate * hidden : (gate + 1) * hidden] = bias
    network = net(cell, torch.zeros(len(gates) * hidden, hidden), bias_ih_l0=biases)
    found = row(gradient_curve(network, noise(30), state=state))
    sigma = 1 / (1 + math.exp(-bias))
    close(found, sigma ** np.arange(30.0), **EXACT)
    # ten decimals are quoted; sigma(2)^10 is .28103386232, so the last one there is off by one
    assert found[10] == pytest.approx(at_10, abs=1e-10)


@pytest.mark.parametrize("activation", ["tanh", "relu", "hardtanh", "softsign", "sin", "leaky_relu"])
def test_7_the_bound_of_pascanu_at_each_timestep(activation: str) -> None:
    hidden, steps = 16, 40
    draw = generator_for("bound")
    w_hh = 1.3 * torch.randn(hidden, hidden, generator=draw, dtype=torch.float64) / hidden**0.5
    w_ih = torch.randn(hidden, 1, generator=draw, dtype=torch.float64)
    network = net("rnn", w_hh, activation, weight_ih_l0=w_ih)
    x = noise(steps)
    h_TBH = network.states(x[:, None])[0]["h"][:, 0].detach()
    before = torch.cat([torch.zeros_like(h_TBH[:1]), h_TBH[:-1]])
    a_TBH = (x @ w_ih.T + before @ w_hh.T).requires_grad_()
    (slope_TBH,) = torch.autograd.grad(load_phi(activation)(a_TBH).sum(), [a_TBH])
    (by_state,) = anchor_gradients(network, x[:, None], network.theta.detach(), state="h")
    norm_TB = by_state["h"][:, 0].norm(dim=2)
    largest = torch.linalg.matrix_norm(w_hh, 2)
    bound_TB = norm_TB[1:] * largest * slope_TBH[1:].abs().amax(2)
    # equality is possible; a rounding above it is not a violation
    assert (norm_TB[:-1] <= bound_TB * (1 + 1e-12)).all()
    # and it is a bound of this curve and not of any: somewhere half of it is passed
    assert (norm_TB[:-1] / bound_TB).max() > 0.5


def load_phi(name: str) -> Any:
    return choose(ACTIVATIONS, name).load()(**options_of(ACTIVATIONS, name, {}))


def test_7_a_small_largest_singular_value_vanishes_and_a_large_one_need_not_explode() -> None:
    draw = generator_for("sufficient")
    w_hh = torch.randn(24, 24, generator=draw, dtype=torch.float64)
    w_hh /= torch.linalg.matrix_norm(w_hh, 2)
    found = row(gradient_curve(net("rnn", 0.95 * w_hh, "tanh"), noise(60)))
    assert (found <= 0.95 ** np.arange(60.0) * (1 + 1e-12)).all()
    # torch's own initialisation: largest singular value 2/√3 and yet it vanishes at 1/√3 a step (trap 4)
    spec = ModelSpec.model_validate({"hidden": 256})
    network = build(spec, 1, None, 60, list(range(5)))
    weights = network.named()["weight_hh_l0"].detach().double()
    largest = torch.linalg.matrix_norm(weights, 2)
    # measured 1.11 to 1.13 at H = 128, 2/√3 = 1.155 at infinite width
    assert largest.min() > 1.1
    assert largest.max() < 1.19
    radius = torch.linalg.eigvals(weights).abs().amax(1)
    assert float(radius.mean()) == pytest.approx(3**-0.5, rel=0.07)  # the edge is rough by H^-1/2
    values_SK = gradient_curve(network, noise(60, 4).float()).values_SK
    per_lag = (values_SK[:, 45] / values_SK[:, 5]) ** (1 / 40)
    assert per_lag.max() < 0.65


def test_9_irnn_gradients_are_zero_or_one() -> None:
    hidden = 32
    draw = generator_for("irnn")
    w_ih = torch.randn(hidden, 1, generator=draw, dtype=torch.float64)
    network = net("rnn", torch.eye(hidden), "relu", weight_ih_l0=w_ih)
    x_TSBI = torch.rand(50, 1, 4, 1, generator=draw, dtype=torch.float64) + 0.01
    (by_state,) = anchor_gradients(network, x_TSBI, network.theta.detach(), state="h")
    gradient_TBH = by_state["h"][:, 0]
    ratio = gradient_TBH / gradient_TBH[-1]
    assert ratio[:-1].unique().tolist() == [0.0, 1.0]
    # the sign of W_in decides which units are dead
    alive = (ratio[0] == 1).all(0)
    assert torch.equal(alive, w_ih[:, 0] > 0)


def weight_gradient(cell: str, depth: int = 1) -> tuple[Network, ProbeContext, dict[str, Tensor]]:
    """A network with its probe context on adding, and the gradient of the summed loss by parameter."""
    task = Adding(TaskSpec.model_validate({"kind": "adding", "length": 12, "loss": {"at": "every"}}))
    spec = ModelSpec.model_validate({"cell": cell, "hidden": 6, "depth": depth})
    network = build(spec, task.inputs, task.outputs, task.length, [1, 2])
    batch = task.draw(generator_for("weights"), 5)
    context = ProbeContext(network, task, batch, 3)
    theta = network.theta.detach().double().requires_grad_()
    h = network.states(context.x_TSBI, theta)[-1]["h"]
    out = network.read(h, theta)
    loss = (out - batch.y_TN.double()[:, None]).square().mean(-1).sum()
    (g_SP,) = torch.autograd.grad(loss, [theta])
    return network, context, network.named(g_SP)


def test_11_the_gradient_by_timestep_adds_up_to_the_weights() -> None:
    network, context, expected = weight_gradient("rnn")
    h_TSBH = network.states(context.x_TSBI, context.theta_SP)[0]["h"]
    delta_TSBH = context.gradients.states[0]["h"] * (1 - h_TSBH.square())
    by_time = torch.einsum("tsbg,tsbh->tsgh", delta_TSBH[1:], h_TSBH[:-1])
    close(by_time.sum(0), expected["weight_hh_l0"], rtol=1e-12, atol=1e-12)
    close(delta_TSBH.sum((0, 2)), expected["bias_hh_l0"], rtol=1e-12, atol=1e-12)
    by_input = torch.einsum("tsbg,tsbi->sgi", delta_TSBH, context.x_TSBI)
    close(by_input, expected["weight_ih_l0"], rtol=1e-12, atol=1e-12)
    # of one sequence, ‖delta h^T‖ = ‖delta‖ ‖h‖
    one = torch.einsum("g,h->gh", delta_TSBH[4, 0, 0], h_TSBH[3, 0, 0])
    close(one.norm(), delta_TSBH[4, 0, 0].norm() * h_TSBH[3, 0, 0].norm(), **EXACT)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_the_total_gradient_is_a_retained_one(cell: str, depth: int) -> None:
    """G1 and dL/dx_t against a loop over single timesteps that keeps every state's gradient."""
    network, context, _ = weight_gradient(cell, depth)
    x = context.x_TSBI.clone().requires_grad_()
    layers = network.layers(context.theta_SP)
    size = (network.lanes, x.shape[2], network.hidden)
    names = network.cell.states
    state = [tuple(torch.zeros(size, dtype=torch.float64) for _ in names) for _ in layers]
    kept: list[list[tuple[Tensor, ...]]] = [[] for _ in layers]
    outs = []
    for x_SBI in x:
        below = x_SBI
        for number, weights in enumerate(layers):
            new = network.cell.step(weights, below, state[number])
            # the split state (SCIENCE.md section 5): h of an LSTM is taken from a c of its own
            state[number] = tuple(s + torch.zeros_like(s).requires_grad_() for s in new)
            for s in state[number]:
                s.retain_grad()
            kept[number].append(state[number])
            below = state[number][0]
        outs.append(network.read(below[None], context.theta_SP)[0])
    loss = (torch.stack(outs) - context.batch.y_TN.double()[:, None]).square().mean(-1).sum()
    loss.backward()
    for number, seen in enumerate(kept):
        for i, name in enumerate(names):
            grads = [s[i].grad for s in seen]
            # the last c feeds nothing
            found = torch.stack([torch.zeros(size).double() if g is None else g for g in grads])
            close(context.gradients.states[number][name], found, rtol=1e-12, atol=1e-14)
    close(context.gradients.inputs_TSBI, x.grad, rtol=1e-12, atol=1e-14)


def test_probes_of_one_context_agree() -> None:
    _, context, _ = weight_gradient("lstm", 2)
    totals = total_curves(context)
    assert [curve.name for curve in totals] == ["total_h_l0", "total_c_l0", "total_h_l1", "total_c_l1"]
    close(totals[1].values_SK, rms_norm(context.gradients.states[0]["c"]), **EXACT)
    (inputs,) = input_curve(context)
    assert (inputs.name, inputs.axis, inputs.update) == ("inputs", "timestep", 3)
    close(inputs.values_SK, rms_norm(context.gradients.inputs_TSBI), **EXACT)
    (loss,) = loss_curve(context)
    assert loss.name == "loss"
    close(loss.values_SK, context.gradients.loss_TSB.mean(2).T, **EXACT)
    anchors = anchor_curves(context)
    assert [curve.name for curve in anchors] == ["anchor_h_l0", "anchor_c_l0", "anchor_h_l1", "anchor_c_l1"]
    assert all(curve.values_SK.shape == (2, 12) and curve.axis == "lag" for curve in anchors)
    # v is a unit vector at the anchor, which is the top layer's c; its h of that step does not feed it
    close(anchors[3].values_SK[:, 0], np.ones(2), **EXACT)
    assert (anchors[2].values_SK[:, 0] == 0).all()


def test_a_curve_does_not_depend_on_batch_or_loss_scale() -> None:
    task = Adding(TaskSpec.model_validate({"kind": "adding", "length": 12}))
    network = build(ModelSpec.model_validate({"hidden": 6}), 2, 1, 12, [1])
    batch = task.draw(generator_for("scale"), 4)
    twice = Batch(batch.x_TNI.repeat(1, 2, 1), batch.y_TN.repeat(1, 2, 1))
    for probe in (total_curves, input_curve):
        one, two = (probe(ProbeContext(network, task, b, 0))[0].values_SK for b in (batch, twice))
        close(one, two, **EXACT)


class TestTraps:
    @pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
    def test_1_the_gradient_of_the_output_is_only_its_direct_part(self, kind: Any) -> None:
        module = kind(2, 8).double()
        x = noise(20, 3, 2)
        out, _ = module(x)
        out.retain_grad()
        out[-1].square().sum().backward()
        assert (out.grad[:-1] == 0).all()
        network = from_torch(module)
        probes = zero_probes(network, x[:, None])
        h = network.states(x[:, None], probes=probes)[-1]["h"]
        (total,) = torch.autograd.grad(h[-1].square().sum(), [probes[0]["h"]])
        close(total[-1, 0], out.grad[-1], **EXACT)
        assert (total[:-1].abs().amax((1, 2, 3)) > 0).all()

    def test_1_the_total_is_the_direct_part_plus_what_the_next_step_feels(self) -> None:
        module = nn.RNN(2, 8).double()
        x = noise(20, 3, 2)
        network = from_torch(module)
        draw = generator_for("direct")
        direct = torch.randn(20, 1, 3, 8, generator=draw, dtype=torch.float64)
        probes = zero_probes(network, x[:, None])
        h = network.states(x[:, None], probes=probes)[-1]["h"]
        (total,) = torch.autograd.grad((h * direct).sum(), [probes[0]["h"]])
        delta = total * (1 - h.square())
        felt = delta[1:] @ network.named()["weight_hh_l0"][:, None]
        close(total[:-1].detach(), (direct[:-1] + felt).detach(), rtol=1e-11, atol=1e-12)

    @pytest.mark.parametrize(("gain", "first"), [(0.5, 2.0), (1.0, 100.0)])
    def test_2_a_loss_at_every_step_hides_vanishing(self, gain: float, first: float) -> None:
        # W = g I keeps every loss's gradient parallel: the total is sum of g^k, k = 0 ... T - 1 - t
        network = net("rnn", gain * torch.eye(8), "linear")
        x = noise(100, 1)[:, None]
        probes = zero_probes(network, x)
        h = network.states(x, probes=probes)[-1]["h"]
        v = torch.full((8,), 8**-0.5, dtype=torch.float64)
        (total,) = torch.autograd.grad((h @ v).sum(), [probes[0]["h"]])
        found = rms_norm(total)[0]
        left = np.arange(100.0, 0, -1)
        close(found, left if gain == 1 else (1 - gain**left) / (1 - gain), **EXACT)
        assert found[0] == pytest.approx(first, rel=1e-12)
        assert found[-1] == pytest.approx(1, rel=1e-12)
        if gain == 0.5:
            assert found[:60] == pytest.approx(2.0, rel=1e-12)  # flat: it looks healthy
        # the anchor tells the truth of both
        curve = gradient_curve(network, x)
        assert curve.verdict().name == ("vanishing" if gain == 0.5 else "healthy")

    def test_3_h_and_c_of_a_chrono_lstm_read_differently_at_lag_0(self) -> None:
        spec = ModelSpec.model_validate({"cell": "lstm", "hidden": 128, "bias_init": {"chrono": 60}})
        network = build(spec, 1, None, 60, [0, 1, 2])
        x = torch.randn(60, 3, 4, 1, generator=generator_for("trap3"))
        c, h = (gradient_curve(network, x, state=state).values_SK for state in "ch")
        # .25 and .0018 are one net's; five nets gave .23 to .27 and .0017 to .0018
        assert ((c[:, 50] / c[:, 0] > 0.15) & (c[:, 50] / c[:, 0] < 0.4)).all()
        assert ((h[:, 50] / h[:, 0] > 0.0006) & (h[:, 50] / h[:, 0] < 0.005)).all()
        # from lag 5 on both tell about the same
        assert ((c[:, 50] / c[:, 5]) / (h[:, 50] / h[:, 5]) < 4).all()

    def test_float32_reads_nothing_where_the_instrument_still_sees(self) -> None:
        network = net("rnn", orthogonal_matrix(8, 0.5), "linear")
        found = gradient_curve(network, noise(400))
        close(found.log10_SK[0], np.arange(400) * math.log10(0.5), rtol=1e-12, atol=1e-12)
        small = torch.tensor(found.values_SK[0, 200], dtype=torch.float32).expand(4)
        # 0.5^200 = 6e-61 is nothing in float32
        assert float(small.norm()) == 0
        assert not found.verdict(100).underflow
        assert found.values_SK.min() > 0


def test_norm_clip_leaves_the_curve_of_update_0_alone() -> None:
    from rnnlab.recorder import MemoryRecorder
    from rnnlab.spec import TrialSpec
    from rnnlab.training.loop import train

    seen = []
    for clip in ("none", {"norm": 1e-4}):
        spec = {
            "task": {"kind": "adding", "length": 20},
            "model": {"hidden": 8},
            "optim": {"kind": "sgd", "lr": 0.1, "clip": clip},
            "budget": {"updates": 5, "evaluations": 1},
            "replicates": 2,
        }
        recorder = MemoryRecorder()
        train(TrialSpec.model_validate(spec), recorder)
        seen.append({(c.update, c.name): c.values_SK for c in recorder.curves_seen})
    assert np.array_equal(seen[0][0, "anchor_h_l0"], seen[1][0, "anchor_h_l0"])
    assert not np.array_equal(seen[0][5, "anchor_h_l0"], seen[1][5, "anchor_h_l0"])
