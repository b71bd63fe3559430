"""h = 1 / (1 + e^-a), slope h (1 - h), at most 1/4."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class Sigmoid(Activation):
    """h = 1 / (1 + e^-a), slope h (1 - h), at most 1/4: it vanishes unless smax(W_hh) > 4. Source: Pascanu 2013."""

    steepest = 0.25

    def __call__(self, a: Tensor) -> Tensor:
        return torch.sigmoid(a)

    def apply_(self, a: Tensor) -> Tensor:
        return a.sigmoid_()

    def slope(self, kept: Tensor) -> Tensor:
        return kept * (1 - kept)

    def write_slope(self, kept: Tensor, out: Tensor) -> None:
        torch.addcmul(kept, kept, kept, value=-1, out=out)
