"""States whose norm should not change from step to step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnlab.regularisers.base import Regulariser


class NormStabiliser(Regulariser):
    """beta / (T - 1) sum_t (‖h_t‖ - ‖h_(t-1)‖)², the mean over sequences and the sum over layers.

    t runs over the pairs of computed states: the step out of the zero state, which the paper's sum has, is left out,
    since it pulls ‖h_1‖ to 0. For every cell it acts on h (the paper has it on c of an LSTM too). One timestep has no
    pair: 0.

    Args:
        beta: its weight; 50 to 500 in the paper.

    Source: Krueger & Memisevic 2016, equation 1.
    """

    def __init__(self, beta: float = 50.0) -> None:
        self.beta = beta

    def penalty(self, hidden: Sequence[Tensor]) -> Tensor:
        value_S = hidden[0].new_zeros(hidden[0].shape[1])
        for h_TSBH in hidden:
            norm_TSB = torch.linalg.vector_norm(h_TSBH, dim=-1)
            if len(norm_TSB) > 1:
                value_S = value_S + norm_TSB.diff(dim=0).square().mean((0, 2))
        return self.beta * value_S
