"""Rotations of pairs of units."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from rnnlab.inits.draws import Draws, LayerWeights

Angles = Literal["henaff", "cayley"]


def rotation(draws: Draws, angles: Angles = "henaff") -> LayerWeights:
    """W_hh turns each pair of units (1, 2), (3, 4), ... by an angle of its own; W_ih as glorot, biases 0.

    An orthogonal matrix whose eigenvalues are e^(±i angle); of an odd H the last unit keeps its value.

    Args:
        angles: `henaff`: U(-pi, pi), W = exp(A), A skew with the angles. `cayley`: U(0, pi/2), slower turns,
            W = (I + A)^-1 (I - A), A skew with s = -√((1 - cos t) / (1 + cos t)) = -tan(t/2).

    Sources: Henaff 2016; Helfrich 2018; both as in the code of Lezcano-Casado 2019.
    """
    return LayerWeights(draws.glorot_inputs(), turned(turns(draws, angles), draws.hidden), *draws.zero_biases())


def turns(draws: Draws, angles: Angles) -> Tensor:
    """The angles of H // 2 pairs, radians."""
    uniform = draws.uniform("rotation", draws.hidden // 2)
    turn: Tensor = math.pi * uniform if angles == "henaff" else math.pi / 4 * (uniform + 1)
    return turn


def turned(turn: Tensor, size: int) -> Tensor:
    """The rotation (H, H) that takes unit 2i to cos t_i of itself and -sin t_i of unit 2i + 1."""
    cos, sin = turn.cos(), turn.sin()
    w_HH = torch.eye(size, dtype=turn.dtype)
    even = torch.arange(0, size - 1, 2)
    w_HH[even, even], w_HH[even, even + 1] = cos, sin
    w_HH[even + 1, even], w_HH[even + 1, even + 1] = -sin, cos
    return w_HH
