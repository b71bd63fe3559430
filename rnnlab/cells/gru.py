"""The gated recurrent unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, affine


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


class _Scan(torch.autograd.Function):
    """Forward and backward by hand; everything local to a step is vectorised over t."""

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
        h_TSBH = x_TSBI.new_empty(steps, lanes, batch, size)
        gates_TSBG = x_TSBI.new_empty(steps, lanes, batch, 3 * size)
        back_n_TSBH = torch.empty_like(h_TSBH)
        in_SIG, back_SHG = w_ih.transpose(1, 2), w_hh.transpose(1, 2)
        b_ih_S1G, b_hh_S1G = b_ih[:, None], b_hh[:, None]
        hh_SBG = x_TSBI.new_empty(lanes, batch, 3 * size)
        for t in range(steps):
            gates_SBG = torch.baddbmm(b_ih_S1G, x_TSBI[t], in_SIG, out=gates_TSBG[t])
            if t:
                torch.baddbmm(b_hh_S1G, h_TSBH[t - 1], back_SHG, out=hh_SBG)
            else:
                hh_SBG.copy_(b_hh_S1G)
            rz, n = gates_SBG[..., : 2 * size], gates_SBG[..., 2 * size :]
            rz.add_(hh_SBG[..., : 2 * size]).sigmoid_()
            back_n_TSBH[t] = hh_SBG[..., 2 * size :]
            n.addcmul_(rz[..., :size], back_n_TSBH[t]).tanh_()
            if t:
                torch.lerp(n, h_TSBH[t - 1], rz[..., size:], out=h_TSBH[t])
            else:
                torch.addcmul(n, rz[..., size:], n, value=-1, out=h_TSBH[t])
        ctx.save_for_backward(x_TSBI, w_ih, w_hh, h_TSBH, gates_TSBG, back_n_TSBH)
        return h_TSBH

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, direct_TSBH: Tensor) -> tuple[Tensor | None, ...]:
        x_TSBI, w_ih, w_hh, h_TSBH, gates_TSBG, back_n_TSBH = ctx.saved_tensors
        steps, lanes, batch, size = h_TSBH.shape
        r, z, n = gates_TSBG.chunk(3, -1)
        # d(pre-activation)/dh_t of each gate, all t at once; the loop only multiplies by dL/dh_t
        local_TSBG = torch.empty_like(gates_TSBG)
        local_r, local_z, local_n = local_TSBG.chunk(3, -1)
        torch.mul(1 - z, 1 - n * n, out=local_n)
        torch.mul(local_n, back_n_TSBH, out=local_r).mul_(r).mul_(1 - r)
        torch.neg(n, out=local_z)
        local_z[1:] += h_TSBH[:-1]
        local_z.mul_(z).mul_(1 - z)
        by_input_TSBG, by_state_TSBG = local_TSBG, torch.empty_like(local_TSBG)
        by_state_TSBG[..., : 2 * size] = local_TSBG[..., : 2 * size]
        torch.mul(local_n, r, out=by_state_TSBG[..., 2 * size :])
        total_TSBH = torch.empty_like(h_TSBH) if ctx.needs_input_grad[5] else None
        dx_TSBI = torch.empty_like(x_TSBI) if ctx.needs_input_grad[0] else None
        dw_ih, dw_hh = torch.zeros_like(w_ih), torch.zeros_like(w_hh)
        spare = torch.empty_like(direct_TSBH[0])
        g_SBH = direct_TSBH[-1]
        for t in range(steps - 1, -1, -1):
            if total_TSBH is not None:
                total_TSBH[t] = g_SBH
            g_SB1H = g_SBH.unsqueeze(2)
            by_input = by_input_TSBG[t]
            by_state = by_state_TSBG[t]
            by_input.view(lanes, batch, 3, size).mul_(g_SB1H)
            by_state.view(lanes, batch, 3, size).mul_(g_SB1H)
            dw_ih.baddbmm_(by_input.transpose(1, 2), x_TSBI[t])
            if dx_TSBI is not None:
                torch.bmm(by_input, w_ih, out=dx_TSBI[t])
            if t:
                dw_hh.baddbmm_(by_state.transpose(1, 2), h_TSBH[t - 1])
                kept = torch.addcmul(direct_TSBH[t - 1], g_SBH, z[t])
                g_SBH = torch.baddbmm(kept, by_state, w_hh, out=spare)
        return (
            dx_TSBI, dw_ih, dw_hh, by_input_TSBG.sum((0, 2)), by_state_TSBG.sum((0, 2)), total_TSBH,
        )  # fmt: skip
