"""What every activation promises: its values, in place, and its slope from what a scan has kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Activation(ABC):
    """A nonlinearity phi applied entry by entry, with h = phi(a)."""

    slope_from_output: ClassVar[bool] = True
    """Whether `slope` reads h; else it reads a, and a scan keeps a."""
    steepest: float = 1.0
    """gamma = max |phi'|; smax(W) gamma < 1 is sufficient for vanishing (Pascanu 2013)."""

    scale: ClassVar[int] = 1
    """What a scan multiplies its pre-activations by, through the weights; a power of two, so exactly."""

    own_bias: ClassVar[bool] = False
    """Whether b_hh is a bias of its own, that acts inside phi, and is not added to a."""

    @abstractmethod
    def __call__(self, a: Tensor) -> Tensor:
        """phi(a), differentiable by autograd."""

    @abstractmethod
    def apply_(self, a: Tensor) -> Tensor:
        """phi(a) written over a, outside autograd; returns a."""

    @abstractmethod
    def slope(self, kept: Tensor) -> Tensor:
        """phi'(a) from h, or from a where `slope_from_output` is False."""

    def apply_scaled_(self, a: Tensor) -> Tensor:
        """phi(a / scale) written over a, outside autograd; returns a."""
        return self.apply_(a)

    def write_slope(self, kept: Tensor, out: Tensor) -> None:
        """`slope` written to `out`."""
        out.copy_(self.slope(kept))

    def bound(self, b_hh_SH: Tensor) -> tuple[Activation, Tensor]:
        """phi of these lanes, and what of b_hh (S, H) is added to a: all of it, unless phi has a bias of its own."""
        return self, b_hh_SH

    def bias_gradient(self, delta_TSBH: Tensor, h_TSBH: Tensor) -> Tensor:
        """dL/db_hh (S, H), where `own_bias`, from delta = dL/da and h."""
        raise NotImplementedError
