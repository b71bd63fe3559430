"""The plain recurrent network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, affine, back_project, outer_sum, project


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
        a_STBH = project(w_ih, b_ih + b_hh, x_TSBI)
        h_TSBH = x_TSBI.new_empty(steps, lanes, batch, w_hh.shape[-1])
        keep_a = not phi.slope_from_output
        kept_TSBH = torch.empty_like(h_TSBH) if keep_a else h_TSBH
        back_SHH = w_hh.transpose(1, 2)
        a_list, h_list, kept_list = a_STBH.unbind(1), h_TSBH.unbind(0), kept_TSBH.unbind(0)
        kept_list[0].copy_(a_list[0])
        for t in range(steps):
            if t:
                torch.baddbmm(a_list[t], h_list[t - 1], back_SHH, out=kept_list[t])
            if keep_a:
                h_list[t].copy_(kept_list[t])
            phi.apply_(h_list[t])
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, kept_TSBH if keep_a else None)
        ctx.phi = phi
        return h_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, a_TSBH = ctx.saved_tensors
        pull, kept_TSBH = ctx.phi.pull, h_TSBH if a_TSBH is None else a_TSBH
        delta_TSBH = torch.empty_like(h_TSBH)
        total_TSBH = torch.empty_like(h_TSBH) if ctx.needs_input_grad[5] else None
        total_list = total_TSBH.unbind(0) if total_TSBH is not None else [torch.empty_like(h_TSBH[0])] * len(h_TSBH)
        direct_list, delta_list, kept_list = direct_TSBH.unbind(0), delta_TSBH.unbind(0), kept_TSBH.unbind(0)
        g_SBH = total_list[-1].copy_(direct_list[-1])
        for t in range(len(h_TSBH) - 1, 0, -1):
            delta_SBH = pull(g_SBH, kept_list[t], delta_list[t])
            g_SBH = torch.baddbmm(direct_list[t - 1], delta_SBH, w_hh, out=total_list[t - 1])
        pull(g_SBH, kept_list[0], delta_list[0])
        dx_TSBI = back_project(delta_TSBH, w_ih) if ctx.needs_input_grad[0] else None
        dw_ih, dw_hh = outer_sum(delta_TSBH, x_TSBI), outer_sum(delta_TSBH[1:], h_TSBH[:-1])
        db = delta_TSBH.sum((0, 2))
        return dx_TSBI, dw_ih, dw_hh, db, db, total_TSBH, None
