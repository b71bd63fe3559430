"""What every activation promises: its values, in place, and its slope from what a scan has kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor


class Activation(ABC):
    """A nonlinearity phi applied entry by entry, with h = phi(a)."""

    slope_from_output: ClassVar[bool] = True
    """Whether `slope` reads h; else it reads a, and a scan keeps a."""
    steepest: float = 1.0
    """gamma = max |phi'|; smax(W) gamma < 1 is sufficient for vanishing (Pascanu 2013)."""

    @abstractmethod
    def __call__(self, a: Tensor) -> Tensor:
        """phi(a), differentiable by autograd."""

    @abstractmethod
    def apply_(self, a: Tensor) -> Tensor:
        """phi(a) written over a, outside autograd; returns a."""

    @abstractmethod
    def slope(self, kept: Tensor) -> Tensor:
        """phi'(a) from h, or from a where `slope_from_output` is False."""

    def pull(self, g: Tensor, kept: Tensor, out: Tensor) -> Tensor:
        """g phi'(a) written to `out`: dL/da from dL/dh, what a scan does at every step."""
        return torch.mul(self.slope(kept), g, out=out)
