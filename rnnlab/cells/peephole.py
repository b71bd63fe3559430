"""The LSTM whose gates see the memory."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, Weights, summed, vectors_of
from rnnlab.inits.draws import Draws, LayerWeights


class Peephole(Cell):
    """i, f = sigmoid(. + p c), c' = f c + i tanh(.), o = sigmoid(. + p_o c'), h' = o tanh(c'); p a number a unit.

    With p = 0 it is the LSTM. The peepholes begin as U(±1/√H) with the init `default`, at 0 with others.
    Source: Gers & Schmidhuber 2000; the formulas of Graves 2013, with torch's gate order i, f, g, o.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    vectors: ClassVar[tuple[str, ...]] = ("p_i", "p_f", "p_o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    anchor_state: ClassVar[str] = "c"

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        bound = own * draws.hidden**-0.5
        p_VH: Tensor = bound * draws.uniform("vectors", 3, draws.hidden)
        return p_VH

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        h_SBH, c_SBH = state
        i, f, g, o = summed(weights, x_SBI, h_SBH)
        p_i, p_f, p_o = vectors_of(weights)
        i, f = i + p_i * c_SBH, f + p_f * c_SBH
        c_SBH = torch.sigmoid(f) * c_SBH + torch.sigmoid(i) * torch.tanh(g)
        return {"i": i, "f": f, "g": g, "o": o + p_o * c_SBH, "c": c_SBH}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return torch.sigmoid(a["o"]) * torch.tanh(a["c"]), a["c"]
