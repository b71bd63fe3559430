"""What every probe of one update may read: the network's weights in float64, a fixed batch, one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
class Passed:
    """A forward pass from which gradients are taken, as often as wanted.

    Args:
        inputs_TSBI: x, whose gradient is wanted. probes: zeros by layer and state. states: all states by layer.
    """

    inputs_TSBI: Tensor
    probes: list[dict[str, Tensor]]
    states: list[States]

    @property
    def flat(self) -> list[Tensor]:
        """All probes, bottom layer first."""
        return [probe for layer in self.probes for probe in layer.values()]

    def by_state(self, found: Iterator[Tensor]) -> list[dict[str, Tensor]]:
        """Gradients in the order of `flat`, by layer and state."""
        return [{state: next(found) for state in layer} for layer in self.probes]


def passed(network: Network, x_TSBI: Tensor, theta_SP: Tensor) -> Passed:
    """Run a network with a probe at every state and the inputs' gradient wanted."""
    x = x_TSBI.detach().clone().requires_grad_()
    probes = zero_probes(network, x)
    return Passed(x, probes, network.states(x, theta_SP, probes))


@dataclass(frozen=True)
class ProbeContext:
    """One update's probes share this, and with it one forward pass.

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
        """The same of the losses at these timesteps alone: one backward pass."""
        wanted = [self.passed.inputs_TSBI, *self.passed.flat]
        summed = self._loss_TSB[list(positions)].sum()
        found = iter(torch.autograd.grad(summed, wanted, retain_graph=True, materialize_grads=True))
        dx = next(found)
        return Gradients(self.passed.by_state(found), dx, self._loss_TSB.detach())

    @cached_property
    def passed(self) -> Passed:
        """The forward pass of the batch that all gradients are taken from."""
        return passed(self.network, self.x_TSBI, self.theta_SP)

    @cached_property
    def _loss_TSB(self) -> Tensor:
        network, theta = self.network, self.theta_SP
        out = network.read(network.reads(self.passed.inputs_TSBI, self.passed.states, theta)[-1], theta)
        y = self.batch.y_TN[:, None]
        return loss_by_timestep(self.task.objective, out, y.double() if y.is_floating_point() else y)

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
