"""The long short-term memory's recurrence, compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnnlab.compiled import backward, before, forward, pieced, strided
from rnnlab.compiled.products import back_gradient, input_gradient, weight_gradient


class LSTMScan(torch.autograd.Function):
    """h and c (T, S, B, H) of `rnnlab.cells.lstm.LSTM`, and their gradients; exact totals are those of the probes."""

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
        begin_h: Tensor | None,
        begin_c: Tensor | None,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        w_hh = w_hh.contiguous()
        begin_h, begin_c = (before(begin, x_TSBI, w_hh.shape[-1]) for begin in (begin_h, begin_c))
        steps, lanes, batch, _ = x_TSBI.shape
        h_STBH = x_TSBI.new_empty(lanes, steps, batch, w_hh.shape[-1])
        c_STBH = torch.empty_like(h_STBH)
        gates_STBG = x_TSBI.new_empty(lanes, steps, batch, w_hh.shape[1]) if keep else None
        forward("lstm", h_STBH, x_TSBI, w_ih, b_ih + b_hh, w_hh, begin_h, begin_c, gates_STBG, h_STBH, c_STBH)
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, gates_STBG, h_STBH, c_STBH, begin_h, begin_c)
        ctx.set_materialize_grads(False)
        return h_STBH.transpose(0, 1), c_STBH.transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_h: Tensor | None, direct_c: Tensor | None) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, gates_STBG, h_STBH, c_STBH, begin_h, begin_c = ctx.saved_tensors
        delta_STBG = torch.empty_like(gates_STBG)
        direct_h = torch.zeros_like(h_STBH).transpose(0, 1) if direct_h is None else pieced(direct_h)
        direct_c = None if direct_c is None else pieced(direct_c)
        total_h, total_c = (torch.empty_like(h_STBH) if ctx.needs_input_grad[i] else None for i in (5, 6))
        to_h, to_c = (None if begin is None else torch.empty_like(begin) for begin in (begin_h, begin_c))
        db = gates_STBG.new_zeros(len(h_STBH), gates_STBG.shape[-1])
        backward(
            "lstm_backward", h_STBH, gates_STBG, c_STBH, w_hh, begin_c, strided(direct_h), strided(direct_c),
            delta_STBG, db, total_h, total_c, to_h, to_c,
        )  # fmt: skip
        dx, dw_ih, dw_hh, *_ = ctx.needs_input_grad  # a probe wants none of a weight's
        return (
            input_gradient(delta_STBG, w_ih) if dx else None,
            weight_gradient(delta_STBG, x_TSBI.transpose(0, 1)) if dw_ih else None,
            back_gradient(delta_STBG, h_STBH, begin_h) if dw_hh else None,
            db, db,
            None if total_h is None else total_h.transpose(0, 1),
            None if total_c is None else total_c.transpose(0, 1),
            to_h, to_c, None,
        )  # fmt: skip
