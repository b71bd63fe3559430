"""The long short-term memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import (
    Cell,
    Limit,
    States,
    Weights,
    back_project,
    cached_blocks,
    outer_sum,
    project,
    summed,
    through_sigmoid,
    through_tanh,
)
from rnnlab.compiled import takes
from rnnlab.compiled.lstm import LSTMScan

WIDE = 128
"""H from which a probed update that is not compiled is faster by hand (at 64: 1.50 times the plain update by torch's
kernel, 1.47 to 1.73 by hand; at 128: 1.64 to 1.67, and 1.29 to 1.37)."""


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

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        h_SBH, c_SBH = state
        i, f, g, o = summed(weights, x_SBI, h_SBH)
        c_SBH = torch.sigmoid(f) * c_SBH + torch.sigmoid(i) * torch.tanh(g)
        return {"i": i, "f": f, "g": g, "o": o, "c": c_SBH}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return torch.sigmoid(a["o"]) * torch.tanh(a["c"]), a["c"]

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        probes = probes or {}
        at_h, at_c = probes.get("h"), probes.get("c")
        if takes(x_TSBI, weights.w_hh_SGH.shape[-1]):
            h_TSBH, c_TSBH = _compiled(weights, x_TSBI, at_h, at_c, None, None)
        else:
            h_TSBH, c_TSBH = _Scan.apply(x_TSBI, *weights[:4], at_h, at_c, None)  # type: ignore[no-untyped-call]
        return {"h": h_TSBH, "c": c_TSBH}

    def limited(self, weights: Weights, x_TSBI: Tensor, limit: Limit) -> Tensor:
        return _Scan.apply(x_TSBI, *weights[:4], None, None, limit)[0]  # type: ignore[no-any-return,no-untyped-call]

    def onward(self, weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        if takes(x_TSBI, weights.w_hh_SGH.shape[-1]):
            h_TSBH, c_TSBH = _compiled(weights, x_TSBI, None, None, *state)
            return h_TSBH, (h_TSBH[-1], c_TSBH[-1])
        return _kernel(weights, x_TSBI, state)

    def fast(self, weights: Weights, x_TSBI: Tensor, probe_TSBH: Tensor | None = None) -> Tensor:
        """`scan` where it runs compiled, and on a GPU, which it fills with lanes; else torch's fused kernel, lane by
        lane, which tells h alone.

        With a probe e that kernel reads [x_t, e_{t-1}] through [W_ih, W_hh]: e is added to h where the next
        step reads it, and here where the loss does, so the gradient at e_t has every path of dL/dh_t. Of wide layers
        `scan` is then the faster way: the kernel's extra products grow with the square of H.
        """
        w_ih, w_hh, *_ = weights
        by_hand = x_TSBI.device.type != "cpu" or (probe_TSBH is not None and w_hh.shape[-1] >= WIDE)
        if by_hand or takes(x_TSBI, w_hh.shape[-1]):
            return self.scan(weights, x_TSBI, None if probe_TSBH is None else {"h": probe_TSBH})["h"]
        if probe_TSBH is not None:
            earlier_TSBH = torch.cat([torch.zeros_like(probe_TSBH[:1]), probe_TSBH[:-1]])
            x_TSBI = torch.cat([x_TSBI, earlier_TSBH], -1)
            # e is zero, and so is this way's part of W_hh's gradient
            weights = weights._replace(w_ih_SGI=torch.cat([w_ih, w_hh.detach()], -1))
        zero_SBH = x_TSBI.new_zeros(1, x_TSBI.shape[2], w_hh.shape[-1]).expand(x_TSBI.shape[1], -1, -1)
        top_TSBH = _kernel(weights, x_TSBI, (zero_SBH, zero_SBH))[0]
        return top_TSBH if probe_TSBH is None else top_TSBH + probe_TSBH


def _compiled(weights: Weights, x_TSBI: Tensor, *others: Tensor | None) -> tuple[Tensor, Tensor]:
    """h and c; the others are probes and states before the first step, of h and of c."""
    return LSTMScan.apply(x_TSBI, *weights[:4], *others, torch.is_grad_enabled())  # type: ignore[no-any-return,no-untyped-call]


def _kernel(weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """h at all timesteps by torch's fused kernel from h and c on, lane by lane, and h and c after the last."""
    w_ih, w_hh, b_ih, b_hh, _ = weights
    h_SBH, c_SBH = state
    found = [
        torch.lstm(
            x_TBI,
            (h_SBH[s : s + 1], c_SBH[s : s + 1]),
            [w_ih[s], w_hh[s], b_ih[s], b_hh[s]],
            True, 1, 0.0, True, False, False,
        )
        for s, x_TBI in enumerate(x_TSBI.unbind(1))
    ]  # fmt: skip
    if len(found) == 1:
        h_TBH, last_h, last_c = found[0]
        return h_TBH.unsqueeze(1), (last_h, last_c)
    h_TSBH = torch.stack([h_TBH for h_TBH, _, _ in found], 1)
    return h_TSBH, (torch.cat([h for _, h, _ in found]), torch.cat([c for _, _, c in found]))


