"""h = sin a, slope cos a: not monotone, never saturates."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class Sin(Activation):
    """h = sin a, slope cos a: not monotone, never saturates. Source: Sopena 1999.

    h does not tell the sign of cos a, so the slope reads a.
    """

    slope_from_output: ClassVar[bool] = False

    def __call__(self, a: Tensor) -> Tensor:
        return torch.sin(a)

    def apply_(self, a: Tensor) -> Tensor:
        return a.sin_()

    def slope(self, kept: Tensor) -> Tensor:
        return kept.cos()
