"""A leaky network with a time of its own for every unit."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Weights, vectors_of
from rnnlab.cells.leaky import candidate
from rnnlab.inits.draws import Draws, LayerWeights

LEAST = 1e-3
"""How far a time lies above 1 at the least, when it begins: at 1 its parameter is infinite."""


class Multiscale(Cell):
    """h' = (1 - 1/tau) h + phi(.) / tau, unit by unit, tau log-uniform on [1, tau_max] at the start.

    So a layer remembers over many times at once. The parameter is log(tau - 1), which keeps 1/tau = sigmoid(-.)
    between 0 and 1 however it is trained. Source: Mozer 1992, where tau is chosen and not learned.

    Args:
        activation: phi.
        tau_max: the longest time at the start, in steps; None: the task's T.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    vectors: ClassVar[tuple[str, ...]] = ("log_tau_less_1",)

    def __init__(self, activation: Activation | None, tau_max: float | None = None) -> None:
        assert activation is not None
        self.activation = activation
        self.tau_max = tau_max

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        uniform = (draws.uniform("vectors", 1, draws.hidden) + 1) / 2
        tau = torch.exp(uniform * math.log(self.tau_max or max(2, length)))
        return (tau - 1).clamp(min=LEAST).log()

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (log_tau_less_1,) = vectors_of(weights)
        new = candidate(self.activation, weights, x_SBI, state[0])
        return (torch.lerp(state[0], new, torch.sigmoid(-log_tau_less_1).expand_as(new)),)
