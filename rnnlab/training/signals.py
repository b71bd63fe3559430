"""Early signals: numbers of one replicate at the start and at 2, 5 and 10% of its budget.

What is asked of them later is which one tells who will learn (docs/prediction.md). All are finite; one whose
probe was not asked for (`probe.measure: signals` has them all) is absent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from rnnlab.curve import Curve
from rnnlab.probes.schedule import EARLY
from rnnlab.training.outcome import ReplicateResult, score_of
from rnnlab.verdict import Verdict

SIGNALS = {
    "decades": "D of the G2 curve over the task's lag, powers of ten, cut at ±20",
    "decades_change": "D less its value at initialisation",
    "horizon": "H_r over the task's lag: lags until the norm is 10^-r of its start; 1.0 and more: not within it",
    "healthy": "1 where the verdict is healthy, else 0",
    "condition": "log10 of the condition number of ds_T/ds_(T-k) at the largest lag measured, the worst layer",
    "saturation": "share of units whose derivative is below 0.05, mean over timesteps, gates and layers",
    "early_share": "share of the norms of dL/dx_t that the first quarter of the timesteps holds",
    "loss": "log10(mean training loss of the last 10 updates / trivial baseline): the predictor to beat",
}
"""Signal -> what it is."""
AT = (0, *EARLY)
"""Percent of the budget at which they are taken; `loss` has none at 0."""
CUT = 20.0
"""Decades, beyond which more or fewer tell nothing further."""
LAST = 10
"""Updates that the training loss is averaged over."""


class LossMemory:
    """The training loss of the last `LAST` updates of each lane."""

    def __init__(self) -> None:
        self._losses: deque[Tensor] = deque(maxlen=LAST)

    def see(self, loss_S: Tensor) -> None:
        """One update's losses, (S,)."""
        self._losses.append(loss_S)

    def score(self, lane: int, baseline: float) -> float | None:
        """log10(mean loss / baseline) as a score is, [-4, 2]; None before the first update."""
        if not self._losses:
            return None
        return score_of(float(np.mean([float(loss_S[lane]) for loss_S in self._losses])), baseline)


def percents(update: int, updates: int) -> list[int]:
    """The percents of `AT` that an update of a budget is; several where the budget is small."""
    return [percent for percent in AT if -(-updates * percent // 100) == update]


def signals_of(
    measured: Sequence[Curve], lane: int, lag: int, verdict: Verdict, replicate: ReplicateResult, loss: float | None
) -> dict[str, float]:
    """The signals of one lane at one probe, by the names of `SIGNALS`."""
    decades = float(np.clip(verdict.decades, -CUT, CUT))
    seen = {
        "decades": decades,
        "decades_change": decades - float(np.clip(replicate.decades_init, -CUT, CUT)),
        "horizon": (lag + 1 if verdict.horizon is None else verdict.horizon) / max(1, lag),
        "healthy": float(verdict.name == "healthy"),
    }
    conditions = [c.values_SK[lane, -1] for c in measured if c.kind == "jacobian" and c.part == "condition"]
    if conditions:
        seen["condition"] = float(np.clip(np.log10(np.max(conditions)), 0.0, CUT))
    flat = [c.values_SK[lane].mean() for c in measured if c.kind == "saturation"]
    if flat:
        seen["saturation"] = float(np.mean(flat))
    for curve in measured:
        if curve.kind == "early_share":
            steps = curve.values_SK.shape[1]
            seen["early_share"] = float(curve.values_SK[lane, max(0, steps // 4 - 1)])
    if loss is not None:
        seen["loss"] = loss
    return {name: value for name, value in seen.items() if math.isfinite(value)}
