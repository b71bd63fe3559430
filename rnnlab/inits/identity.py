"""The identity recurrent matrix."""

from __future__ import annotations

import torch

from rnnlab.inits.draws import Draws, LayerWeights

INPUT_SD = 0.001
"""Standard deviation of W_ih (Le 2015)."""


def identity(draws: Draws, scale: float = 1.0) -> LayerWeights:
    """W_hh is `scale` times the identity, W_ih is N(0, 0.001²), biases are 0; with relu it is the IRNN.

    Source: Le 2015 (scale 0.01 for tasks of short memory there).
    """
    return LayerWeights(
        INPUT_SD * draws.normal("weight_ih", draws.rows, draws.inputs),
        scale * torch.eye(draws.hidden, dtype=torch.float64),
        *draws.zero_biases(),
    )
