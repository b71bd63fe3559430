"""Clipping by the norm of each parameter tensor alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnlab.clipping.base import NORM_GUARD, Clip

if TYPE_CHECKING:
    from rnnlab.model import Network


class ParameterClip(Clip):
    """g_p min(1, c / (‖g_p‖ + 1e-6)) for every parameter tensor p: weight_ih_l0, weight_hh_l0, ..., readout.bias.

    Changes the direction of the whole. Source: folklore, as TensorFlow's clip_by_norm does it.

    Args:
        threshold: c, one number or one a lane (S,).
    """

    def __init__(self, threshold: float | Tensor = 1.0) -> None:
        self.threshold_S1 = torch.as_tensor(threshold, dtype=torch.float64).reshape(-1, 1)

    def attach(self, network: Network) -> None:
        self._network = network

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        for gradient in self._network.named(g_SP).values():
            g_SN = gradient.flatten(1)  # a view
            norm_S1 = torch.linalg.vector_norm(g_SN, dim=1, keepdim=True, dtype=torch.float64)
            g_SN.mul_((self.threshold_S1 / (norm_S1 + NORM_GUARD)).clamp(max=1.0).to(g_SN.dtype))
        return g_SP
