"""Clipping entry by entry."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.clipping.base import Clip


class ValueClip(Clip):
    """clamp(g, -c, c), entry by entry; changes the direction. Source: Mikolov 2012.

    Args:
        threshold: c, one number or one a lane (S,).
    """

    def __init__(self, threshold: float | Tensor = 1.0) -> None:
        self.threshold_S1 = torch.as_tensor(threshold, dtype=torch.float64).reshape(-1, 1)

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        limit = self.threshold_S1.to(g_SP.dtype)
        return g_SP.clamp_(-limit, limit)
