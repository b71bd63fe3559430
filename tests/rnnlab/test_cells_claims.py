"""What the source of each further cell says of it, held against closed forms, other cells and the plain formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnnlab import gradient_curve
from rnnlab.cells import CELLS
from rnnlab.cells.base import Cell, States, Weights, loop
from rnnlab.cells.linear_scan import doubled, linear_scan, stepped
from rnnlab.cells.ur_lstm import refined
from rnnlab.choices import Choice, parse_choice
from rnnlab.errors import SpecError
from rnnlab.inits import BIAS_INITS
from rnnlab.model import Network, build, load_cell
from rnnlab.probes.anchor import directions
from rnnlab.spec import ModelSpec
from rnnlab.training.seeding import generator_for
from rnnlab.written import validated

I, H, T, B = 3, 6, 12, 4  # noqa: E741
EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
"""float64 and a few dozen operations of order 1."""


def made(kind: str, phi: str | None = None, **options: Any) -> Cell:
    own = phi or CELLS[kind].activation
    return load_cell(parse_choice(CELLS, {kind: options}), Choice(kind=own) if own else None)


def noise(*shape: int, name: str = "cells") -> Tensor:
    return torch.randn(*shape, generator=generator_for(name), dtype=torch.float64)


def weights_of(cell: Cell, hidden: int = H, lanes: int = 2) -> Weights:
    rows, back = len(cell.gates) * hidden, len(cell.recurrent) * hidden
    return Weights(
        noise(lanes, rows, I), noise(lanes, back, hidden) / hidden**0.5, noise(lanes, rows, name="b_ih"),
        noise(lanes, back, name="b_hh"), noise(lanes, len(cell.vectors), hidden, name="vectors"),
    )  # fmt: skip


def close(found: Tensor, expected: Tensor, **more: float) -> None:
    torch.testing.assert_close(found, expected, **{**EXACT, **more})


def network(model: dict[str, Any], length: int = 20, seeds: tuple[int, ...] = (3, 4), inputs: int = I) -> Network:
    return build(validated(ModelSpec, {"hidden": H, **model}), inputs, None, length, list(seeds)).double()


def rows(weights: Weights, *order: int | float) -> Weights:
    """The H-row blocks in another order, with a sign: 1 is the first block, -2 the second, turned."""

    def turned(w: Tensor) -> Tensor:
        blocks = w.chunk(w.shape[1] // H, 1)
        return torch.cat([math.copysign(1, n) * blocks[abs(int(n)) - 1] for n in order], 1)

    return Weights(*(turned(w) for w in weights[:4]))


class TestGated:
    x_TSBI = noise(T, 2, B, I, name="x")

    def test_peepholes_of_zero_are_the_lstm(self) -> None:
        cell = made("peephole")
        weights = weights_of(cell)
        plain = made("lstm").scan(weights, self.x_TSBI)
        shut = cell.scan(weights._replace(vectors_SVH=torch.zeros_like(weights.vectors_SVH)), self.x_TSBI)
        for name in ("h", "c"):
            close(shut[name], plain[name])
            assert not torch.allclose(cell.scan(weights, self.x_TSBI)[name], plain[name])

    def test_the_output_gate_sees_the_new_memory(self) -> None:
        cell = made("peephole")
        weights = weights_of(cell)
        h, c, p_o = noise(2, B, H), noise(2, B, H, name="c"), weights.vectors_SVH[:, 2:].double()
        new_h, new_c = cell.step(weights, self.x_TSBI[0], (h, c))
        a_o = (self.x_TSBI[0] @ weights[0].mT + weights[2][:, None] + h @ weights[1].mT + weights[3][:, None])[..., -H:]
        close(new_h, torch.sigmoid(a_o + p_o * new_c) * torch.tanh(new_c))

    def test_coupled_gates_are_an_lstm_with_i_of_one_less_f(self) -> None:
        cell = made("cifg")
        weights = weights_of(cell)  # f, g, o; of the LSTM i = sigmoid(-a_f) = 1 - f
        found, expected = cell.scan(weights, self.x_TSBI), made("lstm").scan(rows(weights, -1, 1, 2, 3), self.x_TSBI)
        close(found["h"], expected["h"])
        close(found["c"], expected["c"])

    def test_without_a_forget_gate_it_is_an_lstm_whose_forget_gate_is_open(self) -> None:
        cell = made("nfg")
        weights = weights_of(cell)  # i, g, o
        open_gate = rows(weights, 1, 1, 2, 3)
        open_gate.w_ih_SGI[:, H : 2 * H] = open_gate.w_hh_SGH[:, H : 2 * H] = 0
        open_gate.b_ih_SG[:, H : 2 * H] = 1000
        found, expected = cell.scan(weights, self.x_TSBI), made("lstm").scan(open_gate, self.x_TSBI)
        close(found["h"], expected["h"])
        close(found["c"], expected["c"])

    def test_without_a_forget_gate_the_memory_sums_and_its_gradient_does_not_fade(self) -> None:
        cell = made("nfg")
        weights = weights_of(cell)
        weights = weights._replace(w_hh_SGH=torch.zeros_like(weights.w_hh_SGH))  # c reads itself alone
        probe = torch.zeros(T, 2, B, H, dtype=torch.float64, requires_grad=True)
        c = cell.scan(weights, self.x_TSBI, {"c": probe})["c"]
        (found,) = torch.autograd.grad(c[-1].sum(), [probe])
        assert bool((found == 1).all())
        i, g, _ = (self.x_TSBI @ weights[0].mT + (weights[2] + weights[3])[:, None]).chunk(3, -1)
        close(c, (torch.sigmoid(i) * torch.tanh(g)).cumsum(0))

    @pytest.mark.parametrize("kind", ["forget_bias", "chrono", "uniform_gate"])
    def test_there_is_no_forget_bias_without_a_forget_gate(self, kind: str) -> None:
        with pytest.raises(SpecError, match=f"'{kind}' requires the cell lstm .* but the cell is 'nfg'"):
            validated(ModelSpec, {"cell": "nfg", "bias_init": kind})

    @pytest.mark.parametrize("beta", [0.0, 1.0])
    def test_janet_by_hand(self, beta: float) -> None:
        cell = made("janet", beta=beta)
        weights = weights_of(cell)
        found = cell.scan(weights, self.x_TSBI)["h"]
        w_ih, w_hh, b_ih, b_hh = (w[0].numpy() for w in weights[:4])
        c = np.zeros((B, H))
        for t in range(T):
            s, g = np.split(self.x_TSBI[t, 0].numpy() @ w_ih.T + c @ w_hh.T + b_ih + b_hh, 2, 1)
            c = c / (1 + np.exp(-s)) + (1 - 1 / (1 + np.exp(beta - s))) * np.tanh(g)
            close(found[t, 0], torch.from_numpy(c))

    def test_janet_is_a_coupled_lstm_whose_output_gate_and_last_tanh_are_left_out(self) -> None:
        cell, lstm = made("janet", beta=0), made("cifg")
        weights = weights_of(cell)
        # without W_hh the memory does not see h, and so not what the output gate makes of it
        alone = weights._replace(w_hh_SGH=torch.zeros_like(weights.w_hh_SGH))
        close(cell.scan(alone, self.x_TSBI)["h"], lstm.scan(rows(alone, 1, 2, 2), self.x_TSBI)["c"])

    def test_where_the_reset_stands_matters_not_when_it_is_open(self) -> None:
        before, after = made("gru_v1"), made("gru")
        weights = weights_of(before)
        assert not torch.allclose(before.scan(weights, self.x_TSBI)["h"], after.scan(weights, self.x_TSBI)["h"])
        weights.b_ih_SG[:, :H] = 1000
        close(before.scan(weights, self.x_TSBI)["h"], after.scan(weights, self.x_TSBI)["h"])

    def test_an_mgu_is_a_plain_network_when_open_and_stands_still_when_shut(self) -> None:
        cell = made("mgu")
        weights = weights_of(cell)
        weights.b_ih_SG[:, :H] = 1000
        close(cell.scan(weights, self.x_TSBI)["h"], made("rnn").scan(rows(weights, 2), self.x_TSBI)["h"])
        weights.b_ih_SG[:, :H] = -1000
        assert not cell.scan(weights, self.x_TSBI)["h"].any()

    def test_a_refine_gate_moves_the_forget_gate_within_its_band(self) -> None:
        f, r = 3 * noise(1000), 3 * noise(1000, name="r")
        forget, found = torch.sigmoid(f), refined(f, r)
        assert (found >= forget**2 - 1e-15).all()
        assert (found <= 1 - (1 - forget) ** 2 + 1e-15).all()
        # Gu 2020: g = r (1 - (1 - f)²) + (1 - r) f²
        close(found, torch.sigmoid(r) * (1 - (1 - forget) ** 2) + (1 - torch.sigmoid(r)) * forget**2)

    def test_a_ur_lstm_whose_refine_gate_is_a_half_is_coupled(self) -> None:
        cell = made("ur_lstm")
        weights = weights_of(cell)
        for part in weights[:4]:
            part[:, H : 2 * H] = 0
        close(cell.scan(weights, self.x_TSBI)["h"], made("cifg").scan(rows(weights, 1, 3, 4), self.x_TSBI)["h"])

    def test_a_ur_lstm_begins_with_uniform_gates(self) -> None:
        bias = network({"cell": "ur_lstm", "hidden": 1000}, seeds=(3,)).named()["bias_ih_l0"][0].detach()
        f, r = torch.sigmoid(bias[:1000]), torch.sigmoid(bias[1000:2000])
        assert (f + r - 1).abs().max() < 1e-6
        # 1,000 draws of U(0, 1): standard errors 0.009 and 0.004
        assert float(f.mean()) == pytest.approx(0.5, abs=0.04)
        assert float(f.std()) == pytest.approx(12**-0.5, abs=0.02)

    @pytest.mark.parametrize("bias", ["chrono", "uniform_gate"])
    @pytest.mark.parametrize("kind", BIAS_INITS["chrono"].cells or ())
    def test_a_bias_of_long_memory_makes_every_cell_keep(self, kind: str, bias: str) -> None:
        """The sign of each cell: with all weights 0, d s'/d s of the memory is what the biases make of it."""
        net = network({"cell": kind, "hidden": 500, "bias_init": bias}, length=1000)
        (weights,) = net.layers()
        alone = weights._replace(
            w_ih_SGI=torch.zeros_like(weights[0]), w_hh_SGH=torch.zeros_like(weights[1]), b_hh_SG=0 * weights[3]
        )
        states = [torch.full((2, 1, 500), 0.01, dtype=torch.float64) for _ in net.cell.states]
        if kind == "slstm":
            states[2][:] = 1.0  # n of any state that was reached
        where = net.cell.states.index(net.cell.anchor_state)
        memory = states[where].requires_grad_()
        after = net.cell.step(alone, torch.zeros(2, 1, I, dtype=torch.float64), tuple(states))[where]
        (kept,) = torch.autograd.grad(after.sum(), [memory])
        assert after.isfinite().all()
        if bias == "chrono":
            # 1 - 1 / (1 + u), u ~ U(1, 999); a refine gate takes a little off at u near 1
            assert kept.min() >= 0.5 - 1e-6
            assert 0.98 < float(kept.median()) <= 1.0
        else:
            assert 0.4 < float(kept.mean()) < 0.8  # an sLSTM's exponential i leaves its f ahead of it more often
            assert kept.max() > 0.98

    def test_normed_pre_activations_do_not_depend_on_the_size_of_the_weights(self) -> None:
        for kind in ("ln_rnn", "ln_lstm", "ln_gru"):
            cell = made(kind)
            weights = weights_of(cell, 32)
            larger = weights._replace(w_ih_SGI=1000 * weights.w_ih_SGI, w_hh_SGH=1000 * weights.w_hh_SGH)
            # eps of 1e-5 beside a variance of order 1 is what is left
            close(cell.scan(larger, self.x_TSBI)["h"], cell.scan(weights, self.x_TSBI)["h"], rtol=0, atol=2e-3)
            plain = {"ln_rnn": "rnn", "ln_lstm": "lstm", "ln_gru": "gru"}[kind]
            apart = (made(plain).scan(w, self.x_TSBI)["h"] for w in (weights, larger))
            assert not torch.allclose(*apart, rtol=0, atol=0.5)

    def test_a_normed_lstm_is_that_of_torchs_norms(self) -> None:
        cell = made("ln_lstm")
        weights = weights_of(cell)
        h, c = noise(2, B, H, name="h"), noise(2, B, H, name="c")
        found = cell.step(weights, self.x_TSBI[0], (h, c))
        w_ih, w_hh, b_ih, b_hh, v = (w[1] for w in weights)
        norms = [nn.LayerNorm(4 * H).double(), nn.LayerNorm(4 * H).double(), nn.LayerNorm(H).double()]
        pairs = ((v[:4].flatten(), b_ih), (v[4:8].flatten(), b_hh), (v[8], v[9]))
        for norm, (gain, bias) in zip(norms, pairs, strict=True):
            norm.load_state_dict({"weight": gain, "bias": bias})
        i, f, g, o = (norms[0](self.x_TSBI[0, 1] @ w_ih.T) + norms[1](h[1] @ w_hh.T)).chunk(4, 1)
        memory = torch.sigmoid(f) * c[1] + torch.sigmoid(i) * torch.tanh(g)
        close(found[1][1], memory)
        close(found[0][1], (torch.sigmoid(o) * torch.tanh(norms[2](memory))).detach())

    def test_a_normed_gru_is_that_of_torchs_norms(self) -> None:
        cell = made("ln_gru")
        weights, h = weights_of(cell), noise(2, B, H, name="h")
        w_ih, w_hh, b_ih, b_hh, v = (w[1] for w in weights)

        def part(a: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
            norm = nn.functional.layer_norm(a, a.shape[-1:], gain.flatten(), bias)
            assert isinstance(norm, Tensor)
            return norm

        a_x, a_h = self.x_TSBI[0, 1] @ w_ih.T, h[1] @ w_hh.T
        rz_x = part(a_x[:, : 2 * H], v[:2], b_ih[: 2 * H])
        r, z = torch.sigmoid(rz_x + part(a_h[:, : 2 * H], v[3:5], b_hh[: 2 * H])).chunk(2, 1)
        n = torch.tanh(part(a_x[:, 2 * H :], v[2], b_ih[2 * H :]) + r * part(a_h[:, 2 * H :], v[5], b_hh[2 * H :]))
        close(cell.step(weights, self.x_TSBI[0], (h,))[0][1], (1 - z) * n + z * h[1])


class TestSLSTM:
    x_TSBI = noise(T, 2, B, I, name="x")

    def naive(self, weights: Weights, forget: str) -> Tensor:
        """The formulas of Beck 2024 before their stabiliser."""
        h = c = n = torch.zeros(2, B, H, dtype=torch.float64)
        seen = []
        for x in self.x_TSBI:
            a = x @ weights[0].mT + weights[2][:, None] + h @ weights[1].mT + weights[3][:, None]
            i, f, g, o = a.chunk(4, -1)
            f = torch.sigmoid(f) if forget == "sigmoid" else torch.exp(f)
            c, n = f * c + torch.exp(i) * torch.tanh(g), f * n + torch.exp(i)
            h = torch.sigmoid(o) * c / n
            seen.append(h)
        return torch.stack(seen)

    @pytest.mark.parametrize("forget", ["sigmoid", "exp"])
    def test_the_stabiliser_does_not_change_h(self, forget: str) -> None:
        cell = made("slstm", forget=forget)
        weights = weights_of(cell)
        close(cell.scan(weights, self.x_TSBI)["h"], self.naive(weights, forget))
        states = tuple(noise(2, B, H, name=name).abs() for name in ("h", "c", "n", "m"))
        shifted = (states[0], states[1] / math.exp(3), states[2] / math.exp(3), states[3] + 3)
        close(cell.step(weights, self.x_TSBI[0], states)[0], cell.step(weights, self.x_TSBI[0], shifted)[0])

    @pytest.mark.parametrize("bias", [-1000.0, 1000.0])
    def test_where_exponentials_overflow_or_vanish_it_goes_on(self, bias: float) -> None:
        cell = made("slstm")
        weights = weights_of(cell)
        weights.b_ih_SG[:, :H] = bias
        x = self.x_TSBI.clone().requires_grad_()
        states = cell.scan(weights, x)
        assert not self.naive(weights, "sigmoid").isfinite().all()
        assert all(state.isfinite().all() for state in states.values())
        assert (states["n"] >= 1).all()
        assert torch.autograd.grad(states["h"].sum(), [x])[0].isfinite().all()


class TestLinear:
    """Cells whose state is linear in itself: all timesteps at once, and closed forms."""

    @pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
    @pytest.mark.parametrize("steps", [1, 2, 7, 1000])
    def test_both_ways_are_the_recurrence(self, steps: int, dtype: torch.dtype) -> None:
        draw = generator_for("scan")
        a, b = (torch.randn(steps, 2, 3, 4, generator=draw, dtype=dtype) for _ in range(2))
        a = a / a.abs() * torch.rand(a.shape, generator=draw, dtype=torch.float64)
        h, seen = torch.zeros_like(b[0]), []
        for t in range(steps):
            h = a[t] * h + b[t]
            seen.append(h)
        for way in (stepped, doubled):
            close(way(a, b), torch.stack(seen))

    @pytest.mark.parametrize("kind", ["mingru", "minlstm", "lru"])
    def test_at_once_is_the_loop_over_a_thousand_steps(self, kind: str) -> None:
        net = network({"cell": kind}, length=1000)
        (weights,) = (Weights(*(w.detach() for w in layer)) for layer in net.layers())
        x, mix = noise(1000, 2, 2, I, name="long"), noise(1000, 2, 2, H, name="mix")
        results = []
        for run in (net.cell.scan, lambda w, x, p: loop(net.cell, w, x, p)):
            wanted = {n: w.clone().requires_grad_() for n, w in weights._asdict().items() if w.numel()}
            probes = {s: torch.zeros(1000, 2, 2, H, dtype=torch.float64).requires_grad_() for s in net.cell.states}
            states: States = run(weights._replace(**wanted), x, probes)
            loss = sum((state.square() * mix).sum() for state in states.values())
            assert isinstance(loss, Tensor)
            results.append([*states.values(), *torch.autograd.grad(loss, [*wanted.values(), *probes.values()])])
        for found, expected in zip(*results, strict=True):
            # sums over 1,000 steps in another order, of numbers up to a few hundred
            close(found, expected, rtol=1e-9, atol=1e-8)

    def test_a_scan_needs_no_more_than_the_recurrences_gradient(self) -> None:
        a, b = noise(5, 1, 1, 2).sigmoid().requires_grad_(), noise(5, 1, 1, 2, name="b").requires_grad_()
        assert torch.autograd.gradcheck(linear_scan, (a, b))

    def test_mingru_is_its_closed_form(self) -> None:
        cell = made("mingru")
        weights, x = weights_of(cell), noise(T, 2, B, I, name="x")
        z, g = (x @ weights[0].mT + weights[2][:, None]).chunk(2, -1)
        z = torch.sigmoid(z)
        kept = torch.stack([(1 - z[t + 1 :]).prod(0) for t in range(T)])
        close(cell.scan(weights, x)["h"][-1], (kept * z * g).sum(0))

    def test_minlstm_weighs_by_shares_that_sum_to_one(self) -> None:
        cell = made("minlstm")
        weights, x = weights_of(cell), noise(T, 2, B, I, name="x")
        f, i, g = (x @ weights[0].mT + weights[2][:, None]).chunk(3, -1)
        share = torch.sigmoid(f) / (torch.sigmoid(f) + torch.sigmoid(i))
        kept = torch.stack([share[t + 1 :].prod(0) for t in range(T)])
        close(cell.scan(weights, x)["h"][-1], (kept * (1 - share) * g).sum(0))

    def test_lru_begins_in_its_ring(self) -> None:
        net = network({"cell": {"lru": {"r_min": 0.5, "r_max": 0.9, "phase": 1.0}}, "hidden": 1500}, seeds=(3,))
        nu, theta, ln_gamma = net.named()["vectors_l0"][0].detach()
        radius = torch.exp(-torch.exp(nu))
        assert radius.min() >= 0.5 - 1e-6
        assert radius.max() <= 0.9 + 1e-6
        # |lambda|² uniform on [0.25, 0.81]: mean 0.53, standard error 0.004
        assert float(radius.square().mean()) == pytest.approx(0.53, abs=0.017)
        angle = torch.exp(theta)
        assert angle.min() >= 0
        assert angle.max() <= 1 + 1e-6
        assert float(angle.mean()) == pytest.approx(0.5, abs=0.03)
        close(torch.exp(ln_gamma), (1 - radius.square()).sqrt(), rtol=1e-5)

    def test_no_lru_explodes(self) -> None:
        cell = made("lru")
        weights = weights_of(cell)
        wild = weights._replace(vectors_SVH=10 * weights.vectors_SVH)
        assert (torch.exp(-torch.exp(wild.vectors_SVH[:, 0])) <= 1).all()
        assert cell.scan(wild, noise(500, 2, B, I, name="x"))["h"].isfinite().all()

    def test_an_lrus_state_has_the_variance_of_its_input(self) -> None:
        net = network({"cell": "lru", "hidden": 64}, length=1000, seeds=(3,))
        states = net.states(noise(6000, 1, 2, I, name="white"))[0]
        power = (states["re"].square() + states["im"].square())[3000:].mean((0, 1, 2))
        (weights,) = net.layers()
        fed = weights.w_ih_SGI[0, : 2 * 64].square().sum(1)
        # gamma² / (1 - |lambda|²) = 1 whatever lambda; units that remember 1,000 steps are averaged over a few times
        assert float((power / (fed[:64] + fed[64:])).detach().log().mean()) == pytest.approx(0, abs=0.1)

    def test_an_lrus_gradient_is_the_power_of_lambda(self) -> None:
        net = network({"cell": "lru"}, length=40, seeds=(3,))
        curve = gradient_curve(net, noise(40, 1, I, name="x"), state="re")
        nu, theta, _ = net.named()["vectors_l0"][0].detach()
        lam = torch.exp(torch.complex(-torch.exp(nu), torch.exp(theta)))
        v = directions(1, H, 0)[0]
        expected = torch.stack([((lam**k).real * v).norm() for k in range(40)])
        close(torch.from_numpy(curve.values_SK[0]), expected, rtol=1e-10)


class TestMatrices:
    """SCIENCE.md section 4, item 12."""

    def test_antisymmetric_eigenvalues_lie_on_a_line(self) -> None:
        cell = made("antisymmetric", gamma=0.03)
        m_HH = cell.matrix(noise(1, 40, 40))[0]  # type: ignore[attr-defined]
        # of a normal matrix of norm 10: a few roundings of that
        assert (torch.linalg.eigvals(m_HH).real + 0.03).abs().max() < 1e-13

    def test_an_antisymmetric_step_is_eulers(self) -> None:
        cell = made("antisymmetric", eps=0.2, gamma=0.1)
        weights = weights_of(cell)
        h, x = noise(2, B, H), noise(2, B, I, name="x")
        m = weights[1] - weights[1].mT - 0.1 * torch.eye(H, dtype=torch.float64)
        a = x @ weights[0].mT + h @ m.mT + (weights[2] + weights[3])[:, None]
        close(cell.step(weights, x, (h,))[0], h + 0.2 * torch.tanh(a))

    def test_antisymmetric_begins_as_its_source(self) -> None:
        net = network({"cell": "antisymmetric", "hidden": 400}, seeds=(3,))
        # N(0, 1/H): 160,000 numbers; N(0, 1/I): 1,200, standard error 2%
        assert float(net.named()["weight_hh_l0"].std().detach()) == pytest.approx(400**-0.5, rel=0.01)
        assert float(net.named()["weight_ih_l0"].std().detach()) == pytest.approx(I**-0.5, rel=0.08)
        assert not net.named()["bias_ih_l0"].any()

    @pytest.mark.parametrize("hidden", [7, 64])
    @pytest.mark.parametrize("by", ["expm", "cayley"])
    def test_the_matrix_is_orthogonal_and_torchs(self, by: str, hidden: int) -> None:
        cell = made("orthogonal", by=by)
        x_SHH = noise(2, hidden, hidden)
        found = cell.matrix(x_SHH)  # type: ignore[attr-defined]
        eye = torch.eye(hidden, dtype=torch.float64)
        for lane in range(2):
            # entries round at 1e-16; expm squares its matrix some ten times
            assert float((found[lane].T @ found[lane] - eye).abs().max()) < 1e-14 * max(1, hidden / 8)
            layer = nn.Linear(hidden, hidden, bias=False, dtype=torch.float64)
            theirs = nn.utils.parametrizations.orthogonal(
                layer, "weight", {"expm": "matrix_exp"}.get(by, by), use_trivialization=False
            )
            theirs.parametrizations.weight.original.data = x_SHH[lane].clone()
            close(found[lane], theirs.weight.detach(), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("by", ["expm", "cayley"])
    def test_it_begins_with_turns_of_pairs(self, by: str) -> None:
        net = network({"cell": {"orthogonal": by}, "hidden": 401}, seeds=(3,))
        q = net.cell.matrix(net.named()["weight_hh_l0"].detach())[0]  # type: ignore[operator]
        angles = torch.linalg.eigvals(q).angle().abs()
        assert float(angles.min()) < 1e-12  # the odd unit
        # |angle| of 200 pairs: U(0, pi) or U(0, pi/2); standard error 0.02 of the range
        most = math.pi if by == "expm" else math.pi / 2
        assert float(angles.max()) <= most + 1e-5
        assert float(angles.mean()) == pytest.approx(most / 2, abs=0.1 * most)

    @pytest.mark.parametrize("by", ["expm", "cayley"])
    def test_linear_it_keeps_a_gradients_norm_at_every_lag(self, by: str) -> None:
        cell: dict[str, Any] = {"orthogonal": by}
        for activation in ("linear", "modrelu"):  # whose bias begins at 0
            curve = gradient_curve(network({"cell": cell, "activation": activation}), noise(60, B, I))
            np.testing.assert_allclose(curve.values_SK, 1.0, rtol=1e-12)

    def test_training_does_not_leave_the_group(self) -> None:
        net = network({"cell": "orthogonal", "activation": "tanh"})
        for _ in range(5):
            (g_SP,) = torch.autograd.grad(net.top(noise(T, 2, B, I)).square().sum(), [net.theta])
            net.theta.data -= 0.1 * g_SP
        q = net.cell.matrix(net.named()["weight_hh_l0"].detach())  # type: ignore[operator]
        assert (q.mT @ q - torch.eye(H, dtype=torch.float64)).abs().max() < 1e-14


class TestUnits:
    def test_an_indrnns_jacobian_is_u_where_its_unit_is_awake(self) -> None:
        cell = made("indrnn")
        weights = weights_of(cell, lanes=1)
        h, x = noise(1, 1, H, name="h"), noise(1, 1, I, name="x")
        (after,) = cell.step(weights, x, (h,))
        j = torch.autograd.functional.jacobian(lambda h: cell.step(weights, x, (h,))[0].flatten(), h).flatten(1)
        assert 0 < int((after > 0).sum()) < H
        assert torch.equal(j, torch.diag(weights.vectors_SVH[0, 0] * (after[0, 0] > 0)))

    def test_an_indrnn_begins_within_what_a_task_can_bear(self) -> None:
        u = network({"cell": "indrnn", "hidden": 2000}, length=10).named()["vectors_l0"].detach()
        assert u.min() >= 0
        assert 1 < u.max() <= 2**0.1 + 1e-6  # over the task's length no unit more than doubles

    def test_an_indrnns_bound_holds(self) -> None:
        cell, free = made("indrnn", "linear", bound=0.5), made("indrnn", "linear")
        weights, x = weights_of(cell), noise(T, 2, B, I)
        inside = weights._replace(vectors_SVH=weights.vectors_SVH.clamp(-0.5, 0.5))
        close(cell.scan(weights, x)["h"], free.scan(inside, x)["h"])
        assert (weights.vectors_SVH.abs() > 0.5).any()

    def test_a_leak_of_one_is_the_plain_network(self) -> None:
        cell = made("leaky", alpha=1.0)
        weights, x = weights_of(cell), noise(T, 2, B, I)
        close(cell.scan(weights, x)["h"], made("rnn").scan(weights, x)["h"])

    def test_a_leaky_unit_forgets_at_its_rate(self) -> None:
        net = network({"cell": {"leaky": 0.25}})
        net.theta.data.zero_()
        np.testing.assert_allclose(gradient_curve(net, noise(30, B, I)).values_SK[0], 0.75 ** np.arange(30.0))

    def test_times_are_log_uniform_and_forget_at_their_rate(self) -> None:
        net = network({"cell": {"multiscale": 100.0}, "hidden": 1500}, seeds=(3,))
        tau = 1 + torch.exp(net.named()["vectors_l0"][0, 0].detach())
        assert 1 < tau.min() < 1.03
        assert 90 < tau.max() <= 100.001
        # ln tau of U(0, ln 100): mean 2.303, standard error 0.034
        assert float(tau.log().mean()) == pytest.approx(math.log(100) / 2, abs=0.14)
        cell = made("multiscale")
        weights = Weights(*(torch.zeros_like(w) for w in weights_of(cell)))
        weights.vectors_SVH[:] = math.log(9.0)  # tau = 10
        (after,) = cell.step(weights, torch.zeros(2, B, I).double(), (noise(2, B, H),))
        close(after, 0.9 * noise(2, B, H))

    def test_its_longest_time_is_the_tasks(self) -> None:
        tau = 1 + torch.exp(network({"cell": "multiscale", "hidden": 2000}, length=50).named()["vectors_l0"].detach())
        assert 47 < tau.max() <= 50.001


class TestCoRNN:
    def test_a_step_is_its_equations(self) -> None:
        cell = made("cornn", dt=0.1, gamma=2.0, epsilon=3.0)
        weights = weights_of(cell)
        y, z, x = noise(2, B, H, name="y"), noise(2, B, H, name="z"), noise(2, B, I, name="x")
        w_y, w_z = weights[1].chunk(2, 1)
        a = x @ weights[0].mT + y @ w_y.mT + z @ w_z.mT + (weights[2] + sum(weights[3].chunk(2, 1)))[:, None]
        speed = z + 0.1 * (torch.tanh(a) - 2 * y - 3 * z)
        found = cell.step(weights, x, (y, z))
        close(found[1], speed)
        close(found[0], y + 0.1 * speed)

    def test_energy_grows_at_most_with_time(self) -> None:
        """Proposition of Rusch & Mishra 2021, by the argument of its proof: with epsilon = 1 damping takes what a force
        of at most 1 gives, so that y² gamma + z² <= n dt for each unit, to the order of dt."""
        dt, steps = 0.01, 400
        cell = made("cornn", dt=dt, gamma=1.0, epsilon=1.0)
        weights = weights_of(cell)
        wild = weights._replace(w_ih_SGI=20 * weights.w_ih_SGI, w_hh_SGH=20 * weights.w_hh_SGH)
        states = cell.scan(wild, noise(steps, 2, B, I, name="x"))
        energy = states["h"].square() + states["z"].square()
        allowed = dt * torch.arange(1, steps + 1, dtype=torch.float64)[:, None, None, None]
        assert (energy <= allowed * (1 + 3 * dt)).all()
        assert energy.max() > 0.05

    def test_a_steps_jacobian_differs_from_one_by_the_order_of_dt(self) -> None:
        norms = []
        for dt in (0.04, 0.02, 0.01):
            cell = made("cornn", dt=dt, gamma=1.0, epsilon=1.0)
            weights, x = weights_of(cell, lanes=1), noise(1, 1, I, name="x")

            def forward(state: Tensor, cell: Cell = cell, weights: Weights = weights, x: Tensor = x) -> Tensor:
                return torch.cat([s.flatten() for s in cell.step(weights, x, tuple(state.view(2, 1, 1, H)))])

            j = torch.autograd.functional.jacobian(forward, noise(2 * H))
            norms.append(float(torch.linalg.matrix_norm(j - torch.eye(2 * H, dtype=torch.float64), 2)) / dt)
        # the bound ‖J - I‖ <= C dt, and first order: C settles as dt is halved
        assert max(norms) < 10
        assert abs(norms[2] - norms[1]) < abs(norms[1] - norms[0])


class TestTable:
    @pytest.mark.parametrize("kind", [kind for kind in CELLS if kind not in ("rnn", "lstm", "gru")])
    def test_torch_has_none_of_them(self, kind: str) -> None:
        with pytest.raises(SpecError, match=r"torch.nn has the cells rnn, lstm, gru, but this network has \w+; call"):
            network({"cell": kind}).to_torch()

    def test_each_has_its_own_activation(self) -> None:
        own = {kind: validated(ModelSpec, {"cell": kind}).activation for kind in CELLS}
        assert {kind: phi.kind for kind, phi in own.items() if phi} == {
            "rnn": "tanh", "ln_rnn": "tanh", "leaky": "tanh", "multiscale": "tanh", "antisymmetric": "tanh",
            "orthogonal": "modrelu", "indrnn": "relu", "lru": "relu",
        }  # fmt: skip
        assert validated(ModelSpec, {"cell": "indrnn", "activation": "sin"}).activation == Choice(kind="sin")

    @pytest.mark.parametrize(
        ("model", "words"),
        [
            ({"cell": "cornn", "activation": "relu"}, "activation 'relu' requires the cell rnn or leaky"),
            ({"cell": "indrnn", "activation": "modrelu"}, "activation 'modrelu' requires the cell rnn or leaky"),
            ({"cell": "lru", "init": "glorot"}, "init 'glorot' requires the cell rnn or lstm"),
            ({"cell": "indrnn", "init": "orthogonal"}, "init 'orthogonal' requires the cell rnn or lstm"),
            ({"cell": "orthogonal", "init": "orthogonal"}, "init 'orthogonal' requires the cell rnn or lstm"),
            ({"cell": "mgu", "bias_init": "forget_bias"}, "bias_init 'forget_bias' requires the cell lstm or peephole"),
            ({"cell": {"orthogonal": "qr"}}, "option 'by' is 'qr'; it should be 'expm' or 'cayley'"),
            ({"cell": {"lru": {"r_min": 0.9995}}}, "cell 'lru': r_min < r_max must hold, but got"),
            ({"cell": {"leaky": 2.0}}, "option 'alpha' is 2.0; it should be less than or equal to 1"),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_told(self, model: dict[str, Any], words: str) -> None:
        with pytest.raises(SpecError, match=words):
            validated(ModelSpec, model)

    def test_parameters_that_a_cell_lacks_have_no_name(self) -> None:
        assert list(network({"cell": "mingru"}).shapes) == ["weight_ih_l0", "bias_ih_l0"]
        assert network({"cell": "indrnn"}).shapes["vectors_l0"] == (1, H)
        shapes = network({"cell": "cornn", "depth": 2}).shapes
        assert (shapes["weight_ih_l1"], shapes["weight_hh_l1"]) == ((H, H), (2 * H, H))
        assert list(network({"cell": "gru"}).shapes) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
