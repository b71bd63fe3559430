"""Recurrences with their pre-activations normalised over a layer's units."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Weights, vectors_of
from rnnlab.inits.draws import Draws, LayerWeights

EPS = 1e-5
"""Added to a variance before its root is taken."""


def normed(a: Tensor) -> Tensor:
    """a less its mean, over its standard deviation, along the last axis."""
    return layer_norm(a, a.shape[-1:], eps=EPS)


def both(weights: Weights, x_SBI: Tensor, h_SBH: Tensor, gains: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """g_x LN(W_ih x) + b_ih and g_h LN(W_hh h) + b_hh, each (S, B, G) and normalised over all of G.

    Args:
        gains: g_x and then g_h, a vector (S, 1, H) for each block.
    """
    w_ih, w_hh, b_ih, b_hh, _ = weights
    half = len(gains) // 2
    from_x = normed(x_SBI @ w_ih.transpose(1, 2)) * torch.cat(gains[:half], -1) + b_ih[:, None]
    from_h = normed(h_SBH @ w_hh.transpose(1, 2)) * torch.cat(gains[half:], -1) + b_hh[:, None]
    return from_x, from_h


class LayerNormRNN(Cell):
    """h' = phi(g LN(W_ih x + W_hh h) + b_ih + b_hh), LN over the H units; g begins at 1. Source: Ba 2016, equation 4.

    However large W_hh is, pre-activations keep their size. At H = 1 the norm leaves nothing.

    Args:
        activation: phi.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    vectors: ClassVar[tuple[str, ...]] = ("gain",)
    reads_h: ClassVar[bool] = False

    def __init__(self, activation: Activation | None) -> None:
        assert activation is not None
        self.activation = activation

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        return torch.ones(len(self.vectors), draws.hidden, dtype=torch.float64)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        (gain,) = vectors_of(weights)
        a = x_SBI @ w_ih.transpose(1, 2) + state[0] @ w_hh.transpose(1, 2)
        return {"h": gain * normed(a) + (b_ih + b_hh)[:, None]}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.activation(self.pre_activations(weights, x_SBI, state)["h"]),)


class LayerNormLSTM(Cell):
    """i, f, g, o of g_x LN(W_ih x) + b_ih + g_h LN(W_hh h) + b_hh, c' = f c + i g, h' = o tanh(g_c LN(c') + b_c).

    The first two norms are over the rows of all four gates together, the third over H; gains begin at 1, b_c at 0.
    Source: Ba 2016, equations 20 to 22, whose beta are torch's two biases here.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    vectors: ClassVar[tuple[str, ...]] = (
        *(f"gain_{side}{gate}" for side in "xh" for gate in "ifgo"),
        "gain_c",
        "bias_c",
    )
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    anchor_state: ClassVar[str] = "c"
    reads_h: ClassVar[bool] = False

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        vectors_VH = torch.ones(len(self.vectors), draws.hidden, dtype=torch.float64)
        vectors_VH[-1] = 0
        return vectors_VH

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        *gains, gain_c, bias_c = vectors_of(weights)
        from_x, from_h = both(weights, x_SBI, state[0], tuple(gains))
        i, f, g, o = (from_x + from_h).chunk(4, -1)
        c_SBH = self._memory(i, f, g, state[1])
        return {"i": i, "f": f, "g": g, "o": o, "c": gain_c * normed(c_SBH) + bias_c}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        h_SBH = torch.sigmoid(a["o"]) * torch.tanh(a["c"])
        return h_SBH, self._memory(a["i"], a["f"], a["g"], state[1])

    def _memory(self, i: Tensor, f: Tensor, g: Tensor, c_SBH: Tensor) -> Tensor:
        return torch.sigmoid(f) * c_SBH + torch.sigmoid(i) * torch.tanh(g)


class LayerNormGRU(Cell):
    """r, z = sigmoid(x part + h part), n = tanh(x part + r h part), h' = (1 - z) n + z h.

    A part is g LN(W .) + b, with the norm of r and z together and that of n alone; gains begin at 1. z keeps, as in
    torch.nn.GRU. Source: Ba 2016, supplementary equations of the GRU, whose z writes.
    """

    gates: ClassVar[tuple[str, ...]] = ("r", "z", "n")
    vectors: ClassVar[tuple[str, ...]] = tuple(f"gain_{side}{gate}" for side in "xh" for gate in "rzn")
    reads_h: ClassVar[bool] = False

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        return torch.ones(len(self.vectors), draws.hidden, dtype=torch.float64)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        rows = 2 * state[0].shape[-1]
        gains = vectors_of(weights)
        first, last = (Weights(*(w[:, part] for w in weights[:4])) for part in (slice(rows), slice(rows, None)))
        from_x, from_h = both(first, x_SBI, state[0], (*gains[:2], *gains[3:5]))
        r, z = (from_x + from_h).chunk(2, -1)
        x_n, h_n = both(last, x_SBI, state[0], (gains[2], gains[5]))
        return {"r": r, "z": z, "n": x_n + torch.sigmoid(r) * h_n}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = self.pre_activations(weights, x_SBI, state)
        return (torch.lerp(torch.tanh(a["n"]), state[0], torch.sigmoid(a["z"])),)
