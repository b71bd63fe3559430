"""G2 beyond float64's range: the same adjoint, rescaled by a power of two at every step back."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.model import Network

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
    layers, names = network.layers(theta_SP), network.cell.states
    steps, lanes, batch, size = seen[0]["h"].shape
    zero_SBH = x_TSBI.new_zeros(lanes, batch, size)
    found = [{name: x_TSBI.new_empty(steps, lanes, batch) for name in names} for _ in layers]
    adjoints = [tuple(zero_SBH for _ in names) for _ in layers]
    exponents = [torch.full((lanes, batch), NOTHING, dtype=torch.float64) for _ in layers]
    for t in range(steps - 1, -1, -1):
        anchored = (last_B == t).to(v_BH.dtype)
        start = tuple((v_BH * anchored[:, None]).expand_as(zero_SBH) if n == state else zero_SBH for n in names)
        above, by_above = start, torch.where(anchored.bool(), 0.0, NOTHING).expand(lanes, batch).double()
        for layer in range(len(layers) - 1, -1, -1):
            adjoint, exponent = _added(adjoints[layer], exponents[layer], above, by_above)
            for name, part in zip(names, adjoint, strict=True):
                found[layer][name][t] = _log10(part.norm(dim=-1), exponent)
            below = (seen[layer - 1]["h"] if layer else x_TSBI)[t].detach().requires_grad_()
            before = tuple((seen[layer][n][t - 1] if t else zero_SBH).detach().requires_grad_() for n in names)
            with torch.enable_grad():
                after = network.cell.step(layers[layer], below, before)
            down, *back = torch.autograd.grad(after, (below, *before), adjoint, allow_unused=True)
            adjoints[layer] = tuple(zero_SBH if g is None else g for g in back)
            exponents[layer] = exponent
            if layer:
                above, by_above = (down, *(zero_SBH for _ in names[1:])), exponent
    return found


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
