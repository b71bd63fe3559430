"""The plain recurrent network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, affine


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
        w_ih, w_hh, b_ih, b_hh = weights
        return (self.activation(affine(w_ih, b_ih, x_SBI) + affine(w_hh, b_hh, state[0])),)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        probe = None if probes is None else probes.get("h")
        return {"h": _Scan.apply(x_TSBI, *weights, probe, self.activation)}  # type: ignore[no-untyped-call]


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
    ) -> Tensor:
        steps, lanes, batch, _ = x_TSBI.shape
        h_TSBH = x_TSBI.new_empty(steps, lanes, batch, w_hh.shape[-1])
        a_TSBH = h_TSBH if phi.slope_from_output else torch.empty_like(h_TSBH)
        bias_S1H = (b_ih + b_hh)[:, None]
        in_SIH, back_SHH = w_ih.transpose(1, 2), w_hh.transpose(1, 2)
        for t in range(steps):
            a_SBH = torch.baddbmm(bias_S1H, x_TSBI[t], in_SIH, out=a_TSBH[t])
            if t:
                a_SBH.baddbmm_(h_TSBH[t - 1], back_SHH)
            if not phi.slope_from_output:
                h_TSBH[t] = a_SBH
            phi.apply_(h_TSBH[t])
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, None if phi.slope_from_output else a_TSBH)
        ctx.phi = phi
        return h_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, a_TSBH = ctx.saved_tensors
        delta_TSBH = ctx.phi.slope(h_TSBH if a_TSBH is None else a_TSBH)
        total_TSBH = torch.empty_like(h_TSBH) if ctx.needs_input_grad[5] else None
        dx_TSBI = torch.empty_like(x_TSBI) if ctx.needs_input_grad[0] else None
        dw_ih, dw_hh = torch.zeros_like(w_ih), torch.zeros_like(w_hh)
        spare = torch.empty_like(direct_TSBH[0])
        g_SBH = direct_TSBH[-1]
        for t in range(len(h_TSBH) - 1, -1, -1):
            if total_TSBH is not None:
                total_TSBH[t] = g_SBH
            delta_SBH = delta_TSBH[t].mul_(g_SBH)
            dw_ih.baddbmm_(delta_SBH.transpose(1, 2), x_TSBI[t])
            if dx_TSBI is not None:
                torch.bmm(delta_SBH, w_ih, out=dx_TSBI[t])
            if t:
                dw_hh.baddbmm_(delta_SBH.transpose(1, 2), h_TSBH[t - 1])
                g_SBH = torch.baddbmm(direct_TSBH[t - 1], delta_SBH, w_hh, out=spare)
        db = delta_TSBH.sum((0, 2))
        return dx_TSBI, dw_ih, dw_hh, db, db, total_TSBH, None
