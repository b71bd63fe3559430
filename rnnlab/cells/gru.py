"""The gated recurrent unit."""

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
    affine,
    back_project,
    cached_blocks,
    outer_sum,
    project,
    through_sigmoid,
    through_tanh,
)
from rnnlab.compiled import takes
from rnnlab.compiled.gru import GRUScan


class GRU(Cell):
    """r, z = sigmoid(W x + b + W' h + b'), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h.

    As in torch.nn.GRU: z is the KEEP gate (papers with h' = (1 - z) h + z n mean the opposite), and the reset
    acts after the product. Source: Cho 2014 (v3 of 1406.1078 for the reset).
    """

    gates: ClassVar[tuple[str, ...]] = ("r", "z", "n")

    def __init__(self, activation: Activation | None) -> None:
        assert activation is None

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        x_r, x_z, x_n = affine(w_ih, b_ih, x_SBI).chunk(3, -1)
        h_r, h_z, h_n = affine(w_hh, b_hh, state[0]).chunk(3, -1)
        r = x_r + h_r
        return {"r": r, "z": x_z + h_z, "n": x_n + torch.sigmoid(r) * h_n}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        z, n = torch.sigmoid(a["z"]), torch.tanh(a["n"])
        return (n + z * (state[0] - n),)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        return {"h": _scan(weights, x_TSBI, None if probes is None else probes.get("h"), None)}

    def onward(self, weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_TSBH = _scan(weights, x_TSBI, None, state[0])
        return h_TSBH, (h_TSBH[-1],)

    def limited(self, weights: Weights, x_TSBI: Tensor, limit: Limit) -> Tensor:
        return _Scan.apply(x_TSBI, *weights[:4], None, limit, None)  # type: ignore[no-any-return,no-untyped-call]


def _scan(weights: Weights, x_TSBI: Tensor, probe: Tensor | None, begin: Tensor | None) -> Tensor:
    if takes(x_TSBI, weights.w_hh_SGH.shape[-1]):
        return GRUScan.apply(x_TSBI, *weights[:4], probe, begin, torch.is_grad_enabled())  # type: ignore[no-any-return,no-untyped-call]
    return _Scan.apply(x_TSBI, *weights[:4], probe, None, begin)  # type: ignore[no-any-return,no-untyped-call]


def _n_first(rows: Tensor) -> Tensor:
    """Rows r, z, n as n, r, z."""
    r, z, n = rows.chunk(3, 1)
    return torch.cat([n, r, z], 1)


_HALF, _MINUS_ONE = torch.tensor(0.5), -torch.ones(())


class _Scan(torch.autograd.Function):
    """Forward and backward by hand; what is local to a step is computed for blocks of t.

    Inside, a row holds n, r, z and b = 2 (W_hn h + b_hn); tanh a is 2 sigmoid(2a) - 1, at a third of the time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TSBI: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        probe_TSBH: Tensor | None,
        limit: Limit | None,
        begin_SBH: Tensor | None,
    ) -> Tensor:
        size = w_hh.shape[-1]
        b_r_z, b_n = torch.split(b_hh, [2 * size, size], 1)
        from_x, back = _n_first(w_ih), w_hh.clone()
        both = torch.cat([b_ih[:, 2 * size :], b_ih[:, : 2 * size] + b_r_z, b_n], 1)
        for doubled in (from_x[:, :size], back[:, 2 * size :], both[:, :size], both[:, 3 * size :]):
            doubled.mul_(2)
        rows_TSBG = project(from_x, both, x_TSBI).transpose(0, 1).contiguous()
        h_TSBH = x_TSBI.new_empty(*x_TSBI.shape[:3], size)
        n, r, z, b = (part.unbind(0) for part in rows_TSBG.chunk(4, -1))
        r_z, r_z_b = rows_TSBG[..., size : 3 * size].unbind(0), rows_TSBG[..., size:].unbind(0)
        h, into_SHG = h_TSBH.unbind(0), back.transpose(1, 2)
        minus_one, before = _MINUS_ONE.to(h_TSBH), torch.zeros_like(h[0]) if begin_SBH is None else begin_SBH
        for t in range(len(h)):
            r_z_b[t].baddbmm_(before, into_SHG)
            r_z[t].sigmoid_()
            n[t].addcmul_(r[t], b[t]).sigmoid_()
            torch.add(minus_one, n[t], alpha=2, out=n[t])
            before = torch.lerp(n[t], before, z[t], out=h[t])
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, rows_TSBG, begin_SBH)
        ctx.limit = limit
        return h_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, rows_TSBG, begin_SBH = ctx.saved_tensors
        limit: Limit | None = ctx.limit
        steps, lanes, batch, size = h_TSBH.shape
        by_state_TSBG = x_TSBI.new_empty(steps, lanes, batch, 3 * size)
        by_n_TSBH, total_TSBH = torch.empty_like(h_TSBH), torch.empty_like(h_TSBH)
        direct, total = direct_TSBH.unbind(0), total_TSBH.unbind(0)
        z_list, by_state = rows_TSBG[..., 2 * size : 3 * size].unbind(0), by_state_TSBG.unbind(0)
        by_gate = by_state_TSBG.view(steps, lanes, batch, 3, size).unbind(0)
        half = _HALF.to(h_TSBH)
        total[-1].copy_(direct[-1])
        for start, stop in cached_blocks(h_TSBH):
            # d(pre-activation)/dh_t of each gate for a block of t that stays in cache; then only products
            n, r, z, b = rows_TSBG[start:stop].chunk(4, -1)
            local_r, local_z, local_n = by_state_TSBG[start:stop].chunk(3, -1)
            by_n = through_tanh(1 - z, n, by_n_TSBH[start:stop])
            torch.mul(by_n, r, out=local_n)
            # b is doubled
            torch.sub(half, r, alpha=0.5, out=local_r).mul_(b).mul_(local_n)
            apart = n.neg()
            apart[max(0, 1 - start) :] += h_TSBH[max(0, start - 1) : stop - 1]
            if begin_SBH is not None and start == 0:
                apart[0] += begin_SBH
            through_sigmoid(apart, z, local_z)
            for t in range(stop - 1, start - 1, -1):
                by_gate[t].mul_(total[t].unsqueeze(2))
                if limit is not None:
                    limit(by_state[t])
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
        dbegin_SBH = None
        if begin_SBH is not None:
            dbegin_SBH = (total[0] * z_list[0]).baddbmm_(by_state[0], w_hh)
            dw_hh = dw_hh + by_state[0].transpose(1, 2) @ begin_SBH
        dprobe_TSBH = total_TSBH if ctx.needs_input_grad[5] else None
        return dx_TSBI, dw_ih, dw_hh, db_ih, db_hh, dprobe_TSBH, None, dbegin_SBH
