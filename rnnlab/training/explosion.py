"""Whether a replicate exploded: a value went non-finite, or one applied gradient dwarfed those before it."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from rnnlab.spec import ExplodedSpec


class ExplosionWatch:
    """Compares every update's gradient norms with the median of the last pre-clip norms, lane by lane.

    `exploded`: the norm as applied, after clipping, passed `ratio` times that median. `spikes` counts updates
    whose norm passed it before clipping, which no clip can change (SCIENCE.md section 5).
    """

    def __init__(self, lanes: int, spec: ExplodedSpec) -> None:
        self.spec = spec
        self.spikes_S = torch.zeros(lanes, dtype=torch.int64)
        self._norms: deque[Tensor] = deque(maxlen=spec.window)

    def see(self, norm_S: Tensor, applied_S: Tensor) -> Tensor:
        """Which lanes explode at this update, (S,) bool; non-finite norms of dead lanes must be 0 here."""
        exploded_S = torch.zeros_like(self.spikes_S, dtype=torch.bool)
        if len(self._norms) >= self.spec.least:
            limit_S = self.spec.ratio * torch.stack(tuple(self._norms)).median(0).values
            self.spikes_S += norm_S > limit_S
            exploded_S = applied_S > limit_S
        self._norms.append(norm_S)
        return exploded_S
