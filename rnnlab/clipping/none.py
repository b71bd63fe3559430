"""No clip."""

from __future__ import annotations

from torch import Tensor

from rnnlab.clipping.base import Clip


class NoClip(Clip):
    """The gradient as it is."""

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        return g_SP
