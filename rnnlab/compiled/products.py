"""Products over all timesteps around a compiled recurrence, one a lane; tensors have lanes first."""

from __future__ import annotations

import torch
from torch import Tensor


def weight_gradient(delta_STBG: Tensor, x_STBI: Tensor) -> Tensor:
    """Sum over T and B of delta x^T in every lane, (S, G, I)."""
    # x^T delta and not its transpose: with few inputs it takes a sixth of the time
    sums = [x.flatten(0, 1).T @ delta.flatten(0, 1) for delta, x in zip(delta_STBG, x_STBI, strict=True)]
    return (sums[0][None] if len(sums) == 1 else torch.stack(sums)).transpose(1, 2)


def back_gradient(delta_STBG: Tensor, h_STBH: Tensor, begin_SBH: Tensor | None) -> Tensor:
    """The same where step t reads h_(t-1), and the first one the state before it: W_hh's, (S, G, H)."""
    found_SGH = weight_gradient(delta_STBG[:, 1:], h_STBH[:, :-1])
    return found_SGH if begin_SBH is None else found_SGH + delta_STBG[:, 0].transpose(1, 2) @ begin_SBH


def input_gradient(delta_STBG: Tensor, w_SGI: Tensor) -> Tensor:
    """delta W in every lane, (T, S, B, I)."""
    lanes, steps, batch, _ = delta_STBG.shape
    dx_SNI = torch.bmm(delta_STBG.flatten(1, 2), w_SGI)
    return dx_SNI.view(lanes, steps, batch, -1).transpose(0, 1)
