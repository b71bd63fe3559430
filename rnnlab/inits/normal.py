"""Independent normal weights of one deviation."""

from __future__ import annotations

from rnnlab.inits.draws import Draws, LayerWeights


def normal(draws: Draws, std: float = 0.1) -> LayerWeights:
    """W_hh and W_ih are N(0, std²), biases are 0; the readout begins as under every init.

    The spectral radius of W_hh is near std √H. Pascanu's code has std = 0.1 for its "basic tanh" (radius .707 at
    H = 50) and 0.01 for its sigmoid network (at most std √H / 4 = .0177 a step), deviations where the paper reads as if
    they were variances. Source: Pascanu 2013, section 4.1, and its code.
    """
    return LayerWeights(
        std * draws.normal("weight_ih", draws.rows, draws.inputs),
        std * draws.normal("weight_hh", draws.rows, draws.hidden),
        *draws.zero_biases(),
    )
