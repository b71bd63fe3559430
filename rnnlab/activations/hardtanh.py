"""h = clip(a, -1, 1), slope 1 inside and exactly 0 outside."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class HardTanh(Activation):
    """h = clip(a, -1, 1), slope 1 inside and exactly 0 outside. Source: Collobert 2004."""

    def __call__(self, a: Tensor) -> Tensor:
        return torch.nn.functional.hardtanh(a)

    def apply_(self, a: Tensor) -> Tensor:
        return a.clamp_(-1, 1)

    def slope(self, kept: Tensor) -> Tensor:
        return (kept.abs() < 1).to(kept.dtype)
