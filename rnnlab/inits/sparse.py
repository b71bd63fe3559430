"""A sparse recurrent matrix with a given spectral radius."""

from __future__ import annotations

import torch

from rnnlab.inits.draws import Draws, LayerWeights

INPUT_SD = 0.01
"""Standard deviation of W_ih (Pascanu 2013 writes N(0, 0.01); its code has it as the deviation)."""


def sparse(draws: Draws, nonzeros: int = 15, radius: float = 0.95) -> LayerWeights:
    """Every unit hears `nonzeros` others through N(0, 1), rescaled to the spectral radius `radius`; "smart tanh".

    Incoming connections, as the paper says; Pascanu's code zeroes rows of a W used as h W, so that its units have
    15 outgoing ones. W_ih is N(0, 0.01²), biases are 0; the readout begins as under every init. With H below
    `nonzeros` every connection is there.

    Source: Sutskever 2012; Pascanu 2013, section 4.1.
    """
    size = draws.hidden
    w_hh_HH = draws.normal("weight_hh", size, size)
    # the places of the largest of H uniform numbers are a uniform choice without repetition
    heard = draws.uniform("sparse", size, size).topk(min(nonzeros, size), dim=1).indices
    w_hh_HH *= torch.zeros_like(w_hh_HH).scatter_(1, heard, 1.0)
    return LayerWeights(
        INPUT_SD * draws.normal("weight_ih", draws.rows, draws.inputs),
        radius / torch.linalg.eigvals(w_hh_HH).abs().max() * w_hh_HH,
        *draws.zero_biases(),
    )
