"""Glorot's uniform initialisation, gate by gate."""

from __future__ import annotations

from rnnlab.inits.draws import Draws, LayerWeights


def glorot(draws: Draws) -> LayerWeights:
    """Each gate block is U(±√(6 / (in + out))), biases 0: a square W_hh has variance 1/H, sigma_w = 1.

    Fans are those of one gate's block, not of the stacked weight. Source: Glorot & Bengio 2010.
    """
    bound = (3 / draws.hidden) ** 0.5
    return LayerWeights(
        draws.glorot_inputs(),
        bound * draws.uniform("weight_hh", draws.back_rows, draws.hidden),
        *draws.zero_biases(),
    )
