"""The gated recurrent unit with the reset before the product."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, Weights, affine


class GRUv1(Cell):
    """r, z = sigmoid(.), n = tanh(W_in x + b_in + W_hn (r h) + b_hn), h' = (1 - z) n + z h.

    The reset acts on h before the product and not, as in torch.nn.GRU, on what came of it; else torch's names, order
    and z, which keeps. Source: Cho 2014 (v1 of 1406.1078; its z keeps too).
    """

    gates: ClassVar[tuple[str, ...]] = ("r", "z", "n")
    reads_h: ClassVar[bool] = False

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        (h_SBH,) = state
        size = h_SBH.shape[-1]
        x_rz, x_n = torch.split(affine(w_ih, b_ih, x_SBI), [2 * size, size], -1)
        r, z = (x_rz + affine(w_hh[:, : 2 * size], b_hh[:, : 2 * size], h_SBH)).chunk(2, -1)
        h_n = affine(w_hh[:, 2 * size :], b_hh[:, 2 * size :], torch.sigmoid(r) * h_SBH)
        return {"r": r, "z": z, "n": x_n + h_n}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return (torch.lerp(torch.tanh(a["n"]), state[0], torch.sigmoid(a["z"])),)
