"""The LSTM with exponential gates and a normaliser."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Weights, summed

Forget = Literal["sigmoid", "exp"]


class SLSTM(Cell):
    """c' = f c + i tanh(.), n' = f n + i, h' = sigmoid(o) c' / n', with i = e^(a_i) and f = sigmoid(a_f) or e^(a_f).

    Kept within range by m' = max(log f + m, a_i): what is stored are c e^-m and n e^-m, so that h does not depend on m
    beyond rounding, and m can be read as the logarithm of the strongest thing written so far. One head, so W_hh is
    dense; without the block's convolution, norm and projections. The first step, where n = 0, takes m' = a_i, so the
    stored n is never below 1. Verdicts read the stored c. Source: Beck 2024 (xLSTM).

    Args:
        forget: what makes the forget gate of its pre-activation.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c", "n", "m")
    anchor_state: ClassVar[str] = "c"

    def __init__(self, activation: Activation | None = None, forget: Forget = "sigmoid") -> None:
        super().__init__(activation)
        self.forget: Forget = forget

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        _, f, g, o = summed(weights, x_SBI, state[0])
        return {"f": f, "g": g, "o": o} if self.forget == "sigmoid" else {"g": g, "o": o}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        h, c, n, m = state
        i, f, g, o = summed(weights, x_SBI, h)
        log_f = logsigmoid(f) if self.forget == "sigmoid" else f
        kept = torch.where(n == 0, -torch.inf, log_f + m)
        m = torch.maximum(kept, i)
        share, new = torch.exp(kept - m), torch.exp(i - m)
        c = share * c + new * torch.tanh(g)
        n = share * n + new
        return torch.sigmoid(o) * c / n, c, n, m
