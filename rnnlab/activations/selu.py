"""h = l a above 0, l alpha (e^a - 1) below: the ELU that keeps mean 0 and variance 1 in a wide feed-forward net."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation

ALPHA = 1.6732632423543772
SCALE = 1.0507009873554805
"""alpha and l to float64: the fixed point (mean 0, variance 1) is theirs alone (Klambauer 2017, equation 14)."""


class SELU(Activation):
    """h = l a above 0, l alpha (e^a - 1) at and below it; slope l or h + l alpha, at most l alpha = 1.758.

    l = 1.0507 and alpha = 1.6733, for which z ~ N(0, 1) gives h mean 0 and variance 1. Source: Klambauer 2017,
    equation 2.
    """

    limit: ClassVar[float] = SCALE * ALPHA
    """What the negative side tends to, with the sign turned; the slope at 0."""
    steepest = SCALE * ALPHA

    def __call__(self, a: Tensor) -> Tensor:
        return torch.selu(a)

    def apply_(self, a: Tensor) -> Tensor:
        return torch.selu_(a)

    def slope(self, kept: Tensor) -> Tensor:
        return torch.where(kept > 0, torch.full_like(kept, SCALE), kept + self.limit)
