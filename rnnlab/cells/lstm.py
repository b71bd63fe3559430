"""The long short-term memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, affine, back_project, cached_blocks, outer_sum, project


class LSTM(Cell):
    """i, f, o = sigmoid(.), g = tanh(.) of W x + b + W' h + b'; c' = f c + i g, h' = o tanh(c').

    As in torch.nn.LSTM, gate order i, f, g, o. Verdicts read c, whose path is the memory; the curve at h is
    recorded beside it. Source: Hochreiter & Schmidhuber 1997 with the forget gate of Gers 2000.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    anchor_state: ClassVar[str] = "c"

    def __init__(self, activation: Activation | None) -> None:
        assert activation is None

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh = weights
        h_SBH, c_SBH = state
        i, f, g, o = (affine(w_ih, b_ih, x_SBI) + affine(w_hh, b_hh, h_SBH)).chunk(4, -1)
        c_SBH = torch.sigmoid(f) * c_SBH + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c_SBH), c_SBH

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        probes = probes or {}
        h_TSBH, c_TSBH = _Scan.apply(x_TSBI, *weights, probes.get("h"), probes.get("c"))  # type: ignore[no-untyped-call]
        return {"h": h_TSBH, "c": c_TSBH}

    def fast(self, weights: Weights, x_TSBI: Tensor) -> Tensor:
        """torch's fused kernel, lane by lane: half the time of `scan`, but it tells h alone."""
        _, lanes, batch, _ = x_TSBI.shape
        zero = x_TSBI.new_zeros(1, batch, weights.w_hh_SGH.shape[-1])
        h_TSBH = [
            torch.lstm(x_TSBI[:, lane], (zero, zero), [w[lane] for w in weights], True, 1, 0.0, True, False, False)[0]
            for lane in range(lanes)
        ]
        return h_TSBH[0].unsqueeze(1) if lanes == 1 else torch.stack(h_TSBH, 1)


_ONE = torch.ones(())


def _reordered(rows: Tensor) -> Tensor:
    """Rows i, f, g, o as o, i, f, g: sigmoids stand together, and so do those that act through c."""
    *rest, o = rows.chunk(4, 1)
    return torch.cat([o, *rest], 1)


def _restored(rows: Tensor) -> Tensor:
    """Rows o, i, f, g as torch has them: i, f, g, o."""
    o, *rest = rows.chunk(4, 1)
    return torch.cat([*rest, o], 1)


