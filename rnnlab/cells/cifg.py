"""The LSTM with one gate for forgetting and writing."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, Weights, summed


class CIFG(Cell):
    """f, o = sigmoid(.), g = tanh(.), c' = f c + (1 - f) g, h' = o tanh(c'): the LSTM with i = 1 - f.

    c stays within -1 and 1. Source: Greff 2017 ("coupled input and forget gate"; there f = 1 - i).
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    anchor_state: ClassVar[str] = "c"

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        f, g, o = summed(weights, x_SBI, state[0])
        return {"f": f, "g": g, "o": o, "c": torch.lerp(torch.tanh(g), state[1], torch.sigmoid(f))}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return torch.sigmoid(a["o"]) * torch.tanh(a["c"]), a["c"]
