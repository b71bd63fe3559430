"""The gated recurrent unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, affine, back_project, cached_blocks, outer_sum, project


class GRU(Cell):
    """r, z = sigmoid(W x + b + W' h + b'), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h.

    As in torch.nn.GRU: z is the KEEP gate (papers with h' = (1 - z) h + z n mean the opposite), and the reset
    acts after the product. Source: Cho 2014 (v3 of 1406.1078 for the reset).
    """

    gates: ClassVar[tuple[str, ...]] = ("r", "z", "n")

    def __init__(self, activation: Activation | None) -> None:
        assert activation is None

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh = weights
        (h_SBH,) = state
        x_r, x_z, x_n = affine(w_ih, b_ih, x_SBI).chunk(3, -1)
        h_r, h_z, h_n = affine(w_hh, b_hh, h_SBH).chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return (n + z * (h_SBH - n),)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        probe = None if probes is None else probes.get("h")
        return {"h": _Scan.apply(x_TSBI, *weights, probe)}  # type: ignore[no-untyped-call]


_ONE = torch.ones(())


class _Scan(torch.autograd.Function):
    """Forward and backward by hand; what is local to a step is computed for blocks of t."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TSBI: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        probe_TSBH: Tensor | None,
    ) -> Tensor:
        steps, lanes, batch, _ = x_TSBI.shape
        size = w_hh.shape[-1]
        both_SG = b_ih.clone()
        both_SG[:, : 2 * size] += b_hh[:, : 2 * size]
        a_STBG = project(w_ih, both_SG, x_TSBI)
        h_TSBH = x_TSBI.new_empty(steps, lanes, batch, size)
        rz_TSBG = x_TSBI.new_empty(steps, lanes, batch, 2 * size)
        n_TSBH, back_n_TSBH = torch.empty_like(h_TSBH), torch.empty_like(h_TSBH)
        into_rz, into_n = (w.transpose(1, 2) for w in torch.split(w_hh, [2 * size, size], 1))
        b_n_S1H = b_hh[:, None, 2 * size :]
        a_rz, a_n = (part.unbind(1) for part in torch.split(a_STBG, [2 * size, size], -1))
        r, z = (part.unbind(0) for part in rz_TSBG.chunk(2, -1))
        rz, n, back_n, h = (full.unbind(0) for full in (rz_TSBG, n_TSBH, back_n_TSBH, h_TSBH))
        zero_SBH = torch.zeros_like(h[0])
        for t in range(steps):
            before = h[t - 1] if t else zero_SBH
            torch.baddbmm(a_rz[t], before, into_rz, out=rz[t]).sigmoid_()
            torch.baddbmm(b_n_S1H, before, into_n, out=back_n[t])
            torch.addcmul(a_n[t], r[t], back_n[t], out=n[t]).tanh_()
            torch.lerp(n[t], before, z[t], out=h[t])
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, rz_TSBG, n_TSBH, back_n_TSBH)
        return h_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, rz_TSBG, n_TSBH, back_n_TSBH = ctx.saved_tensors
        steps, lanes, batch, size = h_TSBH.shape
        by_state_TSBG = x_TSBI.new_empty(steps, lanes, batch, 3 * size)
        by_n_TSBH, total_TSBH = torch.empty_like(h_TSBH), torch.empty_like(h_TSBH)
        direct, total, z_list = direct_TSBH.unbind(0), total_TSBH.unbind(0), rz_TSBG[..., size:].unbind(0)
        by_state = by_state_TSBG.unbind(0)
        by_gate = by_state_TSBG.view(steps, lanes, batch, 3, size).unbind(0)
        total[-1].copy_(direct[-1])
        for start, stop in cached_blocks(steps, h_TSBH[0].numel()):
            # d(pre-activation)/dh_t of each gate for a block of t that stays in cache; then only products
            local = by_state_TSBG[start:stop]
            r, z = rz_TSBG[start:stop].chunk(2, -1)
            n, by_n = n_TSBH[start:stop], by_n_TSBH[start:stop]
            torch.addcmul(_ONE.to(n), n, n, value=-1, out=by_n).mul_(1 - z)
            torch.mul(by_n, r, out=local[..., 2 * size :])
            torch.mul(local[..., 2 * size :], back_n_TSBH[start:stop], out=local[..., :size]).mul_(1 - r)
            torch.neg(n, out=local[..., size : 2 * size])
            local[max(0, 1 - start) :, ..., size : 2 * size] += h_TSBH[max(0, start - 1) : stop - 1]
            local[..., size : 2 * size].mul_(z).mul_(1 - z)
            for t in range(stop - 1, start - 1, -1):
                by_gate[t].mul_(total[t].unsqueeze(2))
                if t:
                    torch.addcmul(direct[t - 1], total[t], z_list[t], out=total[t - 1])
                    total[t - 1].baddbmm_(by_state[t], w_hh)
            by_n.mul_(total_TSBH[start:stop])
        by_rz_TSBG = by_state_TSBG[..., : 2 * size]
        w_rz, w_n = torch.split(w_ih, [2 * size, size], 1)
        dx_TSBI = None
        if ctx.needs_input_grad[0]:
            dx_TSBI = back_project(by_rz_TSBG, w_rz).add_(back_project(by_n_TSBH, w_n))
        dw_ih = torch.cat([outer_sum(by_rz_TSBG, x_TSBI), outer_sum(by_n_TSBH, x_TSBI)], 1)
        dw_hh = outer_sum(by_state_TSBG[1:], h_TSBH[:-1])
        db_hh = by_state_TSBG.sum((0, 2))
        db_ih = torch.cat([db_hh[:, : 2 * size], by_n_TSBH.sum((0, 2))], 1)
        return dx_TSBI, dw_ih, dw_hh, db_ih, db_hh, total_TSBH if ctx.needs_input_grad[5] else None
