"""Clipping by a percentile of the norms seen so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnlab.clipping.base import Clip, shorten

if TYPE_CHECKING:
    from rnnlab.model import Network

FIRST = 64
"""Norms a lane that there is room for at first; the room doubles when it is full."""


class PercentileClip(Clip):
    """Clipping by norm with c the p-th percentile of a lane's norms so far, this one among them. Called AutoClip.

    Norms are those before clipping; between two of them the percentile is linear, as numpy's. With p = 10 nine
    updates in ten are clipped, and all to a norm that the lane has had. The first passes as it is.

    Args:
        percentile: p, one number or one a lane (S,), 0 to 100.

    Source: Seetharaman 2020, algorithm 1.
    """

    def __init__(self, percentile: float | Tensor = 10.0) -> None:
        self.percentile_S = torch.as_tensor(percentile, dtype=torch.float64)
        self.sorted_SN = torch.zeros(0, FIRST, dtype=torch.float64)
        self.seen_S = torch.zeros(0, dtype=torch.int64)

    def attach(self, network: Network) -> None:
        self.sorted_SN = torch.zeros(network.lanes, FIRST, dtype=torch.float64)
        self.seen_S = torch.zeros(network.lanes, dtype=torch.int64)

    def place(self, device: torch.device) -> None:
        """Nothing: norms are sorted on the CPU, number by number."""

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        if int(self.seen_S.max()) == self.sorted_SN.shape[1]:
            self.sorted_SN = torch.cat([self.sorted_SN, torch.zeros_like(self.sorted_SN)], 1)
        share_S = self.percentile_S.expand(len(norm_S)) / 100
        norms_S = norm_S.cpu()
        threshold_S = torch.full_like(norms_S, torch.inf)
        for lane in norms_S.nonzero().flatten().tolist():
            threshold_S[lane] = self._see(lane, float(norms_S[lane]), float(share_S[lane]))
        return shorten(g_SP, norm_S, threshold_S.to(norm_S.device))

    def _see(self, lane: int, norm: float, share: float) -> float:
        """The percentile of the norms that a lane has had, with one more."""
        before = int(self.seen_S[lane])
        sorted_N = self.sorted_SN[lane, : before + 1].numpy()
        place = int(sorted_N[:before].searchsorted(norm))
        sorted_N[place + 1 :] = sorted_N[place:before]
        sorted_N[place] = norm
        self.seen_S[lane] = before + 1
        at = share * before
        low, high = sorted_N[int(at)], sorted_N[min(int(at) + 1, before)]
        return float(low + (at - int(at)) * (high - low))
