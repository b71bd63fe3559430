"""The plain recurrence, compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.activations.relu import ReLU
from rnnlab.activations.tanh import Tanh
from rnnlab.compiled import backward, before, forward, pieced, strided
from rnnlab.compiled.products import back_gradient, input_gradient, weight_gradient

KNOWN: dict[type[Activation], int] = {Tanh: 0, ReLU: 1}
"""Activations that kernel.c has, by its number."""


class PlainScan(torch.autograd.Function):
    """h (T, S, B, H) of `rnnlab.cells.rnn.RNN`, and its gradients; dL/dh_t is that of the probe."""

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
        begin_SBH: Tensor | None,
    ) -> Tensor:
        w_hh = w_hh.contiguous()
        begin_SBH = before(begin_SBH, x_TSBI, w_hh.shape[-1])
        steps, lanes, batch, _ = x_TSBI.shape
        h_STBH = x_TSBI.new_empty(lanes, steps, batch, w_hh.shape[-1])
        forward("rnn", h_STBH, x_TSBI, w_ih, b_ih + b_hh, w_hh, KNOWN[type(phi)], begin_SBH, h_STBH)
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_STBH, begin_SBH)
        ctx.phi = KNOWN[type(phi)]
        return h_STBH.transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_STBH, begin_SBH = ctx.saved_tensors
        delta_STBH = torch.empty_like(h_STBH)
        total_STBH = torch.empty_like(h_STBH) if ctx.needs_input_grad[5] else None
        dbegin_SBH = None if begin_SBH is None else torch.empty_like(begin_SBH)
        direct_TSBH, db = pieced(direct_TSBH), h_STBH.new_zeros(len(h_STBH), h_STBH.shape[-1])
        backward(
            "rnn_backward", h_STBH, ctx.phi, h_STBH, w_hh, strided(direct_TSBH), delta_STBH, db, total_STBH, dbegin_SBH
        )
        dx, dw_ih, dw_hh, *_ = ctx.needs_input_grad  # a probe wants none of a weight's
        return (
            input_gradient(delta_STBH, w_ih) if dx else None,
            weight_gradient(delta_STBH, x_TSBI.transpose(0, 1)) if dw_ih else None,
            back_gradient(delta_STBH, h_STBH, begin_SBH) if dw_hh else None,
            db, db,
            None if total_STBH is None else total_STBH.transpose(0, 1),
            None, dbegin_SBH,
        )  # fmt: skip
