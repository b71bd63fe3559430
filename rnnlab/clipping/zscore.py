"""Clipping of norms that stand out from a running mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rnnlab.clipping.base import Clip, shorten

if TYPE_CHECKING:
    from rnnlab.model import Network


class ZScoreClip(Clip):
    """Where (‖g‖ - mu) / sigma = s > z, the norm becomes mu + z² sigma / s: the further out, the nearer to mu.

    mu and sigma² are a lane's own: mean and variance of its first `warmup` norms, which pass as they are, and then
    mu = alpha mu + (1 - alpha) n and sigma² = alpha sigma² + (1 - alpha) (n - mu)², n the norm after clipping. Called
    ZClip; as in the authors' code with its "adaptive_scaling", without its 1e-6 beside sigma and its cap of 1.

    Args:
        z: one number or one a lane (S,). alpha: what a running mean keeps. warmup: norms that begin it.

    Source: Kumar 2025, equations 4 to 9.
    """

    def __init__(self, z: float | Tensor = 2.5, alpha: float = 0.97, warmup: int = 25) -> None:
        self.z_S = torch.as_tensor(z, dtype=torch.float64)
        self.alpha, self.warmup = alpha, warmup
        self.mean_S = self.variance_S = torch.zeros(0, dtype=torch.float64)
        self.seen_S = torch.zeros(0, dtype=torch.int64)

    def attach(self, network: Network) -> None:
        self.mean_S, self.variance_S = torch.zeros(2, network.lanes, dtype=torch.float64).unbind(0)
        self.seen_S = torch.zeros(network.lanes, dtype=torch.int64)

    def __call__(self, g_SP: Tensor, norm_S: Tensor) -> Tensor:
        above_S = norm_S - self.mean_S
        out_S = (self.seen_S >= self.warmup) & (above_S > self.z_S * self.variance_S.sqrt())
        threshold_S = torch.where(out_S, self.mean_S + self.z_S**2 * self.variance_S / above_S, torch.inf)
        self._see(torch.minimum(norm_S, threshold_S), norm_S > 0)
        return shorten(g_SP, norm_S, threshold_S)

    def _see(self, norm_S: Tensor, moving_S: Tensor) -> None:
        """Move mean and variance of the lanes that move."""
        early_S = self.seen_S < self.warmup
        # a mean of n numbers is a running one that keeps (n - 1) / n
        seen_S = self.seen_S.double()
        keep_S = torch.where(early_S, seen_S / (seen_S + 1), self.alpha)
        mean_S = keep_S * self.mean_S + (1 - keep_S) * norm_S
        # and so is a variance, of the product of the distances from the means before and after
        away_S = torch.where(early_S, norm_S - self.mean_S, norm_S - mean_S)
        variance_S = keep_S * self.variance_S + (1 - keep_S) * away_S * (norm_S - mean_S)
        self.mean_S = torch.where(moving_S, mean_S, self.mean_S)
        self.variance_S = torch.where(moving_S, variance_S, self.variance_S)
        self.seen_S = self.seen_S + moving_S
