"""What every clip promises: it changes the gradient of each lane alone, and says how hard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rnnlab.cells.base import Limit
    from rnnlab.model import Network

NORM_GUARD = 1e-6
"""Added to a norm before dividing by it, as torch.nn.utils.clip_grad_norm_ does."""


class Clip(ABC):
    """A rule on the gradient of an update. It never sees a non-finite gradient: such a lane stands still.

    What it remembers between updates are attributes that are numbers or tensors with lanes first, which checkpoints
    hold: a trial's rows, where several trials are lanes beside each other.
    """

    skips: ClassVar[bool] = False
    """Whether a lane with a non-finite state, loss or gradient loses that update alone; else it has diverged."""

    def attach(self, network: Network) -> None:  # noqa: B027 - most have nothing to learn
        """Learn of lanes and parameters; called once, before the first update."""

    def place(self, device: torch.device) -> None:
        """Move what it remembers to where gradients are; called once, after `attach`."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def limit(self) -> Limit | None:
        """What is done to delta_t at every t of this update's backward pass; None: nothing."""
        return None

    @abstractmethod
    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        """The clipped gradient (S, P).

        Args:
            g_SP: gradient of every lane; may be changed in place.
            norm_S: its norms, float64; 0 in a lane that stands still, of which nothing may be remembered.
        """

    def kept(self, norm_S: Tensor, applied_S: Tensor) -> Tensor:
        """The coefficient: what the clip left of the gradient's norm, (S,); 1 where it did nothing."""
        return torch.where(norm_S > 0, applied_S / norm_S.clamp(min=1e-300), 1.0)


def row_norm(g_SP: Tensor) -> Tensor:
    """Norm of every lane's gradient, (S,), summed in float64: float32 squares overflow at 1.8e19."""
    norm_S: Tensor = torch.linalg.vector_norm(g_SP, dim=1, dtype=torch.float64)
    return norm_S


def shorten(g_SP: Tensor, norm_S: Tensor, threshold_S: Tensor) -> Tensor:
    """g min(1, c / (‖g‖ + 1e-6)) in place, c a lane, infinite where nothing is to be done."""
    factor_S = (threshold_S / (norm_S + NORM_GUARD)).clamp(max=1.0)
    return g_SP.mul_(factor_S.to(g_SP.dtype)[:, None])
