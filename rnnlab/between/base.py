"""What every connection between layers promises.

Shapes: T timesteps, S lanes, B sequences, H hidden units, L layers. Layer 0 reads the inputs x⁰, and x¹ = h⁰ whatever
the connection: inputs seldom have H numbers, and a connection that depended on it would be another one for every
task. x² ... x^L follow from the connection; the readout reads x^L.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from rnnlab.inits.draws import Draws


class Between(ABC):
    """How x^(l+1), which the layer above reads, follows from x^l and h^l, for l of 1 and more."""

    def shapes(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one connection's own parameters; here none."""
        return {}

    def begin(self, draws: Draws) -> dict[str, Tensor]:
        """Its own parameters of one lane at update 0, float64."""
        return {}

    @abstractmethod
    def __call__(self, own: Mapping[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        """What the layer above reads, differentiable by autograd.

        Args:
            own: its parameters by name, each (S, ...).
            x: what this layer read, (T, S, B, H) or (S, B, H). h: what it gave, the same shape.
        """
