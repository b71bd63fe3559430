"""An update's loss with activations computed again instead of kept: gradient checkpointing.

Time is cut into segments. Going forward, a segment leaves its loss and the states after its last timestep, and nothing
else; going back, it is run again from the states before its first one, all layers together, and then differentiated.
So √T states and the activations of √T timesteps are held where segments are √T long, instead of the activations of T,
for one more pass forward. Gradients are those of the plain update up to rounding: products over T timesteps become
sums of products over segments. Source: Chen 2016, section 3; here by `torch.utils.checkpoint`.

Shapes: T timesteps of a segment, S lanes, B sequences, I inputs, H hidden units, N scored timesteps.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rnnlab.architecture import drawn
from rnnlab.cells.base import Cell, Weights
from rnnlab.cells.zoneout import Zoneout
from rnnlab.model import Network
from rnnlab.tasks.base import Task, loss_by_timestep

Length = Literal["sqrt"] | int
"""Timesteps of a segment; sqrt: the root of all of them."""


@dataclass(frozen=True)
class Passed:
    """What is left of a pass over all timesteps, (S,) each.

    Args:
        loss_S: as the task combines it, differentiable.
        last_S: whether what the readout reads at the last timestep is finite. finite_S: at every timestep.
    """

    loss_S: Tensor
    last_S: Tensor
    finite_S: Tensor


def segment_length(chosen: Length, steps: int) -> int:
    """Timesteps of a segment of a sequence of `steps`; the last segment may be shorter."""
    return math.isqrt(steps - 1) + 1 if chosen == "sqrt" else min(chosen, steps)


def recomputed_loss(
    network: Network,
    task: Task,
    x_TSBI: Tensor,
    y_TSB: Tensor,
    chosen: Length,
    noise: Sequence[torch.Generator] | None = None,
) -> Passed:
    """The loss that `training_loss` gives, of a network neither truncated nor dilated.

    Masks are drawn whole and before the first segment, in the order of the plain update, and kept: of a zoneout that
    is a byte a unit, timestep and sequence, linear in T.
    """
    layers: list[_Layer] = []
    for weights in network.layers():
        masks = None
        if noise is not None and network.architecture.noisy:
            weights = network.architecture.dropped(weights, noise)
            masks = drawn(network.cell, len(x_TSBI), x_TSBI.shape[2], network.hidden, noise)
        layers.append(_Layer(*network.cell.folded(weights), masks))
    run = partial(_segment, network, task, layers, network.named())
    zero = x_TSBI.new_zeros(network.lanes, x_TSBI.shape[2], network.hidden)
    states = tuple(zero for _ in layers for _ in network.cell.states)
    losses, finite = [], []
    steps, size = len(x_TSBI), segment_length(chosen, len(x_TSBI))
    for start in range(0, steps, size):
        span = slice(start, min(start + size, steps))
        if span.stop < steps:
            found = checkpoint(run, x_TSBI, y_TSB, span, *states, use_reentrant=False, preserve_rng_state=False)
        else:  # what comes last is differentiated at once
            found = run(x_TSBI, y_TSB, span, *states)
        loss_NS, finite_2S, *states = found
        losses.append(loss_NS)
        finite.append(finite_2S)
    loss_NS = torch.cat(losses)
    loss_S = loss_NS.mean(0) if task.loss.combine == "mean" else loss_NS.sum(0)
    return Passed(loss_S, finite[-1][0], torch.stack(finite)[:, 1].all(0))


@dataclass(frozen=True)
class _Layer:
    """What a layer runs with; masks of a zoneout are (T, S, B, H) a state over all timesteps."""

    cell: Cell
    weights: Weights
    masks: Sequence[Tensor] | None

    def over(self, span: slice) -> Cell:
        """The cell for these timesteps."""
        if self.masks is None:
            return self.cell
        assert isinstance(self.cell, Zoneout)
        return self.cell.drawn([mask[span] for mask in self.masks])


def _segment(
    network: Network,
    task: Task,
    layers: Sequence[_Layer],
    named: dict[str, Tensor],
    x_TSBI: Tensor,
    y_TSB: Tensor,
    span: slice,
    *states: Tensor,
) -> tuple[Tensor, ...]:
    """Losses (N, S) of the scored timesteps of `span`, whether its last and all its top states are finite (2, S), and
    the states after it, from those before it, layer by layer."""
    below, after, each = x_TSBI[span], list[Tensor](), len(network.cell.states)
    for number, layer in enumerate(layers):
        before = states[number * each : (number + 1) * each]
        h_TSBH, own = layer.over(span).onward(layer.weights, below, before)
        # copies: a view would keep the whole segment
        after += [state.clone() for state in own]
        below = network.connected(number, named, below, h_TSBH)
    first, end = (bisect_left(task.positions, t) for t in (span.start, span.stop))
    scored = task.positions[first:end]
    loss_NS = below.new_empty(0, network.lanes)
    if scored:
        rows = [t - span.start for t in scored]
        loss_NS = loss_by_timestep(task.objective, network.readout(named, below[rows]), y_TSB[scored]).mean(2)
    # the largest size is NaN or infinite where a number is, and takes a twentieth of the time of asking each
    largest_2S = torch.stack([part.detach().abs().amax((0, 2, 3)) for part in (below[-1:], below)])
    return loss_NS, largest_2S.isfinite(), *after
