"""G4: what each timestep adds to the gradient of the recurrent weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rnnlab.cells.base import Weights
from rnnlab.curve import Curve, rms_norm
from rnnlab.probes.context import ProbeContext, before

ROWS = 4096
"""Steps that are differentiated together."""


def weight_share_curves(context: ProbeContext) -> list[Curve]:
    """Norm of delta_t h_(t-1)^T by timestep and layer (`weight_norm`), and its share of the sum (`weight_share`).

    delta_t is the gradient of a sequence's summed loss at W_hh h_(t-1) + b_hh, all gates; the sum over t and
    sequences of delta_t h_(t-1)^T is the gradient of W_hh. Of one sequence the norm is ‖delta_t‖ ‖h_(t-1)‖;
    curves are the RMS over sequences. Of a cell whose W_hh reads anything but h_(t-1), or that has none, there is no
    curve; where a cell makes its matrix from W_hh, delta_t h_(t-1)^T is that matrix's. It is 0 where h_(t-1) is,
    however large dL/dh_t is, so always at t = 0.
    Sources: Pascanu 2013 ("temporal components"), Aicher 2019. Cost: cheap, one step of all timesteps at once.
    """
    curves: list[Curve] = []
    if not context.network.cell.reads_h:
        return curves
    for layer in range(context.network.depth):
        delta_TSBG = weight_deltas(context, layer)
        h_TSBH = before(context.states[layer]["h"], context.network.architecture.stride(layer))
        norm_ST = rms_norm(delta_TSBG * h_TSBH.norm(dim=-1, keepdim=True))
        total_S1 = norm_ST.sum(1, keepdims=True)
        share_ST = np.divide(norm_ST, total_S1, out=np.zeros_like(norm_ST), where=total_S1 > 0)
        for part, values_ST in (("norm", norm_ST), ("share", share_ST)):
            curves.append(Curve("weight", "timestep", values_ST, None, layer, context.update, part=part))
    return curves


def weight_deltas(context: ProbeContext, layer: int) -> Tensor:
    """The gradient of each sequence's loss at W_hh h_(t-1) + b_hh, (T, S, B, G), by autograd of `cell.step`."""
    cell = context.network.cell
    weights = context.network.layers(context.theta_SP)[layer]
    seen, totals = context.states[layer], context.gradients.states[layer]
    x_TSBI = context.below(layer)
    steps, lanes, batch, _ = x_TSBI.shape
    delta_TSBG = x_TSBI.new_empty(steps, lanes, batch, weights.b_hh_SG.shape[-1])
    earlier = [before(seen[name], context.network.architecture.stride(layer)) for name in cell.states]
    for lane in range(lanes):
        # a step of one sequence is a lane of its own, so that autograd keeps the deltas apart
        rows = [part[:, lane].flatten(0, 1)[:, None] for part in (x_TSBI, *earlier, *(totals[n] for n in cell.states))]
        found = []
        for x, *parts in zip(*(torch.split(row, ROWS) for row in rows), strict=True):
            rows_of = Weights(*(w[lane].expand(len(x), *w.shape[1:]) for w in weights))
            bias = rows_of.b_hh_SG.clone().requires_grad_()
            state, total = tuple(parts[: len(cell.states)]), tuple(parts[len(cell.states) :])
            with torch.enable_grad():
                after = cell.step(rows_of._replace(b_hh_SG=bias), x, state)
            found.append(torch.autograd.grad(after, bias, total)[0])
        delta_TSBG[:, lane] = torch.cat(found).view(steps, batch, -1)
    return delta_TSBG
