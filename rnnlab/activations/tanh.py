"""h = tanh a, slope 1 - h², at most 1."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.activations.base import Activation


class Tanh(Activation):
    """h = tanh a, slope 1 - h², at most 1. Source: standard."""

    def __call__(self, a: Tensor) -> Tensor:
        return torch.tanh(a)

    def apply_(self, a: Tensor) -> Tensor:
        return a.tanh_()

    def slope(self, kept: Tensor) -> Tensor:
        return 1 - kept.square()

    def pull(self, g: Tensor, kept: Tensor, out: Tensor) -> Tensor:
        return torch.ops.aten.tanh_backward.grad_input(g, kept, grad_input=out)  # type: ignore[no-any-return]
