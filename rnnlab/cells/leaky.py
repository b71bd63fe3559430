"""A plain recurrent network whose units keep a share of what they hold."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Weights, affine


class Leaky(Cell):
    """h' = (1 - alpha) h + alpha phi(W_ih x + b_ih + W_hh h + b_hh); alpha = 1 is the plain RNN.

    A unit forgets over 1 / alpha steps, whatever W_hh does. Source: Jaeger 2007, leaky integrator neurons.

    Args:
        activation: phi.
        alpha: leak, over 0 and at most 1.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, activation: Activation | None, alpha: float = 0.1) -> None:
        assert activation is not None
        self.activation = activation
        self.alpha = alpha

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return ((1 - self.alpha) * state[0] + self.alpha * candidate(self.activation, weights, x_SBI, state[0]),)


def candidate(activation: Activation, weights: Weights, x_SBI: Tensor, h_SBH: Tensor) -> Tensor:
    """phi(W_ih x + b_ih + W_hh h + b_hh), where an activation may take b_hh for its own: what a plain RNN does."""
    phi, b_hh = activation.bound(weights.b_hh_SG)
    return phi(affine(weights.w_ih_SGI, weights.b_ih_SG, x_SBI) + affine(weights.w_hh_SGH, b_hh, h_SBH))
