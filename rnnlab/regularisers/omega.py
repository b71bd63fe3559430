"""Error signals that should keep their norm on the way back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rnnlab.cells.base import affine
from rnnlab.model import Network
from rnnlab.probes.context import before
from rnnlab.regularisers.base import Regulariser, Seen

LEAST = 1e-20
"""‖delta‖² below which the authors' code leaves a term out."""


class Omega(Regulariser):
    """alpha sum_t (r_t - 1)², r_t = ‖delta_(t+1) W_hh diag(phi'(a_t))‖ / ‖delta_(t+1)‖, delta_t = dL/da_t.

    Of its derivative only the immediate one with respect to W_hh is added, all delta, a and h held constant, as in
    the paper. A term is one sequence's; the value is the sum over t, the mean over sequences, the sum over layers.
    Terms with delta = 0 are left out. With a dilation of d, t + 1 is t + d.

    The form `code` is the authors' code: r_t is the ratio of the squared norms, terms with ‖delta‖² < 1e-20 are left
    out, and the sum is divided by the share of terms that are left. delta is that of a sequence's own loss.

    Args:
        alpha: its weight: 4 in the paper, 2 in the code, which lets it fall with 1/t on natural data (not here).
        form: `paper` or `code`.

    Source: Pascanu 2013, equations 9 and 10.
    """

    wants_totals = True

    def __init__(self, alpha: float = 4.0, form: Literal["paper", "code"] = "paper") -> None:
        self.alpha, self.squared = alpha, form == "code"

    def gradient(self, seen: Seen) -> tuple[Tensor, Tensor]:
        network = seen.network
        theta_SP = network.theta.detach()
        added_SP = torch.zeros_like(theta_SP)
        at, value_S = network.named(added_SP), theta_SP.new_zeros(network.lanes).double()
        slopes = slopes_of(network, seen.x_TSBI, seen.hidden)
        for layer, weights in enumerate(network.layers(theta_SP)):
            d = network.architecture.stride(layer)
            delta_TSBH = (seen.totals[layer] * slopes[layer])[d:].double() * seen.x_TSBI.shape[2]
            w_hh = weights.w_hh_SGH.double().requires_grad_()
            with torch.enable_grad():
                layer_S = self.value(w_hh, delta_TSBH, slopes[layer][:-d].double())
            (dw_hh,) = torch.autograd.grad(layer_S.sum(), [w_hh])
            at[f"weight_hh_l{layer}"].add_(dw_hh.to(added_SP.dtype))
            value_S += layer_S.detach()
        return value_S, added_SP

    def value(self, w_hh_SHH: Tensor, delta_TSBH: Tensor, slope_TSBH: Tensor) -> Tensor:
        """The term of one layer, (S,): delta at t + 1 and phi' at t, for all t that have a next one."""
        # each delta in units of its largest entry: squares of small ones are 0
        largest = delta_TSBH.abs().amax(-1, keepdim=True)
        unit = delta_TSBH / torch.where(largest > 0, largest, 1.0)
        back = (unit @ w_hh_SHH) * slope_TSBH
        norm_TSB = torch.linalg.vector_norm(unit, dim=-1)
        live_TSB = largest[..., 0] > 0
        ratio_TSB = torch.linalg.vector_norm(back, dim=-1) / torch.where(live_TSB, norm_TSB, 1.0)
        if self.squared:
            ratio_TSB = ratio_TSB.square()
            live_TSB = live_TSB & ((largest[..., 0] * norm_TSB).square() >= LEAST)
        terms_TSB = torch.where(live_TSB, (ratio_TSB - 1).square(), 0.0)
        value_S = terms_TSB.sum(0).mean(1) if len(terms_TSB) else terms_TSB.sum((0, 2))
        if self.squared and len(terms_TSB):
            value_S = value_S / live_TSB.double().mean((0, 2)).clamp(min=1 / live_TSB[:, 0].numel())
        return self.alpha * value_S


def slopes_of(network: Network, x_TSBI: Tensor, hidden: list[Tensor]) -> list[Tensor]:
    """phi'(a_t) of every layer of plain RNNs at these states, (T, S, B, H)."""
    reads = network.reads(x_TSBI, [{"h": h} for h in hidden], network.theta.detach())
    found = []
    for layer, weights in enumerate(network.layers(network.theta.detach())):
        phi, added_SH = network.cell.activation.bound(weights.b_hh_SG)  # type: ignore[attr-defined]
        h_TSBH = hidden[layer]
        if phi.slope_from_output:
            found.append(phi.slope(h_TSBH))
            continue
        earlier = before(h_TSBH, network.architecture.stride(layer))
        w_ih, w_hh, b_ih = weights.w_ih_SGI, weights.w_hh_SGH, weights.b_ih_SG
        a = [affine(w_ih, b_ih, x) + affine(w_hh, added_SH, h) for x, h in zip(reads[layer], earlier, strict=True)]
        found.append(phi.slope(torch.stack(a)))
    return found
