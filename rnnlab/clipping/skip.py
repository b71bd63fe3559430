"""Leaving out updates that are not finite."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.clipping.base import Clip, shorten


class SkipClip(Clip):
    """An update whose state, loss or gradient is not finite moves nothing, and training goes on; others pass.

    Without it such a replicate has diverged. It counts as exploded all the same, the skipped update with a
    coefficient of 0; and it still diverges where its validation loss is not finite at an evaluation. To the optimiser
    the update is one with a gradient of 0: running means fade by one step.

    Args:
        threshold: c, by whose norm the other updates are clipped too, one number or one a lane (S,); None: not at all.

    Source: Pascanu 2013's code guards so too, but sets the gradient of W_hh to 0.02 W_hh; the skip is torch.amp's.
    """

    skips: ClassVar[bool] = True

    def __init__(self, threshold: float | Tensor | None = None) -> None:
        self.threshold_S = torch.as_tensor(torch.inf if threshold is None else threshold, dtype=torch.float64)

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        return shorten(g_SP, norm_S, self.threshold_S)
