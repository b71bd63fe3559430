"""Adaptive clipping: a unit's gradient against its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnlab.clipping.base import Clip

if TYPE_CHECKING:
    from rnnlab.model import Network


class AdaptiveClip(Clip):
    """Row i of a weight: where ‖G_i‖ > l w_i, G_i becomes l w_i / ‖G_i‖ G_i, w_i = max(‖W_i‖, floor). Called AGC.

    Rows are what one unit (of one gate) reads; a bias is one row, as in the authors' code. The readout is left out,
    as the output layer is there. The floor stands in the new length too (Brock's ‖W‖*), so that weights of 0 move.

    Args:
        ratio: l, one number or one a lane (S,). floor: least norm of a row that counts.

    Source: Brock 2021, equation 3.
    """

    def __init__(self, ratio: float | Tensor = 0.01, floor: float = 1e-3) -> None:
        self.ratio_S = torch.as_tensor(ratio, dtype=torch.float64).reshape(-1)
        self.floor = floor

    def attach(self, network: Network) -> None:
        self._network = network

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        gradients = self._network.named(g_SP)
        for name, weight in self._network.named().items():
            if name.startswith("readout"):
                continue
            ratio = self.ratio_S.view(-1, *[1] * (weight.ndim - 1))
            allowed = ratio * _row_norm(weight.detach()).clamp(min=self.floor)
            gradients[name].mul_((allowed / _row_norm(gradients[name])).clamp(max=1.0).to(g_SP.dtype))
        return g_SP


def _row_norm(rows: Tensor) -> Tensor:
    """Norms over the last axis, which is kept."""
    norm: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=torch.float64)
    return norm
