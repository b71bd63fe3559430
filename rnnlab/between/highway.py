"""A gate that lets a layer's input pass it by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnlab.between.base import Between

if TYPE_CHECKING:
    from rnnlab.inits.draws import Draws

BIAS = -2.0
"""Of the transform gate at update 0: t = 0.12, so that layers begin by passing on what they read."""


class Highway(Between):
    """x^(l+1) = t h^l + (1 - t) x^l, t = sigmoid(W x^l + b), for l of 1 and more; x¹ = h⁰.

    W (H, H) begins U(±1/√H) and b at -2, for every layer its own. With one layer it is `plain`. Sources: Srivastava
    2015 (the formula and the bias); Zhang 2016 has such gates between LSTM layers, there on the cells' c.
    """

    def shapes(self, hidden: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (hidden, hidden), "bias": (hidden,)}

    def begin(self, draws: Draws) -> dict[str, Tensor]:
        size = draws.hidden
        weight = size**-0.5 * draws.uniform("between", size, size)
        return {"weight": weight, "bias": torch.full((size,), BIAS, dtype=torch.float64)}

    def __call__(self, own: Mapping[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        t = torch.sigmoid(x @ own["weight"].transpose(1, 2) + own["bias"][:, None])
        return x + t * (h - x)
