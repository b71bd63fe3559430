"""The LSTM without a forget gate."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, Weights, summed


class NFG(Cell):
    """i, o = sigmoid(.), g = tanh(.), c' = c + i g, h' = o tanh(c'): the LSTM with f = 1, so that c forgets nothing.

    The path from c to c' alone hands a gradient back unchanged; c grows up to 1 a step, and tanh(c) goes flat over long
    sequences. Source: Greff 2017 ("no forget gate", there with peepholes); in essence Hochreiter & Schmidhuber 1997.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    anchor_state: ClassVar[str] = "c"

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        i, g, o = summed(weights, x_SBI, state[0])
        return {"i": i, "g": g, "o": o, "c": torch.addcmul(state[1], torch.sigmoid(i), torch.tanh(g))}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return torch.sigmoid(a["o"]) * torch.tanh(a["c"]), a["c"]
