"""A network that discretises a stable equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, loop, summed
from rnnlab.cells.leaky import candidate
from rnnlab.inits.draws import Draws, LayerWeights


class Antisymmetric(Cell):
    """h' = h + eps phi(W_ih x + b_ih + (W_hh - W_hh^T - gamma I) h + b_hh).

    Every eigenvalue of W - W^T - gamma I has the real part -gamma, so that the flow which an Euler step of `eps`
    follows neither grows nor, but for gamma, forgets. With the init `default` W_hh is N(0, 1/H), W_ih N(0, 1/I),
    biases are 0. The matrix is made once a sequence. Source: Chang 2019, equation 10, without its gate.

    Args:
        activation: phi, tanh in the source.
        eps: size of a step. gamma: diffusion, which makes up for what an Euler step adds.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    makes_matrix: ClassVar[bool] = True

    def __init__(self, activation: Activation | None, eps: float = 0.1, gamma: float = 0.01) -> None:
        assert activation is not None
        self.activation = activation
        self.eps, self.gamma = eps, gamma
        self._folded = _Euler(activation, eps)

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        if own:
            layer.w_hh_GH = draws.hidden**-0.5 * draws.normal("weight_hh", draws.hidden, draws.hidden)
            layer.w_ih_GI = draws.inputs**-0.5 * draws.normal("weight_ih", draws.hidden, draws.inputs)
            layer.b_ih_G, layer.b_hh_G = draws.zero_biases()
        return super().begin(draws, layer, length, own)

    def matrix(self, w_hh_SHH: Tensor) -> Tensor:
        """W - W^T - gamma I."""
        eye_HH = torch.eye(w_hh_SHH.shape[-1], dtype=w_hh_SHH.dtype, device=w_hh_SHH.device)
        return w_hh_SHH - w_hh_SHH.transpose(1, 2) - self.gamma * eye_HH

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self._folded.step(self._fold(weights), x_SBI, state)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        return loop(self._folded, self._fold(weights), x_TSBI, probes)

    def folded(self, weights: Weights) -> tuple[Cell, Weights]:
        return self._folded, self._fold(weights)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {"h": summed(self._fold(weights), x_SBI, state[0])[0]}

    def _fold(self, weights: Weights) -> Weights:
        return weights._replace(w_hh_SGH=self.matrix(weights.w_hh_SGH))


class _Euler(Cell):
    """h' = h + eps phi(W_ih x + b_ih + W_hh h + b_hh)."""

    gates: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, activation: Activation, eps: float) -> None:
        self.activation, self.eps = activation, eps

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (state[0] + self.eps * candidate(self.activation, weights, x_SBI, state[0]),)
