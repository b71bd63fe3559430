"""The minimal gated unit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, Weights, affine


class MGU(Cell):
    """f = sigmoid(W x + b + W' h + b'), n = tanh(W_n x + b_n + W'_n (f h) + b'_n), h' = (1 - f) h + f n.

    A GRU whose one gate both resets and updates. f writes, so that 1 - f keeps: `chrono` and `uniform_gate` give it
    the sign opposite to that of a forget gate. Source: Zhou 2016.
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "n")
    writes: ClassVar[tuple[str, ...]] = ("f",)
    reads_h: ClassVar[bool] = False

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        (h_SBH,) = state
        size = h_SBH.shape[-1]
        x_f, x_n = affine(w_ih, b_ih, x_SBI).chunk(2, -1)
        f = x_f + affine(w_hh[:, :size], b_hh[:, :size], h_SBH)
        return {"f": f, "n": x_n + affine(w_hh[:, size:], b_hh[:, size:], torch.sigmoid(f) * h_SBH)}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return (torch.lerp(state[0], torch.tanh(a["n"]), torch.sigmoid(a["f"])),)
