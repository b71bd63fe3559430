"""The LSTM with a forget gate alone."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Weights, summed


class JANET(Cell):
    """h' = sigmoid(a_f) h + (1 - sigmoid(a_f - beta)) tanh(a_g): the memory c is h, and no gate stands before it.

    Made for the bias init `chrono`, which its source always uses. Source: van der Westhuizen & Lasenby 2018.

    Args:
        beta: how much more is written than is forgotten; 0 couples the two.
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "g")

    def __init__(self, activation: Activation | None = None, beta: float = 1.0) -> None:
        super().__init__(activation)
        self.beta = beta

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        f, g = summed(weights, x_SBI, state[0])
        return (torch.sigmoid(f) * state[0] + torch.sigmoid(self.beta - f) * torch.tanh(g),)
