"""Lyapunov exponents: how fast the leading directions of the state grow or shrink, per step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnlab.cells.base import Weights
from rnnlab.curve import Curve
from rnnlab.model import Network
from rnnlab.probes.context import ProbeContext
from rnnlab.training.seeding import generator_for

LEADING = 8
"""Exponents that the probe tells."""
SEQUENCES = 2
"""Sequences of the probe batch that are averaged."""


def lyapunov_curve(context: ProbeContext) -> list[Curve]:
    """The leading 8 exponents over the probe sequences, largest first as a rule, in nats a step.

    Of the whole state: h (and c) of all layers together, D = L x states x H numbers. exp(exponent) is the factor
    a step; a value of -1.8e308 stands for a direction that is lost exactly. Over T steps from a random frame
    they are finite-time estimates. Sources: Benettin 1980; Engelken 2023; Vogt 2022. Cost: full, T steps with
    8 tangents a sequence and a QR each.
    """
    x_TSBI = context.x_TSBI[:, :, :SEQUENCES]
    values_SM = lyapunov_exponents(context.network, x_TSBI, context.theta_SP, LEADING)
    return [Curve("lyapunov", "index", values_SM.cpu().numpy(), update=context.update)]


def lyapunov_exponents(network: Network, x_TSBI: Tensor, theta_SP: Tensor, count: int | None = None) -> Tensor:
    """Mean over timesteps and sequences of ln |R_ii| with Q R = J_t Q, J_t = dz_t/dz_(t-1), (S, M).

    z holds all states of all layers; where a layer is dilated by d, those of its last d timesteps. All D exponents
    add up to the mean of ln |det J_t|. A single step has no J_t and gives 0.

    Args:
        count: M, the leading ones; None: all D.
    """
    names, layers, depth = network.cell.states, network.layers(theta_SP), network.depth
    steps, lanes, batch, _ = x_TSBI.shape
    size = network.hidden
    strides = [network.architecture.stride(layer) for layer in range(depth)]
    whole = sum(strides) * len(names) * size
    count = whole if count is None else min(count, whole)
    draws = torch.randn(whole, count, dtype=x_TSBI.dtype, generator=generator_for("lyapunov"))
    q_SBDM = torch.linalg.qr(draws)[0].to(x_TSBI.device).expand(lanes, batch, -1, -1)
    with torch.no_grad():
        seen = network.states(x_TSBI, theta_SP)
        sums_SBM = x_TSBI.new_zeros(lanes, batch, count)
        for t in range(1, steps):
            # every sequence stands there once for each of the M tangents
            tangents = list(
                q_SBDM.reshape(lanes, batch, -1, size, count).permute(2, 0, 1, 4, 3).flatten(2, 3).unbind(0)
            )
            # of a dilated layer one of d slots moves at a time: the state d timesteps ago
            rows = slots_at(strides, len(names), t)
            states = [
                _repeat(seen[layer][name][max(0, t - strides[layer])] * float(t >= strides[layer]), count)
                for layer in range(depth)
                for name in names
            ]
            moved = push(network, theta_SP, layers, _repeat(x_TSBI[t], count), states, [tangents[row] for row in rows])
            for row, tangent in zip(rows, moved, strict=True):
                tangents[row] = tangent
            z_SBDM = torch.stack(tangents).view(-1, lanes, batch, count, size).permute(1, 2, 0, 4, 3).flatten(2, 3)
            finite_SB = z_SBDM.isfinite().all(-1).all(-1)
            q_SBDM, r_SBMM = torch.linalg.qr(torch.where(finite_SB[..., None, None], z_SBDM, 0.0))
            logs_SBM = r_SBMM.diagonal(dim1=-2, dim2=-1).abs().log()
            sums_SBM += torch.where(finite_SB[..., None], logs_SBM, torch.inf)
    return sums_SBM.mean(1) / max(1, steps - 1)


def slots_at(strides: Sequence[int], states: int, t: int) -> list[int]:
    """Which H-row blocks of z are renewed at timestep t: those of every layer's states at t mod d."""
    found, start = [], 0
    for d in strides:
        found += [start + (t % d) * states + number for number in range(states)]
        start += d * states
    return found


def push(
    network: Network,
    theta_SP: Tensor,
    layers: list[Weights],
    x_SNI: Tensor,
    states: list[Tensor],
    tangents: Sequence[Tensor],
) -> list[Tensor]:
    """J times the tangents at one step of all layers, state by state, each (S, N, H).

    The backward pass g(u) = J^T u is linear in u, so its own backward pass at the tangents is J times them.
    (torch's forward mode does it in one pass, but compiles parts of itself at first use, with warnings.)
    """
    each, named = len(network.cell.states), network.named(theta_SP)
    with torch.enable_grad():
        starts = [state.detach().requires_grad_() for state in states]
        below = x_SNI
        after: list[Tensor] = []
        for layer, weights in enumerate(layers):
            new = network.cell.step(weights, below, tuple(starts[layer * each : (layer + 1) * each]))
            below = network.connected(layer, named, below, new[0])
            after += new
        u = [torch.zeros_like(part).requires_grad_() for part in after]
        g = torch.autograd.grad(after, starts, u, create_graph=True, materialize_grads=True)
    return list(torch.autograd.grad(g, u, tangents, materialize_grads=True))


def _repeat(value_SBN: Tensor, count: int) -> Tensor:
    """Each sequence `count` times in a row: (S, B M, N)."""
    return value_SBN.repeat_interleave(count, 1)
