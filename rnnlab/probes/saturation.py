"""Saturation: units whose nonlinearity lets nothing through, and where the gates stand."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.cells.base import project
from rnnlab.curve import Curve
from rnnlab.probes.context import ProbeContext, before

FLAT = 0.05
"""A unit is saturated where the derivative of its nonlinearity is below this."""
CANDIDATES = ("h", "g", "n")
"""Blocks of the weights that are no sigmoid gates: a plain RNN's unit, the tanh of an LSTM and of a GRU."""


def saturation_curves(context: ProbeContext) -> list[Curve]:
    """Share of units whose derivative is below 0.05, by timestep, gate and layer; means of the sigmoid gates.

    `saturation_h_l0` of a plain RNN (for a relu: dead units), `saturation_f_l0` of a gate (its sigmoid's slope,
    at most 0.25, is below 0.05 where the gate is nearer than 0.053 to 0 or 1), `saturation_c_l0` of tanh(c) of an
    LSTM, `gate_f_l0` the mean of a gate over units and sequences. Source: Glorot 2010. Cost: free beside a forward
    pass.
    """
    curves = []
    for layer in range(context.network.depth):
        for name, (value, slope) in gate_values(context, layer).items():
            flat_ST = (slope < FLAT).double().mean((2, 3)).T.numpy()
            curves.append(Curve("saturation", "timestep", flat_ST, None, layer, context.update, part=name))
            if name in context.network.cell.gates and name not in CANDIDATES:
                mean_ST = value.mean((2, 3)).T.numpy()
                curves.append(Curve("gate", "timestep", mean_ST, None, layer, context.update, part=name))
    return curves


def gate_values(context: ProbeContext, layer: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Value and absolute slope of every nonlinearity of a layer by its name, each (T, S, B, H)."""
    cell, seen = context.network.cell, context.states[layer]
    weights = context.network.layers(context.theta_SP)[layer]
    by_x = project(weights.w_ih_SGI, weights.b_ih_SG, context.below(layer)).transpose(0, 1).chunk(len(cell.gates), -1)
    by_h = (
        project(weights.w_hh_SGH, weights.b_hh_SG, before(seen["h"], context.network.architecture.stride(layer)))
        .transpose(0, 1)
        .chunk(len(cell.gates), -1)
    )
    x_of, h_of = dict(zip(cell.gates, by_x, strict=True)), dict(zip(cell.gates, by_h, strict=True))
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name in cell.gates:
        # the reset gate of a GRU acts on what its candidate sees of h
        a = x_of[name] + h_of[name] * (found["r"][0] if name == "n" else 1.0)
        if name == "h":
            phi, added_SH = cell.activation.bound(weights.b_hh_SG)  # type: ignore[attr-defined]
            if phi.own_bias:
                a = a - (weights.b_hh_SG - added_SH)[:, None]
            h = phi(a)
            found[name] = (h, phi.slope(h if phi.slope_from_output else a).abs())
        elif name in CANDIDATES:
            found[name] = (torch.tanh(a), 1 - torch.tanh(a).square())
        else:
            s = torch.sigmoid(a)
            found[name] = (s, s * (1 - s))
    if "c" in seen:
        found["c"] = (torch.tanh(seen["c"]), 1 - torch.tanh(seen["c"]).square())
    return found
