"""He's normal initialisation."""

from __future__ import annotations

from rnnlab.inits.draws import Draws, LayerWeights


def he(draws: Draws) -> LayerWeights:
    """W_hh is N(0, 2/H), W_ih is N(0, 2/I), biases are 0: chi1 = sigma_w²/2 = 1 of a relu, so its RMS gradient stays.

    sigma_w = √2 makes a tanh network chaotic. Source: He 2015, equation 10, each matrix with its own fan-in.
    """
    return LayerWeights(
        (2 / draws.inputs) ** 0.5 * draws.normal("weight_ih", draws.rows, draws.inputs),
        (2 / draws.hidden) ** 0.5 * draws.normal("weight_hh", draws.rows, draws.hidden),
        *draws.zero_biases(),
    )
