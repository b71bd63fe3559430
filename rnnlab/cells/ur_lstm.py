"""The LSTM with a gate that refines its forget gate."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, Weights, summed
from rnnlab.inits.bias import uniform_gate
from rnnlab.inits.draws import Draws, LayerWeights


class URLSTM(Cell):
    """f, r, o = sigmoid(.), e = f + f (1 - f) (2 r - 1), c' = e c + (1 - e) tanh(.), h' = o tanh(c').

    The refine gate r moves f by at most f (1 - f), so that e lies between f² and 1 - (1 - f)², nearer to 0 and 1 than
    sigmoids learn to be. With the init `default` biases begin as by `uniform_gate`: b_f = logit(u) and b_r = -b_f,
    u ~ U(1/H, 1 - 1/H). Source: Gu 2020; there e is g, and the candidate is u.
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "r", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    anchor_state: ClassVar[str] = "c"
    writes: ClassVar[tuple[str, ...]] = ("r",)

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        if own:
            uniform_gate(draws, layer, length)
        return super().begin(draws, layer, length, own)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        f, r, g, o = summed(weights, x_SBI, state[0])
        return {"f": f, "r": r, "g": g, "o": o, "c": torch.lerp(torch.tanh(g), state[1], refined(f, r))}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return torch.sigmoid(a["o"]) * torch.tanh(a["c"]), a["c"]


def refined(f: Tensor, r: Tensor) -> Tensor:
    """The effective forget gate of two pre-activations: r f(2 - f) + (1 - r) f² with f, r their sigmoids."""
    f, r = torch.sigmoid(f), torch.sigmoid(r)
    return f + f * (1 - f) * (2 * r - 1)
