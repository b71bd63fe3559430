"""Saturation: units whose nonlinearity lets nothing through, and where the gates stand."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.curve import Curve
from rnnlab.probes.context import ProbeContext, before

FLAT = 0.05
"""A unit is saturated where the derivative of its nonlinearity is below this."""
CANDIDATES = ("h", "g", "n", "c")
"""Those that are no sigmoid gates: phi of a plain RNN's unit, and tanh of an LSTM's g and c and of a GRU's n."""


def saturation_curves(context: ProbeContext) -> list[Curve]:
    """Share of units whose derivative is below 0.05, by timestep, gate and layer; means of the sigmoid gates.

    `saturation_h_l0` of a plain RNN (for a relu: dead units), `saturation_f_l0` of a gate (its sigmoid's slope,
    at most 0.25, is below 0.05 where the gate is nearer than 0.053 to 0 or 1), `saturation_c_l0` of tanh(c) of an
    LSTM, `gate_f_l0` the mean of a gate over units and sequences. There are no curves of a cell that
    tells no pre-activations. Source: Glorot 2010. Cost: free beside a forward pass.
    """
    curves = []
    for layer in range(context.network.depth):
        for name, (value, slope) in gate_values(context, layer).items():
            flat_ST = (slope < FLAT).double().mean((2, 3)).T.cpu().numpy()
            curves.append(Curve("saturation", "timestep", flat_ST, None, layer, context.update, part=name))
            if name in context.network.cell.gates and name not in CANDIDATES:
                mean_ST = value.mean((2, 3)).T.cpu().numpy()
                curves.append(Curve("gate", "timestep", mean_ST, None, layer, context.update, part=name))
    return curves


def gate_values(context: ProbeContext, layer: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Value and absolute slope of every nonlinearity of a layer by its name, each (T, S, B, H).

    Those that `Cell.pre_activations` tells.
    """
    cell, seen, steps = context.network.cell, context.states[layer], len(context.x_TSBI)
    weights = context.network.layers(context.theta_SP)[layer]
    stride = context.network.architecture.stride(layer)
    # a step of all timesteps at once: each is a sequence of its own
    earlier = tuple(before(seen[name], stride).transpose(0, 1).flatten(1, 2) for name in cell.states)

    def by_time(part_SNH: Tensor) -> Tensor:
        return part_SNH.reshape(len(part_SNH), steps, -1, part_SNH.shape[-1]).transpose(0, 1)

    by_gate = cell.pre_activations(weights, context.below(layer).transpose(0, 1).flatten(1, 2), earlier)
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name, a in by_gate.items():
        if name == "h":
            phi, added_SH = cell.activation.bound(weights.b_hh_SG)  # type: ignore[attr-defined]
            if phi.own_bias:
                a = a - (weights.b_hh_SG - added_SH)[:, None]
            h = phi(a)
            value, slope = h, phi.slope(h if phi.slope_from_output else a).abs()
        elif name in CANDIDATES:
            value, slope = torch.tanh(a), 1 - torch.tanh(a).square()
        else:
            value, slope = torch.sigmoid(a), torch.sigmoid(a) * torch.sigmoid(-a)
        found[name] = by_time(value), by_time(slope)
    return found
