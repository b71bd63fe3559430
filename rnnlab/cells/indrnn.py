"""A network whose units hear only themselves."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Weights, affine, vectors_of
from rnnlab.inits.draws import Draws, LayerWeights


class IndRNN(Cell):
    """h' = phi(W_ih x + b_ih + u h), u a number a unit; units of one layer meet in the layer above.

    The Jacobian is diag(u phi'), so that |u|^T says all. u begins as U(0, 2^(1/T)) under every init, T the task's.
    There is no W_hh and no b_hh. Source: Li 2018, where |u| is held below 2^(1/T) in training too: here it is where
    `bound` is given.

    Args:
        activation: phi, relu in the source.
        bound: largest |u| that is used; None: any. Beyond it u has no gradient.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    recurrent: ClassVar[tuple[str, ...]] = ()
    vectors: ClassVar[tuple[str, ...]] = ("u",)
    reads_h: ClassVar[bool] = False

    def __init__(self, activation: Activation | None, bound: float | None = None) -> None:
        assert activation is not None
        self.activation = activation
        self.bound = bound

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        return (draws.uniform("vectors", 1, draws.hidden) + 1) / 2 * 2 ** (1 / length)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        (u,) = vectors_of(weights)
        u = u if self.bound is None else u.clamp(-self.bound, self.bound)
        return {"h": affine(weights.w_ih_SGI, weights.b_ih_SG, x_SBI) + u * state[0]}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.activation(self.pre_activations(weights, x_SBI, state)["h"]),)