_MINUS_ONE = -torch.ones(())


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

    Inside, gates stand in the order o, i, f, g. tanh a is 2 sigmoid(2a) - 1, at a third of the time.
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
        limit: Limit | None,
    ) -> tuple[Tensor, Tensor]:
        size = w_hh.shape[-1]
        w_ih, w_hh = _reordered(w_ih), _reordered(w_hh)
        from_x, from_h, both = w_ih.clone(), w_hh.clone(), _reordered(b_ih + b_hh)
        for rows in (from_x, from_h, both):
            rows[:, 3 * size :] *= 2
        gates_TSBG = project(from_x, both, x_TSBI).transpose(0, 1).contiguous()
        h_TSBH = x_TSBI.new_empty(*x_TSBI.shape[:3], size)
        c_TSBH, tanh_c_TSBH = torch.empty_like(h_TSBH), torch.empty_like(h_TSBH)
        gates, h, c, tanh_c = (full.unbind(0) for full in (gates_TSBG, h_TSBH, c_TSBH, tanh_c_TSBH))
        o, i, f, g = (part.unbind(0) for part in gates_TSBG.chunk(4, -1))
        back_SHG, minus_one = from_h.transpose(1, 2), _MINUS_ONE.to(h_TSBH)
        before_h = before_c = torch.zeros_like(h[0])
        for t in range(len(h)):
            gates[t].baddbmm_(before_h, back_SHG).sigmoid_()
            torch.add(minus_one, g[t], alpha=2, out=g[t])
            # 2c, so that the sigmoid takes it as it is
            before_c = torch.mul(f[t], before_c, out=c[t]).addcmul_(i[t], g[t], value=2)
            torch.sigmoid(before_c, out=tanh_c[t])
            torch.add(minus_one, tanh_c[t], alpha=2, out=tanh_c[t])
            before_h = torch.mul(o[t], tanh_c[t], out=h[t])
        c_TSBH.mul_(0.5)
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, c_TSBH, tanh_c_TSBH, gates_TSBG)
        ctx.limit = limit
        ctx.set_materialize_grads(False)
        return h_TSBH, c_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_h_TSBH: Tensor | None, direct_c_TSBH: Tensor | None) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, c_TSBH, tanh_c_TSBH, gates_TSBG = ctx.saved_tensors
        size = h_TSBH.shape[-1]
        limit: Limit | None = ctx.limit
        if direct_h_TSBH is None:
            direct_h_TSBH = torch.zeros_like(h_TSBH)
        delta_TSBG = torch.empty_like(gates_TSBG)
        # totals that nobody wants share one timestep's memory
        total_h_TSBH, total_c_TSBH = (
            torch.empty_like(h_TSBH) if ctx.needs_input_grad[i] else torch.empty_like(h_TSBH[:1]).expand_as(h_TSBH)
            for i in (5, 6)
        )
        total_h, total_c, direct_h = total_h_TSBH.unbind(0), total_c_TSBH.unbind(0), direct_h_TSBH.unbind(0)
        direct_c = None if direct_c_TSBH is None else direct_c_TSBH.unbind(0)
        delta, delta_o = delta_TSBG.unbind(0), delta_TSBG[..., :size].unbind(0)
        through_c = torch.unflatten(delta_TSBG[..., size:], -1, (3, size)).unbind(0)
        f_list = gates_TSBG[..., 2 * size : 3 * size].unbind(0)
        # dL/dc_t in full, through h_t too
        full_SBH = torch.empty_like(h_TSBH[0])
        full_SB1H = full_SBH.unsqueeze(2)
        total_h[-1].copy_(direct_h[-1])
        if direct_c is None:
            total_c[-1].zero_()
        else:
            total_c[-1].copy_(direct_c[-1])
        for start, stop in cached_blocks(h_TSBH):
            tanh_c = tanh_c_TSBH[start:stop]
            o, i, f, g = gates_TSBG[start:stop].chunk(4, -1)
            local_o, local_i, local_f, local_g = delta_TSBG[start:stop].chunk(4, -1)
            through_sigmoid(tanh_c, o, local_o)
            through_sigmoid(g, i, local_i)
            through_tanh(i, g, local_g)
            first = max(0, 1 - start)
            local_f[:first] = 0
            through_sigmoid(c_TSBH[start + first - 1 : stop - 1], f[first:], local_f[first:])
            c_by_h = through_tanh(o, tanh_c, torch.empty_like(tanh_c)).unbind(0)
            for t in range(stop - 1, start - 1, -1):
                torch.addcmul(total_c[t], total_h[t], c_by_h[t - start], out=full_SBH)
                through_c[t].mul_(full_SB1H)
                delta_o[t].mul_(total_h[t])
                if limit is not None:
                    limit(delta[t])
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
            None,
        )  # fmt: skip
