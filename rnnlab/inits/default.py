"""torch's own initialisation."""

from __future__ import annotations

from rnnlab.inits.draws import Draws, LayerWeights


def default(draws: Draws) -> LayerWeights:
    """Every weight and bias is U(±1/√H): variance 1/(3H), sigma_w = 1/√3 = 0.577, so tanh nets vanish.

    A cell of its own start (`Cell.begin`) then takes that instead: the table of cells says which.

    Source: torch.nn.RNN, LSTM and GRU, `reset_parameters`.
    """
    bound = draws.hidden**-0.5
    return LayerWeights(
        bound * draws.uniform("weight_ih", draws.rows, draws.inputs),
        bound * draws.uniform("weight_hh", draws.back_rows, draws.hidden),
        bound * draws.uniform("bias_ih", draws.rows),
        bound * draws.uniform("bias_hh", draws.back_rows),
    )
