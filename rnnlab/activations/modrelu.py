"""h = sign(a) max(0, |a| + b): the sign stays, the modulus is shifted by a learned bias a unit."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from rnnlab.activations.base import Activation


class ModReLU(Activation):
    """h = sign(a) max(0, |a| + b), b a unit, learned; slope 1 where h is not 0. The identity at b = 0.

    Of a real a, a / |a| is its sign. b is the cell's b_hh, which is then not added to a: a = W_ih x + b_ih + W_hh h.
    So no network has more parameters than another, and b begins where the init leaves b_hh: at 0 as in Arjovsky
    2016, but U(±1/√H) with the init `default`. Source: Arjovsky 2016, equation 8.

    Args:
        bias: b, (S, 1, H), or one number.
    """

    own_bias: ClassVar[bool] = True

    def __init__(self, bias: Tensor | float = 0.0) -> None:
        self.bias = bias

    def bound(self, b_hh_SH: Tensor) -> tuple[Activation, Tensor]:
        return ModReLU(b_hh_SH[:, None]), b_hh_SH.new_zeros(b_hh_SH.shape)

    def bias_gradient(self, delta_TSBH: Tensor, h_TSBH: Tensor) -> Tensor:
        # dh/db = sign(a), which is h's where h is not 0, and delta is 0 where it is
        return (delta_TSBH * h_TSBH.sign()).sum((0, 2))

    def __call__(self, a: Tensor) -> Tensor:
        return a.sign() * (a.abs() + self.bias).relu()

    def apply_(self, a: Tensor) -> Tensor:
        sign = a.sign()
        return a.abs_().add_(self.bias).relu_().mul_(sign)

    def slope(self, kept: Tensor) -> Tensor:
        return (kept != 0).to(kept.dtype)
