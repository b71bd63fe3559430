"""G3: all directions at once instead of one random one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rnnlab.curve import Curve
from rnnlab.model import Network
from rnnlab.probes.anchor import anchor_gradients
from rnnlab.probes.context import ProbeContext

SEQUENCES = 2
"""Sequences of the probe batch that are measured; figures are geometric means over them."""
ENTRIES = 4_000_000
"""Numbers of one state over time that a pass may hold; more directions than fit go in several passes."""


def jacobian_curves(context: ProbeContext) -> list[Curve]:
    """Singular values of ds_T/ds_(T-k) of every layer at lags k = 1, 2, 5, 10, ... and T - 1; float64.

    s_T is the top layer's last state, at the same state as G2: h, and c of an LSTM with the split state of
    SCIENCE.md section 5, so that the mean over v of G2's square is ‖J‖_F² / H. `jacobian_lag10_c_l0` holds the H
    values at lag 10, largest first; `jacobian_condition_c_l0` the largest over the smallest at each lag of
    `jacobian_lags`. A smallest value below 1e-16 of the largest is rounding: read a condition of 1e16 as
    "at least". Sources: Saxe 2014, Chang 2019, Engelken 2023. Cost: full, H backward passes of each sequence.
    """
    network = context.network
    state = network.cell.anchor_state
    lags = jacobian_lags(len(context.x_TSBI))
    x_TSBI = context.x_TSBI[:, :, :SEQUENCES]
    # K lags, S lanes, N sequences
    by_layer = jacobians(network, x_TSBI, context.theta_SP, lags, state=state)
    curves = [_row("lags", np.tile(np.array(lags, dtype=np.float64), (network.lanes, 1)), None, None, context.update)]
    for layer, j_KSNHH in enumerate(by_layer):
        finite = j_KSNHH.isfinite().all(-1).all(-1)
        values_KSNH = torch.linalg.svdvals(torch.where(finite[..., None, None], j_KSNHH, 0.0))
        values_KSNH = torch.where(finite[..., None], values_KSNH, torch.inf)
        values_KSH = values_KSNH.log().mean(2).exp()
        top, low = values_KSH[..., 0], values_KSH[..., -1]
        condition_SK = torch.where(top > 0, top / low, torch.inf).nan_to_num(nan=torch.inf).T.cpu().numpy()
        curves.append(_row("condition", condition_SK, state, layer, context.update))
        for lag, values_SH in zip(lags, values_KSH, strict=True):
            curves.append(_row(f"lag{lag}", values_SH.cpu().numpy(), state, layer, context.update))
    return curves


def jacobian_lags(steps: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below T - 1, and T - 1."""
    marks = {digit * 10**power for power in range(len(str(steps))) for digit in (1, 2, 5)}
    return sorted({mark for mark in marks if mark < steps - 1} | {steps - 1})


def jacobians(network: Network, x_TSBI: Tensor, theta_SP: Tensor, lags: list[int], *, state: str) -> list[Tensor]:
    """ds_T/ds_(T-k) of every layer, (K, S, B, H, H): rows are entries of the top layer's s_T, columns of s_(T-k)."""
    steps, lanes, batch, _ = x_TSBI.shape
    size = network.hidden
    times = [steps - 1 - lag for lag in lags]
    found = [x_TSBI.new_empty(len(lags), lanes, batch, size, size) for _ in range(network.depth)]
    together = max(1, ENTRIES // (steps * lanes * size))
    for b in range(batch):
        for unit_RH in torch.split(torch.eye(size, dtype=x_TSBI.dtype, device=x_TSBI.device), together):
            x_TSRI = x_TSBI[:, :, b : b + 1].expand(-1, -1, len(unit_RH), -1)
            by_layer = anchor_gradients(network, x_TSRI, theta_SP, state=state, v_BH=unit_RH)
            row = int(unit_RH[0].argmax())
            for layer, by_state in enumerate(by_layer):
                found[layer][:, :, b, row : row + len(unit_RH)] = by_state[state][times]
    return found


def _row(part: str, values: np.ndarray, state: str | None, layer: int | None, update: int) -> Curve:
    return Curve("jacobian", "index", values, state, layer, update, part=part)
