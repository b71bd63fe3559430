"""The edge between vanishing and exploding that mean field theory gives for a known input."""

from __future__ import annotations

from rnnlab.choices import Choice
from rnnlab.inits.draws import Draws, LayerWeights
from rnnlab.theory import critical_sigma_w, mean_field


def critical(draws: Draws, input_variance: float = 0.05, second_moment: float = 1.0) -> LayerWeights:
    """W_hh is N(0, sigma_w²/H) with chi1(sigma_w, s_in²) = 1, the RMS gradient's edge; biases are 0.

    chi1 = sigma_w² E phi'(√q* z)², q* = sigma_w² E phi(√q* z)² + s_in². An input saturates units, so sigma_w is above
    1: of tanh 1.193 at s_in² = 0.01 and 1.409 at 0.1. W_ih is N(0, s_in² / (I m)), so that inputs of mean square m do
    give a pre-activation the variance s_in²; a layer above the first has the m of the states below it.

    Args:
        input_variance: s_in². second_moment: m, the mean of x² over the task's inputs.

    Source: Chen 2018; Poole 2016 (SCIENCE.md section 4.6). Finite width vanishes a little less than this says.
    """
    phi = draws.activation or Choice(kind="tanh")
    sigma_w = critical_sigma_w(phi, input_variance)
    if draws.layer:
        found = mean_field(phi, sigma_w, input_variance)
        assert found is not None
        second_moment = (found.q - input_variance) / sigma_w**2
    return LayerWeights(
        (input_variance / (draws.inputs * second_moment)) ** 0.5 * draws.normal("weight_ih", draws.rows, draws.inputs),
        sigma_w * draws.hidden**-0.5 * draws.normal("weight_hh", draws.rows, draws.hidden),
        *draws.zero_biases(),
    )
