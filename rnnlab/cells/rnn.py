"""The plain recurrent network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Limit, States, Weights, affine, back_project, cached_blocks, outer_sum, project
from rnnlab.compiled import takes
from rnnlab.compiled.rnn import KNOWN, PlainScan


class RNN(Cell):
    """h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh). Source: Elman 1990, as in torch.nn.RNN.

    Args:
        activation: phi, any of the table (torch has tanh and relu).
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, activation: Activation | None) -> None:
        assert activation is not None
        self.activation = activation

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        phi, b_hh = self.activation.bound(b_hh)
        return (phi(affine(w_ih, b_ih, x_SBI) + affine(w_hh, b_hh, state[0])),)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        return {"h": self._scan(weights, x_TSBI, None if probes is None else probes.get("h"), None)}

    def onward(self, weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_TSBH = self._scan(weights, x_TSBI, None, state[0])
        return h_TSBH, (h_TSBH[-1],)

    def _scan(self, weights: Weights, x_TSBI: Tensor, probe: Tensor | None, begin: Tensor | None) -> Tensor:
        phi, four = self.activation, weights[:4]
        if type(phi) in KNOWN and takes(x_TSBI, weights.w_hh_SGH.shape[-1]):
            return PlainScan.apply(x_TSBI, *four, probe, phi, begin)  # type: ignore[no-any-return,no-untyped-call]
        return _Scan.apply(x_TSBI, *four, probe, phi, None, begin)  # type: ignore[no-any-return,no-untyped-call]

    def limited(self, weights: Weights, x_TSBI: Tensor, limit: Limit) -> Tensor:
        return _Scan.apply(x_TSBI, *weights[:4], None, self.activation, limit, None)  # type: ignore[no-any-return,no-untyped-call]


class _Scan(torch.autograd.Function):
    """Forward and backward by hand: products and phi in place, dL/dh_t on the way, no graph per step."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TSBI: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor,
        b_hh: Tensor,
        probe_TSBH: Tensor | None,
        phi: Activation,
        limit: Limit | None,
        begin_SBH: Tensor | None,
    ) -> Tensor:
        keep_a, scale = not phi.slope_from_output, phi.scale
        ctx.phi, ctx.limit = phi, limit
        phi, b_hh = phi.bound(b_hh)
        a_TSBH = project(w_ih * scale, (b_ih + b_hh) * scale, x_TSBI).transpose(0, 1).contiguous()
        # in place: a becomes h
        h_TSBH = torch.empty_like(a_TSBH) if keep_a else a_TSBH
        back_SHH = (w_hh * scale).transpose(1, 2)
        a, h = a_TSBH.unbind(0), h_TSBH.unbind(0)
        for t in range(len(a)):
            before = h[t - 1] if t else begin_SBH
            if before is not None:
                a[t].baddbmm_(before, back_SHH)
            if keep_a:
                h[t].copy_(a[t])
            phi.apply_scaled_(h[t])
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, a_TSBH if keep_a else None, begin_SBH)
        return h_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, a_TSBH, begin_SBH = ctx.saved_tensors
        limit: Limit | None = ctx.limit
        kept_TSBH = h_TSBH if a_TSBH is None else a_TSBH
        delta_TSBH = torch.empty_like(h_TSBH)
        total_TSBH = torch.empty_like(h_TSBH) if ctx.needs_input_grad[5] else None
        total_list = total_TSBH.unbind(0) if total_TSBH is not None else [torch.empty_like(h_TSBH[0])] * len(h_TSBH)
        direct_list, delta_list = direct_TSBH.unbind(0), delta_TSBH.unbind(0)
        total_list[-1].copy_(direct_list[-1])
        for start, stop in cached_blocks(h_TSBH):
            ctx.phi.write_slope(kept_TSBH[start:stop], delta_TSBH[start:stop])
            for t in range(stop - 1, start - 1, -1):
                delta_SBH = delta_list[t].mul_(total_list[t])
                if limit is not None:
                    limit(delta_SBH)
                if t:
                    torch.baddbmm(direct_list[t - 1], delta_SBH, w_hh, out=total_list[t - 1])
        dx_TSBI = back_project(delta_TSBH, w_ih) if ctx.needs_input_grad[0] else None
        dw_ih, dw_hh = outer_sum(delta_TSBH, x_TSBI), outer_sum(delta_TSBH[1:], h_TSBH[:-1])
        db = delta_TSBH.sum((0, 2))
        db_hh = ctx.phi.bias_gradient(delta_TSBH, h_TSBH) if ctx.phi.own_bias else db
        dbegin_SBH = None
        if begin_SBH is not None:
            dbegin_SBH = delta_list[0] @ w_hh
            dw_hh = dw_hh + delta_list[0].transpose(1, 2) @ begin_SBH
        return dx_TSBI, dw_ih, dw_hh, db, db_hh, total_TSBH, None, None, dbegin_SBH
