"""What every regulariser promises: a number a lane, and a gradient that is added before the clip.

Shapes: T timesteps, S lanes, B sequences, I inputs, H hidden units, P parameters of a lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rnnlab.model import Network


@dataclass(frozen=True)
class Seen:
    """What an update has seen, cut off from its graph.

    Args:
        network: before the update. x_TSBI: what the lanes read.
        hidden: h of every layer, bottom first, (T, S, B, H).
        totals: dL/dh_t of every layer, L the mean over the batch; empty unless `wants_totals`.
        update: its number; the first is 1.
    """

    network: Network
    x_TSBI: Tensor
    hidden: list[Tensor]
    totals: list[Tensor]
    update: int


class Regulariser:
    """A term beside the task's loss. Write `penalty` or `gradient`, whichever fits.

    Lanes do not know of each other. What it remembers between updates are attributes that are numbers or tensors with
    lanes first, which checkpoints hold, a trial's rows in its own. Where its gradient is not finite, a lane has
    diverged as by any other gradient.
    """

    wants_totals: ClassVar[bool] = False
    """Whether `gradient` reads dL/dh_t."""

    def acts(self, update: int) -> bool:
        """Whether it does anything at this update, of which the first is 1; a plan times both kinds."""
        return True

    def alone(self, update: int) -> bool:
        """Whether this update follows the regulariser and not the task's loss."""
        return False

    def penalty(self, hidden: Sequence[Tensor]) -> Tensor | None:
        """What is added to the loss of every lane, (S,), differentiable by autograd; None: nothing.

        Args:
            hidden: h of every layer, bottom first, (T, S, B, H), in the graph of this update.
        """
        return None

    def gradient(self, seen: Seen) -> tuple[Tensor, Tensor] | None:
        """Its value (S,) and what is added to the gradient (S, P), float32; None: nothing at this update."""
        return None
