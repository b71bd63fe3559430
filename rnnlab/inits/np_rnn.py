"""A normalised positive definite recurrent matrix."""

from __future__ import annotations

import math

import torch

from rnnlab.inits.draws import Draws, LayerWeights


def input_scale(hidden: int) -> float:
    """√2 e^(1.2 / (max(H, 6) - 2.4)), for what relu units lose of the input; 1.44 at H = 64."""
    return math.sqrt(2) * math.exp(1.2 / (max(hidden, 6) - 2.4))


def np_rnn(draws: Draws) -> LayerWeights:
    """W_hh = (A + I) / lambda_max(A + I) with A = R^T R / H, R_ij ~ N(0, 1); for a relu RNN. Biases are 0.

    Symmetric and positive definite; one eigenvalue is 1 and the others lie between 1 / lambda_max, about 1/5, and it,
    so in a linear regime no direction grows, one stays and none is lost at once. W_ih is `input_scale` times
    N(0, 1/H): the scale is the source's, that its variance before it is 1/H is how it is read here.

    Source: Talathi & Vartak 2016.
    """
    size = draws.hidden
    r_HH = draws.normal("weight_hh", size, size)
    shifted_HH = r_HH.T @ r_HH / size + torch.eye(size, dtype=torch.float64)
    return LayerWeights(
        input_scale(size) * size**-0.5 * draws.normal("weight_ih", draws.rows, draws.inputs),
        shifted_HH / torch.linalg.eigvalsh(shifted_HH)[-1],
        *draws.zero_biases(),
    )
