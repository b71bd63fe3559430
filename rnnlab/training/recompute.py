"""An update's loss with activations computed again instead of kept: gradient checkpointing.

Time is cut into segments. Going forward, a segment leaves its losses and the states after its last timestep, and
nothing else; going back, it is run again from the states before its first one, all layers together, and then
differentiated. With segments of √T timesteps √T states and the activations of √T timesteps are held, instead of those
of T, for one more pass forward. Gradients are those of the plain update up to rounding: a product over T timesteps
becomes a sum over segments. Source: Chen 2016, section 4. `torch.utils.checkpoint` does it as well, but asks Python for
every tensor that a step saves, and takes longer for it.

Shapes: T timesteps, S lanes, B sequences, I inputs, H hidden units, N scored timesteps, K segments.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from rnnlab.architecture import drawn
from rnnlab.cells.base import Cell, Weights
from rnnlab.cells.zoneout import Zoneout
from rnnlab.model import Network
from rnnlab.tasks.base import Task, loss_by_timestep

Length = Literal["sqrt"] | int
"""Timesteps of a segment; sqrt: the root of all of them."""
EACH = len(Weights._fields)


@dataclass(frozen=True)
class Passed:
    """What is left of a pass over all timesteps, (S,) each.

    Args:
        loss_S: as the task combines it, differentiable once.
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
    cells, masks, flat = [], [], list[Tensor]()
    for weights in network.layers():
        own = None
        if noise is not None and network.architecture.noisy:
            weights = network.architecture.dropped(weights, noise)
            own = drawn(network.cell, x_TSBI, network.hidden, noise)
        cell, weights = network.cell.folded(weights)
        cells.append(cell)
        masks.append(own)
        flat += weights
    rest = {name: part for name, part in network.named().items() if name.startswith(("between.", "readout."))}
    run = _Segment(network, task, x_TSBI, y_TSB, cells, masks, list(rest))
    loss_NS, finite_K2S = _Recomputed.apply(run, segment_length(chosen, len(x_TSBI)), *flat, *rest.values())  # type: ignore[no-untyped-call]
    loss_S = loss_NS.mean(0) if task.loss.combine == "mean" else loss_NS.sum(0)
    return Passed(loss_S, finite_K2S[-1, 0], finite_K2S[:, 1].all(0))


@dataclass(frozen=True)
class _Segment:
    """What runs some timesteps.

    Args:
        cells: of each layer. masks: of each layer's zoneout, (T, S, B, H) a state over all timesteps.
        rest: names of the parameters that are no layer's.
    """

    network: Network
    task: Task
    x_TSBI: Tensor
    y_TSB: Tensor
    cells: Sequence[Cell]
    masks: Sequence[Sequence[Tensor] | None]
    rest: Sequence[str]

    def scored(self, span: slice) -> list[int]:
        """The timesteps of `span` that carry a loss."""
        first, end = (bisect_left(self.task.positions, t) for t in (span.start, span.stop))
        return self.task.positions[first:end]

    def __call__(
        self, parameters: Sequence[Tensor], span: slice, states: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Losses (N, S) of the scored timesteps of `span`, what the readout reads at all of them, and the states after
        it, from those before it, layer by layer.

        Args:
            parameters: five of each layer, and the rest.
        """
        named = dict(zip(self.rest, parameters[len(self.cells) * EACH :], strict=True))
        below, after, each = self.x_TSBI[span], list[Tensor](), len(self.network.cell.states)
        for layer, cell in enumerate(self.cells):
            weights = Weights(*parameters[layer * EACH : (layer + 1) * EACH])
            own = self.masks[layer]
            if own is not None:
                assert isinstance(cell, Zoneout)
                cell = cell.drawn([mask[span] for mask in own])
            h_TSBH, new = cell.onward(weights, below, tuple(states[layer * each : (layer + 1) * each]))
            after += new
            below = self.network.connected(layer, named, below, h_TSBH)
        times = self.scored(span)
        loss_NS = below.new_empty(0, self.network.lanes)
        if times:
            out = self.network.readout(named, below[[t - span.start for t in times]])
            loss_NS = loss_by_timestep(self.task.objective, out, self.y_TSB[times]).mean(2)
        return loss_NS, below, after


class _Recomputed(torch.autograd.Function):
    """Losses (N, S), and whether the last and all top states of every segment are finite, (K, 2, S)."""

    @staticmethod
    def forward(ctx: Any, run: _Segment, length: int, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        steps, lanes, batch, _ = run.x_TSBI.shape
        ctx.run, ctx.spans = run, [slice(t, min(t + length, steps)) for t in range(0, steps, length)]
        states = (
            [run.x_TSBI.new_zeros(lanes, batch, run.network.hidden)] * len(run.network.cell.states) * len(run.cells)
        )
        losses, finite, kept = [], [], list[Tensor]()
        for span in ctx.spans:
            kept += states
            loss_NS, top_TSBH, after = run(parameters, span, states)
            losses.append(loss_NS)
            # the largest size is NaN or infinite where a number is, and takes a twentieth of the time of asking each
            largest_2S = torch.stack([part.abs().amax((0, 2, 3)) for part in (top_TSBH[-1:], top_TSBH)])
            finite.append(largest_2S.isfinite())
            # copies: a view would keep the whole segment
            states = [state.clone() for state in after]
        ctx.save_for_backward(*parameters, *kept)
        finite_K2S = torch.stack(finite)
        ctx.mark_non_differentiable(finite_K2S)
        return torch.cat(losses), finite_K2S

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_loss_NS: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        run: _Segment = ctx.run
        each = len(run.network.cell.states) * len(run.cells)
        saved = ctx.saved_tensors
        count = len(saved) - each * len(ctx.spans)
        parameters = [part.detach().requires_grad_() for part in saved[:count]]
        sums, by_after, end = [torch.zeros_like(part) for part in parameters], list[Tensor](), len(by_loss_NS)
        for number, span in reversed(list(enumerate(ctx.spans))):
            states = saved[count + number * each : count + (number + 1) * each]
            before = [state.detach().requires_grad_() for state in states]
            with torch.enable_grad():
                loss_NS, _, after = run(parameters, span, before)
            rows = slice(end - len(loss_NS), end)
            given = [(loss_NS, by_loss_NS[rows])] if len(loss_NS) else []
            given += zip(after, by_after, strict=True) if by_after else []
            end = rows.start
            if not given:
                continue
            outputs, by_outputs = zip(*given, strict=True)
            found = torch.autograd.grad(outputs, [*parameters, *before], by_outputs, materialize_grads=True)
            by_after = list(found[count:])
            for total, part in zip(sums, found[:count], strict=True):
                total += part
        return None, None, *sums
