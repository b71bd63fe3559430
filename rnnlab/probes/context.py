"""What every probe of one update may read: the network's weights in float64, a fixed batch, one backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rnnlab.cells.base import States
from rnnlab.model import Network
from rnnlab.tasks.base import Batch, Task, loss_by_timestep


@dataclass(frozen=True)
class Gradients:
    """Exact gradients of the summed loss of each sequence, by layer and state, and at the inputs."""

    states: list[dict[str, Tensor]]
    """Total dL/ds_t, each (T, S, B, H), bottom layer first."""
    inputs_TSBI: Tensor
    loss_TSB: Tensor
    """Loss of the readout at every timestep, wherever the task's loss looks."""


def zero_probes(network: Network, x_TSBI: Tensor) -> list[dict[str, Tensor]]:
    """Zeros for every layer and state (T, S, B, H), with gradients wanted."""
    steps, _, batch, _ = x_TSBI.shape
    shape = (steps, network.lanes, batch, network.hidden)
    return [
        {state: x_TSBI.new_zeros(shape).requires_grad_() for state in network.cell.states} for _ in range(network.depth)
    ]


@dataclass(frozen=True)
class ProbeContext:
    """One update's probes share this, and with it one forward and backward pass.

    Args:
        network: whose parameters are measured, in evaluation mode.
        task: for the loss.
        batch: the fixed validation sequences (T, B, I), the same for every lane.
        update: updates done so far.
    """

    network: Network
    task: Task
    batch: Batch
    update: int

    @cached_property
    def theta_SP(self) -> Tensor:
        """The parameters in float64, cut off from training."""
        return self.network.theta.detach().double()

    @cached_property
    def x_TSBI(self) -> Tensor:
        """The batch over the lanes, float64."""
        return self.batch.x_TNI.double()[:, None].expand(-1, self.network.lanes, -1, -1)

    @cached_property
    def gradients(self) -> Gradients:
        """G1 and its like: dL/ds_t with L the sum over the task's loss positions, of each sequence alone.

        The mean over B and over positions is undone, so that norms do not depend on how a loss is averaged.
        """
        return self.gradients_of(self.task.positions)

    def gradients_of(self, positions: Sequence[int]) -> Gradients:
        """The same of the losses at these timesteps alone: one forward and one backward pass."""
        x = self.x_TSBI.clone().requires_grad_()
        probes = zero_probes(self.network, x)
        seen: list[States] = self.network.states(x, self.theta_SP, probes)
        out = self.network.read(self.network.reads(x, seen, self.theta_SP)[-1], self.theta_SP)
        y = self.batch.y_TN[:, None]
        y = y.double() if y.is_floating_point() else y
        loss_TSB = loss_by_timestep(self.task.objective, out, y)
        flat = [probe for layer in probes for probe in layer.values()]
        found = iter(torch.autograd.grad(loss_TSB[list(positions)].sum(), [x, *flat], materialize_grads=True))
        dx = next(found)
        states = [{state: next(found) for state in layer} for layer in probes]
        return Gradients(states, dx, loss_TSB.detach())

    @cached_property
    def states(self) -> list[States]:
        """All states of all layers, bottom first, each (T, S, B, H), without gradients."""
        with torch.no_grad():
            return self.network.states(self.x_TSBI, self.theta_SP)

    def below(self, layer: int) -> Tensor:
        """What a layer reads: (T, S, B, I), the inputs or what stands between it and the layer under it."""
        return self._reads[layer]

    @cached_property
    def _reads(self) -> list[Tensor]:
        with torch.no_grad():
            return self.network.reads(self.x_TSBI, self.states, self.theta_SP)


def before(state_TSBH: Tensor, stride: int = 1) -> Tensor:
    """A state `stride` timesteps earlier, 0 before the first: (T, S, B, H)."""
    return torch.cat([torch.zeros_like(state_TSBH[:stride]), state_TSBH[:-stride]])
