"""The gated recurrent unit's recurrence, compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnnlab.compiled import backward, before, forward, pieced, strided
from rnnlab.compiled.products import back_gradient, input_gradient, weight_gradient


def _n_first(rows: Tensor) -> Tensor:
    """Rows r, z, n as n, r, z."""
    r, z, n = rows.chunk(3, 1)
    return torch.cat([n, r, z], 1)


def _n_last(rows: Tensor) -> Tensor:
    """Rows n, r, z as torch has them: r, z, n."""
    n, r, z = rows.chunk(3, 1)
    return torch.cat([r, z, n], 1)


class GRUScan(torch.autograd.Function):
    """h (T, S, B, H) of `rnnlab.cells.gru.GRU`, and its gradients; dL/dh_t is that of the probe.

    Inside, a row holds n, r, z and b = W_hn h + b_hn.
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
        begin_SBH: Tensor | None,
        keep: bool,
    ) -> Tensor:
        size, w_hh = w_hh.shape[-1], w_hh.contiguous()
        begin_SBH = before(begin_SBH, x_TSBI, w_hh.shape[-1])
        b_rz, b_n = torch.split(b_hh, [2 * size, size], 1)
        both = torch.cat([b_ih[:, 2 * size :], b_ih[:, : 2 * size] + b_rz, b_n], 1)
        steps, lanes, batch, _ = x_TSBI.shape
        h_STBH = x_TSBI.new_empty(lanes, steps, batch, size)
        rows_STBG = x_TSBI.new_empty(lanes, steps, batch, 4 * size) if keep else None
        forward("gru", h_STBH, x_TSBI, _n_first(w_ih), both, w_hh, begin_SBH, rows_STBG, h_STBH)
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, rows_STBG, h_STBH, begin_SBH)
        return h_STBH.transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, rows_STBG, h_STBH, begin_SBH = ctx.saved_tensors
        size = h_STBH.shape[-1]
        delta_STBG = torch.empty_like(rows_STBG)
        total_STBH = torch.empty_like(h_STBH) if ctx.needs_input_grad[5] else None
        dbegin_SBH = None if begin_SBH is None else torch.empty_like(begin_SBH)
        direct_TSBH, db = pieced(direct_TSBH), h_STBH.new_zeros(len(h_STBH), 4 * size)
        backward(
            "gru_backward", h_STBH, rows_STBG, h_STBH, w_hh, begin_SBH, strided(direct_TSBH), delta_STBG, db,
            total_STBH, dbegin_SBH,
        )  # fmt: skip
        from_x, from_h = delta_STBG[..., : 3 * size], delta_STBG[..., size:]
        dx, dw_ih, dw_hh, *_ = ctx.needs_input_grad  # a probe wants none of a weight's
        return (
            input_gradient(from_x, _n_first(w_ih)) if dx else None,
            _n_last(weight_gradient(from_x, x_TSBI.transpose(0, 1))) if dw_ih else None,
            back_gradient(from_h, h_STBH, begin_SBH) if dw_hh else None,
            _n_last(db[:, : 3 * size]), db[:, size:],
            None if total_STBH is None else total_STBH.transpose(0, 1),
            dbegin_SBH, None,
        )  # fmt: skip
