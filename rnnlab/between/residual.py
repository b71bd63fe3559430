"""A sum beside the layer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rnnlab.between.base import Between


class Residual(Between):
    """x^(l+1) = x^l + h^l for l of 1 and more, x¹ = h⁰; the readout reads h⁰ + ... + h^(L-1).

    With one layer it is `plain`. Sources: Kim 2017; Wu 2016 (GNMT, there from the third layer on).
    """

    def __call__(self, own: Mapping[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        return x + h