class _Scan(torch.autograd.Function):
    """Forward and backward by hand; what is local to a step is computed for blocks of t.

    Inside, gates stand in the order o, i, f, g.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TSBI: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        probe_h: Tensor | None,
        probe_c: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        steps, lanes, batch, _ = x_TSBI.shape
        size = w_hh.shape[-1]
        w_ih, w_hh = _reordered(w_ih), _reordered(w_hh)
        a_STBG = project(w_ih, _reordered(b_ih + b_hh), x_TSBI)
        h_TSBH = x_TSBI.new_empty(steps, lanes, batch, size)
        c_TSBH, tanh_c_TSBH = torch.empty_like(h_TSBH), torch.empty_like(h_TSBH)
        gates_TSBG = x_TSBI.new_empty(steps, lanes, batch, 4 * size)
        a, gates = a_STBG.unbind(1), gates_TSBG.unbind(0)
        sigmoids, g = (part.unbind(0) for part in torch.split(gates_TSBG, [3 * size, size], -1))
        o, i, f = (part.unbind(0) for part in gates_TSBG[..., : 3 * size].chunk(3, -1))
        h, c, tanh_c = h_TSBH.unbind(0), c_TSBH.unbind(0), tanh_c_TSBH.unbind(0)
        back_SHG = w_hh.transpose(1, 2)
        zero_SBH = torch.zeros_like(h[0])
        for t in range(steps):
            before_h, before_c = (h[t - 1], c[t - 1]) if t else (zero_SBH, zero_SBH)
            torch.baddbmm(a[t], before_h, back_SHG, out=gates[t])
            sigmoids[t].sigmoid_()
            g[t].tanh_()
            torch.mul(i[t], g[t], out=c[t]).addcmul_(f[t], before_c)
            torch.tanh(c[t], out=tanh_c[t])
            torch.mul(o[t], tanh_c[t], out=h[t])
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, c_TSBH, tanh_c_TSBH, gates_TSBG)
        ctx.set_materialize_grads(False)
        return h_TSBH, c_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_h_TSBH: Tensor | None, direct_c_TSBH: Tensor | None) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, c_TSBH, tanh_c_TSBH, gates_TSBG = ctx.saved_tensors
        steps, size = len(h_TSBH), h_TSBH.shape[-1]
        if direct_h_TSBH is None:
            direct_h_TSBH = torch.zeros_like(h_TSBH)
        delta_TSBG = torch.empty_like(gates_TSBG)
        # totals at h and at c, and in between dL/dc_t in full (through h_t too)
        total_h_TSBH, total_c_TSBH = torch.empty_like(h_TSBH), torch.empty_like(h_TSBH)
        total_h, total_c, direct_h = total_h_TSBH.unbind(0), total_c_TSBH.unbind(0), direct_h_TSBH.unbind(0)
        direct_c = None if direct_c_TSBH is None else direct_c_TSBH.unbind(0)
        delta, delta_o = delta_TSBG.unbind(0), delta_TSBG[..., :size].unbind(0)
        through_c = torch.unflatten(delta_TSBG[..., size:], -1, (3, size)).unbind(0)
        f_list = gates_TSBG[..., 2 * size : 3 * size].unbind(0)
        full_SBH = torch.empty_like(total_h[0])
        full_SB1H = full_SBH.unsqueeze(2)
        total_h[-1].copy_(direct_h[-1])
        if direct_c is None:
            total_c[-1].zero_()
        else:
            total_c[-1].copy_(direct_c[-1])
        one = _ONE.to(h_TSBH)
        for start, stop in cached_blocks(steps, h_TSBH[0].numel()):
            tanh_c = tanh_c_TSBH[start:stop]
            o, i, f, g = gates_TSBG[start:stop].chunk(4, -1)
            local_o, local_i, local_f, local_g = delta_TSBG[start:stop].chunk(4, -1)
            torch.mul(i, 1 - i, out=local_i).mul_(g)
            torch.mul(f, 1 - f, out=local_f)
            local_f[max(0, 1 - start) :] *= c_TSBH[max(0, start - 1) : stop - 1]
            if start == 0:
                local_f[0] = 0
            torch.addcmul(one, g, g, value=-1, out=local_g).mul_(i)
            torch.mul(o, 1 - o, out=local_o).mul_(tanh_c)
            c_by_h = torch.addcmul(one, tanh_c, tanh_c, value=-1).mul_(o).unbind(0)
            for t in range(stop - 1, start - 1, -1):
                torch.addcmul(total_c[t], total_h[t], c_by_h[t - start], out=full_SBH)
                through_c[t].mul_(full_SB1H)
                delta_o[t].mul_(total_h[t])
                if t:
                    torch.baddbmm(direct_h[t - 1], delta[t], w_hh, out=total_h[t - 1])
                    if direct_c is None:
                        torch.mul(full_SBH, f_list[t], out=total_c[t - 1])
                    else:
                        torch.addcmul(direct_c[t - 1], full_SBH, f_list[t], out=total_c[t - 1])
        dx_TSBI = back_project(delta_TSBG, w_ih) if ctx.needs_input_grad[0] else None
        dw_ih, dw_hh = outer_sum(delta_TSBG, x_TSBI), outer_sum(delta_TSBG[1:], h_TSBH[:-1])
        db = _restored(delta_TSBG.sum((0, 2)))
        return (
            dx_TSBI, _restored(dw_ih), _restored(dw_hh), db, db,
            total_h_TSBH if ctx.needs_input_grad[5] else None,
            total_c_TSBH if ctx.needs_input_grad[6] else None,
        )  # fmt: skip
