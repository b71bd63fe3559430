"""Clipping inside the backward pass, at every timestep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnlab.clipping.base import Clip

if TYPE_CHECKING:
    from rnnlab.cells.base import Limit
    from rnnlab.model import Network


class TimestepClip(Clip):
    """clamp(delta_t, -c, c) at every t of the backward pass, before delta_(t-1) is computed from it. BIASED.

    delta_t is the gradient at the pre-activations, gate by gate and sequence by sequence, of the loss as it is
    averaged over the batch; of a GRU's candidate at W_hn h + b_hn, behind its reset gate. Growth is bounded where it
    arises, but what is applied is the gradient of no loss. Probes and
    verdicts see the true gradient. Forces the hand-written backward pass; an LSTM otherwise has torch's faster kernel.

    The coefficient is ‖delta after‖ / ‖delta before‖ over all timesteps, sequences, gates and layers.

    Args:
        threshold: c, one number or one a lane (S,).

    Source: Graves 2013, section 2.1 (there ±10 at the pre-activations of an LSTM).
    """

    def __init__(self, threshold: float | Tensor = 10.0) -> None:
        self.threshold_S11 = torch.as_tensor(threshold, dtype=torch.float64).reshape(-1, 1, 1)
        self._before_S = self._after_S = torch.zeros(0, dtype=torch.float64)

    def attach(self, network: Network) -> None:
        self._before_S, self._after_S = torch.zeros(2, network.lanes, dtype=torch.float64).unbind(0)

    def limit(self) -> Limit:
        self._before_S, self._after_S = torch.zeros_like(self._before_S), torch.zeros_like(self._after_S)
        return self._at_timestep

    def _at_timestep(self, delta_SBG: Tensor) -> None:
        """Clamp one timestep's delta in place."""
        self._before_S += _square(delta_SBG)
        limit_S11 = self.threshold_S11.to(delta_SBG.dtype)
        delta_SBG.clamp_(-limit_S11, limit_S11)
        self._after_S += _square(delta_SBG)

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        return g_SP

    def kept(self, norm_S: Tensor, applied_S: Tensor) -> Tensor:
        left_S = (self._after_S / self._before_S.clamp(min=1e-300)).sqrt()
        return torch.where((norm_S > 0) & (self._before_S > 0), left_S, 1.0)


def _square(delta_SBG: Tensor) -> Tensor:
    norm_S: Tensor = torch.linalg.vector_norm(delta_SBG, dim=(1, 2), dtype=torch.float64)
    return norm_S.square()
