"""A chain of units: the simplest non-normal memory."""

from __future__ import annotations

import torch

from rnnlab.inits.draws import Draws, LayerWeights


def delay_line(draws: Draws, alpha: float = 1.0) -> LayerWeights:
    """W_hh hands unit i on to unit i + 1, times `alpha`; all else is 0. W_ih as glorot, biases 0.

    Every eigenvalue is 0 and yet ‖W^k‖ = alpha^k for k < H, and 0 from H on: memory through transients, which no
    normal matrix of that spectrum has. Source: Orhan & Pitkow 2020, the chain of section 2 without feedback; the
    best alphas there lie between 0.99 and 1.05.
    """
    return LayerWeights(
        draws.glorot_inputs(),
        alpha * torch.eye(draws.hidden, dtype=torch.float64).roll(1, 0).tril(-1),
        *draws.zero_biases(),
    )
