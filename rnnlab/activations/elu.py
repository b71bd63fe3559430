"""h = a above 0, alpha (e^a - 1) below: bounded on one side."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class ELU(Activation):
    """h = a above 0, alpha (e^a - 1) at and below it; slope 1 or h + alpha. Source: Clevert 2016, equation 15.

    Args:
        alpha: what the negative side tends to, with the sign turned; 1 there.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha
        self.steepest = max(1.0, alpha)

    def __call__(self, a: Tensor) -> Tensor:
        return torch.nn.functional.elu(a, self.alpha)

    def apply_(self, a: Tensor) -> Tensor:
        return torch.nn.functional.elu_(a, self.alpha)

    def slope(self, kept: Tensor) -> Tensor:
        return torch.where(kept > 0, torch.ones_like(kept), kept + self.alpha)
