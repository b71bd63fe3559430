"""One update of all lanes: loss, gradient, finiteness, clip, optimiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlab.cells.base import Limit
from rnnlab.clipping.base import Clip, row_norm
from rnnlab.model import Network
from rnnlab.regularisers.base import Regulariser, Seen
from rnnlab.regularisers.none import NoRegulariser
from rnnlab.tasks.base import Batch, Task, correct_by_timestep, loss_by_timestep
from rnnlab.training.optimiser import Optimiser
from rnnlab.training.recompute import Length, recomputed_loss
from rnnlab.training.subnormal import flushed

SQUARED = 1e18
"""Norm of a gradient whose entries float32 may not be able to square."""
CHUNK = 256
"""Sequences evaluated at once: bounds memory on long tasks."""
TOGETHER = 32
"""Lanes beyond which fewer sequences are, for the same reason."""


@dataclass(frozen=True)
class Step:
    """What one update came to, every field (S,), on the CPU.

    Args:
        loss_S: training loss. norm_S: gradient norm before clipping, float64, 0 in lanes that are not alive.
        applied_S: after clipping. kept_S: what the clip left of the norm, 1 where it did nothing.
        failed: lanes that went non-finite at this update, by cause. skipped_S: those whose clip lets them live on.
        penalty_S: the regulariser's value; None where it did nothing.
    """

    loss_S: Tensor
    norm_S: Tensor
    applied_S: Tensor
    kept_S: Tensor
    failed: dict[str, Tensor]
    skipped_S: Tensor
    penalty_S: Tensor | None = None


def training_loss(
    network: Network,
    task: Task,
    x_TSBI: Tensor,
    y_TSB: Tensor,
    limit: Limit | None = None,
    noise: Sequence[torch.Generator] | None = None,
    probes: Sequence[Tensor] | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Loss of every lane (S,), what the readout reads at every timestep, and h of every layer, (T, S, B, H).

    Args:
        limit, noise, probes: as `Network.run` has them.
    """
    hidden, h_TSBH = network.run(x_TSBI, None, probes, limit, noise)
    scored, y = _at(task.positions, h_TSBH), _at(task.positions, y_TSB)
    loss_TS = loss_by_timestep(task.objective, network.read(scored), y).mean(2)
    return task.combined(loss_TS), h_TSBH, hidden


def _at(positions: list[int], full_T: Tensor) -> Tensor:
    """These timesteps, ascending; no copy where they are all."""
    return full_T if len(positions) == len(full_T) else full_T[positions]


@flushed()
def update(
    network: Network,
    task: Task,
    optimiser: Optimiser,
    clip: Clip,
    batches: list[Batch],
    alive_S: Tensor,
    *,
    regulariser: Regulariser | None = None,
    noise: Sequence[torch.Generator] | None = None,
    number: int = 1,
    checkpointing: Length | None = None,
) -> Step:
    """One update of the lanes that are alive, from a batch a lane, on the network's device.

    Finiteness is checked before clipping: with one inf, clipping by norm makes zeros and NaN, and a NaN
    spoils every entry (SCIENCE.md 1.3). A lane that fails there is left as it was before this update. Subnormal numbers
    are 0 in an update.

    Args:
        regulariser: what is added to the gradient before all that. noise: what masks are drawn from.
        number: of the update; the first is 1.
        checkpointing: timesteps of a segment whose activations are computed again; None: all are kept. With it there
            is neither a regulariser nor a clip that limits delta_t.
    """
    device = network.theta.device
    x_TSBI = torch.stack([batch.x_TNI for batch in batches], 1).to(device)
    y_TSB = torch.stack([batch.y_TN for batch in batches], 1).to(device)
    alive_S = alive_S.to(device)
    if checkpointing is None:
        regulariser = regulariser or NoRegulariser()
        found = _kept(network, task, x_TSBI, y_TSB, clip.limit(), regulariser, noise, number)
    else:
        found = _recomputed(network, task, x_TSBI, y_TSB, checkpointing, noise)
    loss_S, g_SP, penalty_S = found.loss_S, found.g_SP, found.penalty_S
    with torch.no_grad():
        norm_S = row_norm(g_SP)
        failed: dict[str, Tensor] = {}
        moving_S = alive_S.clone()
        state_S = found.last_S
        if not (state_S & norm_S.isfinite()).all():  # relu may take an infinite state back to 0 before the last one
            state_S = found.everywhere_S()
        for cause, fine_S in (
            ("state", state_S),
            ("loss", loss_S.isfinite()),
            ("gradient", norm_S.isfinite()),
        ):
            failed[cause] = moving_S & ~fine_S
            moving_S &= fine_S
        skipped_S = torch.zeros_like(alive_S)
        if clip.skips:
            skipped_S, failed = alive_S & ~moving_S, {}
        if not moving_S.all():
            g_SP = torch.where(moving_S[:, None], g_SP, 0.0)
            norm_S = torch.where(moving_S, norm_S, 0.0)
        g_SP = clip(g_SP, norm_S)
        applied_S = row_norm(g_SP)
        kept_S = torch.where(skipped_S, 0.0, clip.kept(norm_S, applied_S))
        optimiser.step(g_SP, moving_S)
        if bool((applied_S > SQUARED).any()):
            failed["optimiser"] = moving_S & ~_finite(optimiser)
    # a loss that is not finite is no number to go on with
    loss_S = torch.where(skipped_S, torch.nan, loss_S.detach())
    penalty_S = None if penalty_S is None else penalty_S.detach().double()
    failed = {cause: lanes_S.cpu() for cause, lanes_S in failed.items()}
    penalty_S = None if penalty_S is None else penalty_S.cpu()
    return Step(loss_S.cpu(), norm_S.cpu(), applied_S.cpu(), kept_S.cpu(), failed, skipped_S.cpu(), penalty_S)


