"""G2 beyond float64's range: the same adjoint, rescaled by a power of two at every step back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rnnlab.model import Network
from rnnlab.unrolling import Windows

NOTHING = -1e9
"""Exponent of an adjoint that is exactly 0: no other one is as small."""


def anchor_log10_norms(
    network: Network, x_TSBI: Tensor, theta_SP: Tensor, v_BH: Tensor, last_B: Tensor, *, state: str
) -> list[dict[str, Tensor]]:
    """log10 of the norm of d<v_b, s_last>/ds_t for every layer and state, each (T, S, B); -inf where it is 0.

    The adjoint of each layer and sequence is kept as a mantissa of order 1 and a whole power of two, which is
    exact; it goes back step by step through autograd of `cell.step` at the states of one forward pass. Cost:
    full, T x L small backward passes (some ten times `anchor_gradients`), memory that of the states.

    Args:
        x_TSBI: inputs, float64. theta_SP: parameters, float64.
        v_BH: direction of each sequence's anchor. last_B: timestep of it.
        state: the top layer's state that is anchored.
    """
    with torch.no_grad():
        seen = network.states(x_TSBI, theta_SP)
        reads = network.reads(x_TSBI, seen, theta_SP)
    named, truncate = network.named(theta_SP), network.architecture.truncate
    layers, names = network.layers(theta_SP), network.cell.states
    steps, lanes, batch, size = seen[0]["h"].shape
    zero_SBH = x_TSBI.new_zeros(lanes, batch, size)
    found = [{name: x_TSBI.new_empty(steps, lanes, batch) for name in names} for _ in layers]
    nothing_SB = x_TSBI.new_full((lanes, batch), NOTHING)
    # of each layer, what its states at t, t - 1, ... t - d + 1 have been given so far, at t mod d
    strides = [network.architecture.stride(layer) for layer in range(network.depth)]
    adjoints = [[tuple(zero_SBH for _ in names)] * d for d in strides]
    exponents = [[nothing_SB] * d for d in strides]
    first_B = Windows(steps, *truncate).reached(last_B) if truncate else torch.zeros_like(last_B)
    first_B, last_B, v_BH = first_B.to(x_TSBI.device), last_B.to(x_TSBI.device), v_BH.to(x_TSBI)
    for t in range(steps - 1, -1, -1):
        anchored = (last_B == t).to(v_BH.dtype)
        start = tuple((v_BH * anchored[:, None]).expand_as(zero_SBH) if n == state else zero_SBH for n in names)
        by_start = torch.where(anchored.bool(), 0.0, NOTHING).expand(lanes, batch).double()
        # what stands above the layer, of which the readout makes nothing here
        up, by_up = zero_SBH, nothing_SB
        for layer in range(len(layers) - 1, -1, -1):
            past, from_up = _through(network, named, layer, reads[layer][t], seen[layer]["h"][t], up)
            above, by_above = (from_up, *(zero_SBH for _ in names[1:])), by_up
            if layer == len(layers) - 1:
                above, by_above = _added(start, by_start, above, by_above)
            slot = t % strides[layer]
            adjoint, exponent = _added(adjoints[layer][slot], exponents[layer][slot], above, by_above)
            cut_SB = (first_B > t).expand(lanes, batch)
            adjoint = tuple(part.masked_fill(cut_SB[..., None], 0.0) for part in adjoint)
            exponent = torch.where(cut_SB, NOTHING, exponent)
            for name, part in zip(names, adjoint, strict=True):
                found[layer][name][t] = _log10(part.norm(dim=-1), exponent)
            below, earlier = reads[layer][t].detach().requires_grad_(), t - strides[layer]
            before = tuple(
                (seen[layer][n][earlier] if earlier >= 0 else zero_SBH).detach().requires_grad_() for n in names
            )
            with torch.enable_grad():
                after = network.cell.step(layers[layer], below, before)
            down, *back = torch.autograd.grad(after, (below, *before), adjoint, allow_unused=True)
            adjoints[layer][slot] = tuple(zero_SBH if g is None else g for g in back)
            exponents[layer][slot] = exponent
            if layer:
                (up,), by_up = _added((down,), exponent, (past,), by_up)
    return found


def _through(
    network: Network, named: Mapping[str, Tensor], layer: int, x_SBI: Tensor, h_SBH: Tensor, up_SBH: Tensor
) -> tuple[Tensor, Tensor]:
    """Back through the connection above a layer: what of `up` reaches what the layer read, and what its h."""
    if not layer:
        return torch.zeros_like(up_SBH), up_SBH
    x, h = x_SBI.detach().requires_grad_(), h_SBH.detach().requires_grad_()
    with torch.enable_grad():
        above = network.connected(layer, named, x, h)
    past, through = torch.autograd.grad(above, (x, h), up_SBH, materialize_grads=True)
    return past, through


def _added(
    one: tuple[Tensor, ...], by_one_SB: Tensor, two: tuple[Tensor, ...], by_two_SB: Tensor
) -> tuple[tuple[Tensor, ...], Tensor]:
    """one 2^by_one + two 2^by_two as mantissas with a largest entry in [1, 2) and their exponent."""
    by_SB = torch.maximum(by_one_SB, by_two_SB)
    share_one, share_two = (torch.exp2(by - by_SB).unsqueeze(-1) for by in (by_one_SB, by_two_SB))
    sums = tuple(a * share_one + b * share_two for a, b in zip(one, two, strict=True))
    largest_SB = torch.stack([part.abs().amax(-1) for part in sums]).amax(0)
    fits = (largest_SB > 0) & largest_SB.isfinite()
    more_SB = torch.where(fits, largest_SB.log2().floor(), 0.0)
    by_SB = torch.where(largest_SB == 0, NOTHING, by_SB + more_SB)
    return tuple(part * torch.exp2(-more_SB).unsqueeze(-1) for part in sums), by_SB


def _log10(norm_SB: Tensor, exponent_SB: Tensor) -> Tensor:
    logs_SB = norm_SB.log10() + exponent_SB * torch.log10(torch.tensor(2.0, dtype=torch.float64))
    return torch.where(norm_SB == 0, -torch.inf, logs_SB)
