"""Error signals that should keep their norm on the way back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rnnlab.cells.base import affine
from rnnlab.model import Network
from rnnlab.probes.context import before
from rnnlab.regularisers.base import Regulariser, Seen

Form = Literal["paper", "code"]

LEAST = 1e-20
"""‖dL/dh_t‖² below which the authors' code leaves a term out, L the mean over the batch."""


class Omega(Regulariser):
    """alpha sum_t (r_t - 1)², r_t = ‖delta_(t+1) W_hh diag(phi'(a_t))‖ / ‖delta_(t+1)‖, delta_t = dL/da_t.

    Of its derivative only the immediate one with respect to W_hh is added, all delta, a and h held constant, as in
    the paper. A term is one sequence's; the value is the sum over t, the mean over sequences, the sum over layers.
    Terms with delta = 0 (or below 1.2e-38, which an update takes for 0) are left out. With a dilation of d, t + 1 is
    t + d.

    The form `code` is the authors' code, which differs: r_t = ‖e_t diag(phi'(a_t)) W_hh‖² / ‖e_t‖², e_t = dL/dh_t, a
    ratio of squares on the way from h_t to h_(t-1), at every t and so into the zero state too; terms with
    ‖e_t‖² < 1e-20 are left out, and the value is the mean over those that are left, not their sum over t.

    Args:
        alpha: its weight: 4 in the paper, 2 in the code, which lets it fall with 1/t on natural data (not here).
        form: `paper` or `code`.

    Source: Pascanu 2013, equations 9 and 10, and its code.
    """

    wants_totals = True

    def __init__(self, alpha: float = 4.0, form: Form = "paper") -> None:
        self.alpha, self.form = alpha, form

    def gradient(self, seen: Seen) -> tuple[Tensor, Tensor]:
        network = seen.network
        theta_SP = network.theta.detach()
        added_SP = torch.zeros_like(theta_SP)
        at, value_S = network.named(added_SP), theta_SP.new_zeros(network.lanes).double()
        slopes = slopes_of(network, seen.x_TSBI, seen.hidden)
        for layer, weights in enumerate(network.layers(theta_SP)):
            d = network.architecture.stride(layer)
            total_TSBH, slope_TSBH = seen.totals[layer].double(), slopes[layer].double()
            w_hh = weights.w_hh_SGH.double().requires_grad_()
            with torch.enable_grad():
                if self.form == "paper":
                    layer_S = paper(w_hh, (total_TSBH * slope_TSBH)[d:], slope_TSBH[:-d])
                else:
                    layer_S = code(w_hh, total_TSBH, slope_TSBH)
            (dw_hh,) = torch.autograd.grad(layer_S.sum(), [w_hh])
            at[f"weight_hh_l{layer}"].add_(self.alpha * dw_hh.to(added_SP.dtype))
            value_S += self.alpha * layer_S.detach()
        return value_S, added_SP


def paper(w_hh_SHH: Tensor, delta_TSBH: Tensor, slope_TSBH: Tensor) -> Tensor:
    """Omega of one layer, (S,): delta at t + 1 and phi' at t, for all t that have a next one."""
    unit_TSBH, largest_TSB = in_units(delta_TSBH)
    norm_TSB = torch.linalg.vector_norm(unit_TSBH, dim=-1)
    back_TSB = torch.linalg.vector_norm((unit_TSBH @ w_hh_SHH) * slope_TSBH, dim=-1)
    live_TSB = largest_TSB > 0
    ratio_TSB = back_TSB / torch.where(live_TSB, norm_TSB, 1.0)
    return torch.where(live_TSB, (ratio_TSB - 1).square(), 0.0).sum((0, 2)) / delta_TSBH.shape[2]


def code(w_hh_SHH: Tensor, total_TSBH: Tensor, slope_TSBH: Tensor) -> Tensor:
    """The same as the authors' code has it: dL/dh_t and phi' at every t."""
    unit_TSBH, largest_TSB = in_units(total_TSBH)
    square_TSB = unit_TSBH.square().sum(-1)
    back_TSB = ((unit_TSBH * slope_TSBH) @ w_hh_SHH).square().sum(-1)
    live_TSB = largest_TSB.square() * square_TSB >= LEAST
    ratio_TSB = back_TSB / torch.where(live_TSB, square_TSB, 1.0)
    terms_TSB = torch.where(live_TSB, (ratio_TSB - 1).square(), 0.0)
    return terms_TSB.sum((0, 2)) / live_TSB.sum((0, 2)).clamp(min=1)


def in_units(value_TSBH: Tensor) -> tuple[Tensor, Tensor]:
    """Each vector over its largest entry, and that: squares of small ones are 0."""
    largest_TSB1 = value_TSBH.abs().amax(-1, keepdim=True)
    return value_TSBH / torch.where(largest_TSB1 > 0, largest_TSB1, 1.0), largest_TSB1[..., 0]


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
