"""What every clip promises: it changes the gradient of each lane alone, and says how hard."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

NORM_GUARD = 1e-6
"""Added to a norm before dividing by it, as torch.nn.utils.clip_grad_norm_ does."""


class Clip(ABC):
    """A rule on the gradient of an update. It never sees a non-finite gradient: such a lane has diverged."""

    @abstractmethod
    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        """The clipped gradient (S, P).

        Args:
            g_SP: gradient of every lane; may be changed in place.
            norm_S: its norms, float64.
        """


def row_norm(g_SP: Tensor) -> Tensor:
    """Norm of every lane's gradient, (S,), summed in float64: float32 squares overflow at 1.8e19."""
    norm_S: Tensor = torch.linalg.vector_norm(g_SP, dim=1, dtype=torch.float64)
    return norm_S
