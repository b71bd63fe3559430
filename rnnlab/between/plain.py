"""No connection beside the layer."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rnnlab.between.base import Between


class Plain(Between):
    """x' = h. Source: Graves 2013, as in torch.nn.RNN with several layers."""

    def __call__(self, own: Mapping[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        return h