@dataclass(frozen=True)
class _Found:
    """Loss and gradient of one update, and whether states are finite: the last ones, and all of them."""

    loss_S: Tensor
    g_SP: Tensor
    last_S: Tensor
    everywhere_S: Callable[[], Tensor]
    penalty_S: Tensor | None = None


def _kept(
    network: Network,
    task: Task,
    x_TSBI: Tensor,
    y_TSB: Tensor,
    limit: Limit | None,
    regulariser: Regulariser,
    noise: Sequence[torch.Generator] | None,
    number: int,
) -> _Found:
    """With every activation kept for the backward pass."""
    probes: list[Tensor] = []
    if regulariser.wants_totals:
        shape = (len(x_TSBI), network.lanes, x_TSBI.shape[2], network.hidden)
        probes = [x_TSBI.new_zeros(shape).requires_grad_() for _ in range(network.depth)]
    loss_S, h_TSBH, hidden = training_loss(network, task, x_TSBI, y_TSB, limit, noise, probes or None)
    penalty_S = regulariser.penalty(hidden)
    whole_S = loss_S * 0.0 if regulariser.alone(number) else loss_S
    whole_S = whole_S if penalty_S is None else whole_S + penalty_S
    g_SP, *totals = torch.autograd.grad(whole_S.sum(), [network.theta, *probes])
    added = regulariser.gradient(Seen(network, x_TSBI, [h.detach() for h in hidden], totals, number))
    if added is not None:
        g_SP = g_SP + added[1]
        penalty_S = added[0] if penalty_S is None else penalty_S + added[0]
    h_TSBH = h_TSBH.detach()
    last_S = h_TSBH[-1].isfinite().all(2).all(1)
    return _Found(loss_S, g_SP, last_S, lambda: h_TSBH.isfinite().all(3).all(2).all(0), penalty_S)


def _recomputed(
    network: Network,
    task: Task,
    x_TSBI: Tensor,
    y_TSB: Tensor,
    length: Length,
    noise: Sequence[torch.Generator] | None,
) -> _Found:
    """With the activations of one segment at a time."""
    passed = recomputed_loss(network, task, x_TSBI, y_TSB, length, noise)
    (g_SP,) = torch.autograd.grad(passed.loss_S.sum(), [network.theta])
    return _Found(passed.loss_S, g_SP, passed.last_S, lambda: passed.finite_S)


def _finite(optimiser: Optimiser) -> Tensor:
    """Lanes whose running means all are finite, (S,). An infinite mean of squares stops a lane without a word."""
    numbers = [value for value in vars(optimiser).values() if isinstance(value, Tensor)]
    return torch.stack([value.isfinite().all(1) for value in numbers]).all(0)


@dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy of every lane on one split, float64 (S,), on the CPU; accuracy None for mse without a
    tolerance."""

    loss_S: Tensor
    accuracy_S: Tensor | None


@torch.no_grad()
def evaluate(network: Network, task: Task, batch: Batch) -> Evaluation:
    """Loss as the task combines it, and the share of right classes, over all sequences of a split."""
    losses, rights = [], []
    chunk = max(1, min(CHUNK, CHUNK * TOGETHER // network.lanes))
    for start in range(0, batch.x_TNI.shape[1], chunk):
        part = slice(start, start + chunk)
        h_TSBH, y = network.top(batch.x_TNI[:, None, part]), batch.y_TN[:, None, part]
        out, asked = network.read(_at(task.positions, h_TSBH)), _at(task.positions, y)
        losses.append(task.combined(loss_by_timestep(task.objective, out, asked).double()))
        if task.accuracy_positions != task.positions:
            out, asked = network.read(_at(task.accuracy_positions, h_TSBH)), _at(task.accuracy_positions, y)
        right = correct_by_timestep(task.objective, out, asked, task.tolerance)
        if right is not None:
            rights.append(right.double().mean(0))
    accuracy_S = torch.cat(rights, 1).mean(1).cpu() if rights else None
    return Evaluation(torch.cat(losses, 1).mean(1).cpu(), accuracy_S)
