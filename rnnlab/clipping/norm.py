"""Clipping by the global norm."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.clipping.base import Clip, shorten


class NormClip(Clip):
    """g min(1, c / (‖g‖ + 1e-6)), with the norm over all parameters of a lane. Source: Pascanu 2013.

    Equal to torch.nn.utils.clip_grad_norm_, but for norms that float32 cannot square.

    Args:
        threshold: c, one number or one a lane (S,).
    """

    def __init__(self, threshold: float | Tensor = 1.0) -> None:
        self.threshold_S = torch.as_tensor(threshold, dtype=torch.float64)

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        return shorten(g_SP, norm_S, self.threshold_S)
