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

    def pull(self, g: Tensor, kept: Tensor, out: Tensor) -> Tensor:
        return torch.ops.aten.threshold_backward.grad_input(g, kept, 0, grad_input=out)  # type: ignore[no-any-return]
