"""h = max(s a, a), slope s or 1; the state is unbounded."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class LeakyReLU(Activation):
    """h = max(s a, a), slope s or 1; the state is unbounded. Source: Maas 2013.

    Args:
        slope: s of the negative side, in (0, 1).
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.leak = slope

    def __call__(self, a: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(a, self.leak)

    def apply_(self, a: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu_(a, self.leak)

    def slope(self, kept: Tensor) -> Tensor:
        # torch.where of two numbers is float32, which would round the slope of a float64 probe
        return torch.ones_like(kept).masked_fill_(kept <= 0, self.leak)
