"""h = max(0, a), slope 0 or 1; the state is unbounded."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class ReLU(Activation):
    """h = max(0, a), slope 0 or 1; the state is unbounded. Source: Le 2015."""

    def __call__(self, a: Tensor) -> Tensor:
        return torch.relu(a)

    def apply_(self, a: Tensor) -> Tensor:
        return a.relu_()

    def slope(self, kept: Tensor) -> Tensor:
        return (kept > 0).to(kept.dtype)

    def write_slope(self, kept: Tensor, out: Tensor) -> None:
        # h is nowhere negative
        torch.sign(kept, out=out)
