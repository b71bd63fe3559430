"""Orthogonal recurrent matrices, gate by gate."""

from __future__ import annotations

import torch

from rnnlab.inits.draws import Draws, LayerWeights


def orthogonal(draws: Draws, gain: float = 1.0) -> LayerWeights:
    """Every gate's W_hh is `gain` times an orthogonal matrix; W_ih as glorot, biases 0.

    QR of a Gaussian, columns sign-fixed by R's diagonal so that it is uniform over the group. Gate by gate:
    `torch.nn.init.orthogonal_` on the stacked weight is only jointly orthogonal, and each block then has an
    RMS singular value of 0.5. Source: Saxe 2014; gains 0.9 to 1.2 from Henaff 2016.
    """
    size = draws.hidden
    q, r = torch.linalg.qr(draws.normal("weight_hh", len(draws.back), size, size))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return LayerWeights(draws.glorot_inputs(), (gain * q).reshape(draws.back_rows, size), *draws.zero_biases())
