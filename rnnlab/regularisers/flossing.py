"""Lyapunov exponents that should be 0."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.model import Network
from rnnlab.probes.lyapunov import slots_at
from rnnlab.regularisers.base import Regulariser, Seen
from rnnlab.training.seeding import generator_for


class GradientFlossing(Regulariser):
    """weight / M sum_i lambda_i², lambda_i the M leading Lyapunov exponents over the sequences read, in nats a step.

    The exponents are those of `rnnlab.probes.lyapunov` (QR of products of Jacobians of the whole state in evaluation),
    in float64, and autograd goes through states, Jacobians and QR. The first `before` updates follow it alone, with
    the trial's own optimiser and clip, and count in its budget, so that budgets stay comparable (the authors floss
    before training with an Adam of their own); from then on it joins every `every`-th update. The value is the mean
    over the sequences of the squares of each sequence's exponents. Cost: of such an update T steps with M tangents a
    sequence and a QR each, and back. A direction that is lost exactly has no exponent, and the lane diverges: so the
    activations that go flat are not accepted. The authors' 75 of 80 exponents are few or many here as one likes;
    with many the trailing ones need many updates.

    Args:
        before, every: updates, see above. exponents: M. weight: its weight.
        sequences: of the batch, so many are followed.

    Source: Engelken 2023, equations 5 to 7.
    """

    def __init__(
        self, before: int = 100, every: int = 0, exponents: int = 8, weight: float = 1.0, sequences: int = 4
    ) -> None:
        self.before, self.every, self.exponents = before, every, exponents
        self.weight, self.sequences = weight, sequences

    def acts(self, update: int) -> bool:
        after = update - self.before
        return after <= 0 or (self.every > 0 and after % self.every == 0)

    def alone(self, update: int) -> bool:
        return update <= self.before

    def gradient(self, seen: Seen) -> tuple[Tensor, Tensor] | None:
        if not self.acts(seen.update):
            return None
        theta_SP = seen.network.theta.detach().double().requires_grad_()
        x_TSBI = seen.x_TSBI[:, :, : self.sequences].double()
        with torch.enable_grad():
            exponents_SBM = exponents_of(seen.network, x_TSBI, theta_SP, self.exponents)
            value_S = self.weight * exponents_SBM.square().mean((1, 2))
        if not value_S.requires_grad:  # a single timestep has no Jacobian
            return value_S, torch.zeros_like(seen.network.theta)
        (g_SP,) = torch.autograd.grad(value_S.sum(), [theta_SP])
        return value_S.detach(), g_SP.to(seen.network.theta.dtype)


def exponents_of(network: Network, x_TSBI: Tensor, theta_SP: Tensor, count: int) -> Tensor:
    """The `count` leading exponents of every sequence, (S, B, M), differentiable with respect to theta.

    Equal to `rnnlab.probes.lyapunov.lyapunov_exponents` in the mean over B; the frame begins the same.
    """
    names, layers, named = network.cell.states, network.layers(theta_SP), network.named(theta_SP)
    steps, lanes, batch, _ = x_TSBI.shape
    size, each = network.hidden, len(names)
    strides = [network.architecture.stride(layer) for layer in range(network.depth)]
    blocks = sum(strides) * each
    count = min(count, blocks * size)
    draws = torch.randn(blocks * size, count, dtype=x_TSBI.dtype, generator=generator_for("lyapunov"))
    q_SBDM = torch.linalg.qr(draws)[0].to(x_TSBI.device).expand(lanes, batch, -1, -1)
    # the states of a block, each sequence there once for each of the M tangents
    z = [x_TSBI.new_zeros(lanes, batch * count, size) for _ in range(blocks)]
    sums_SBM = x_TSBI.new_zeros(lanes, batch, count)
    for t in range(steps):
        rows = slots_at(strides, each, t)
        # copies: the path from one state of a timestep to another of it (c to h) is none of this step's
        starts = [z[row].clone() if z[row].requires_grad else z[row].requires_grad_() for row in rows]
        below, after = x_TSBI[t].repeat_interleave(count, 1), list[Tensor]()
        for layer, weights in enumerate(layers):
            new = network.cell.step(weights, below, tuple(starts[layer * each : (layer + 1) * each]))
            below = network.connected(layer, named, below, new[0])
            after += new
        if t:
            tangents = list(
                q_SBDM.reshape(lanes, batch, -1, size, count).permute(2, 0, 1, 4, 3).flatten(2, 3).unbind(0)
            )
            # g(u) = J^T u is linear in u, so its own derivative at the tangents is J times them
            u = [torch.zeros_like(part).requires_grad_() for part in after]
            g = torch.autograd.grad(after, starts, u, create_graph=True, materialize_grads=True)
            moved = torch.autograd.grad(
                g, u, [tangents[row] for row in rows], create_graph=True, materialize_grads=True
            )
            for row, tangent in zip(rows, moved, strict=True):
                tangents[row] = tangent
            z_SBDM = torch.stack(tangents).view(-1, lanes, batch, count, size).permute(1, 2, 0, 4, 3).flatten(2, 3)
            q_SBDM, r_SBMM = torch.linalg.qr(z_SBDM)
            sums_SBM = sums_SBM + r_SBMM.diagonal(dim1=-2, dim2=-1).abs().log()
        for row, part in zip(rows, after, strict=True):
            z[row] = part
    return sums_SBM / max(1, steps - 1)
