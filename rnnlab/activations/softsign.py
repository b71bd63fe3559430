"""h = a / (1 + |a|), slope (1 - |h|)²: saturates polynomially."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class Softsign(Activation):
    """h = a / (1 + |a|), slope (1 - |h|)²: saturates polynomially. Source: Bergstra 2009."""

    def __call__(self, a: Tensor) -> Tensor:
        return torch.nn.functional.softsign(a)

    def apply_(self, a: Tensor) -> Tensor:
        return a.div_(1 + a.abs())

    def slope(self, kept: Tensor) -> Tensor:
        return (1 - kept.abs()).square()
