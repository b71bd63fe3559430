"""A curve: norms or losses by timestep or by lag, at one update, a row a lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rnnlab.spec import VerdictSpec
from rnnlab.verdict import FLOOR, Verdict, judge

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = float(np.finfo(np.float64).max)
"""What a recorder is told instead of a value that overflowed: nothing non-finite leaves a run."""
Kind = Literal[
    "loss", "anytime_loss", "total", "inputs", "anchor", "jacobian", "lyapunov", "weight", "reach", "saturation",
    "gate", "early_share",
]  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """Values by timestep t = 0 ... T-1, or by lag k = 0 ... T-1, one row a lane.

    Args:
        kind: `loss` or `anytime_loss` (the readout applied where the loss does not look), `total` (G1),
            `inputs` (dL/dx_t), `anchor` (G2); others are named after their probes.
        axis: what the columns count: steps, or the place in a list that the probe names (`index`).
        values_SK: float64; norms are the root of the mean of squares over the batch of per-sample norms.
        state: `h` or `c`; None for losses and inputs.
        layer: 0 is the bottom one; None for losses and inputs.
        update: optimiser updates done when it was measured.
        exact_log10_SK: log10 of values that float64 cannot hold, -inf for an exact 0; None: all are held.
        part: which of several curves of one kind, state and layer; a word for the name.
    """

    kind: Kind
    axis: Literal["timestep", "lag", "index"]
    values_SK: NDArray[np.float64]
    state: str | None = None
    layer: int | None = None
    update: int = 0
    exact_log10_SK: NDArray[np.float64] | None = None
    part: str | None = None

    @property
    def name(self) -> str:
        """A name that is unique within one probe: `anchor_c_l0`."""
        parts = [self.kind, self.part, self.state, None if self.layer is None else f"l{self.layer}"]
        return "_".join(part for part in parts if part)

    @property
    def log10_SK(self) -> NDArray[np.float64]:
        """log10 of the values, always finite; below float64's range where the curve was measured there.

        An exact 0 is `FLOOR` (or the smallest of its row, where that lies below), overflow and NaN -FLOOR.
        """
        if self.exact_log10_SK is not None:
            logs = np.where(np.isnan(self.exact_log10_SK), np.inf, self.exact_log10_SK)
            lowest_S1 = np.where(np.isfinite(logs), logs, FLOOR).min(axis=1, keepdims=True)
            logs = np.where(np.isneginf(logs), np.minimum(lowest_S1, FLOOR), logs)
            return np.asarray(np.where(np.isposinf(logs), -FLOOR, logs), dtype=np.float64)
        with np.errstate(divide="ignore"):
            logs = np.log10(np.maximum(self.values_SK, 0))
        logs = np.where(self.values_SK >= LARGEST, -FLOOR, logs)
        logs = np.nan_to_num(logs, nan=-FLOOR, posinf=-FLOOR, neginf=FLOOR)
        return np.asarray(np.clip(logs, FLOOR, -FLOOR), dtype=np.float64)

    @property
    def zero_SK(self) -> NDArray[np.bool_]:
        """Where the value is exactly 0."""
        if self.exact_log10_SK is not None:
            return np.asarray(np.isneginf(self.exact_log10_SK))
        return np.asarray(self.log10_SK <= FLOOR)

    def verdict(self, lag: int | None = None, lane: int = 0, thresholds: VerdictSpec | None = None) -> Verdict:
        """What a G2 curve says over lags up to `lag` (default T - 1).

        Raises:
            ValueError: not a G2 curve; a loss at every step hides vanishing (SCIENCE.md, trap 2).
        """
        if self.kind != "anchor":
            raise ValueError(f"a verdict reads a G2 curve (kind 'anchor'), but this curve is {self.kind!r}")
        last = self.values_SK.shape[1] - 1
        return judge(self.log10_SK[lane], last if lag is None else lag, thresholds or VerdictSpec(), self.zero_SK[lane])


def rms_norm(gradient_TSBH: Tensor) -> NDArray[np.float64]:
    """Root mean square over the batch of per-sample norms, (S, T) float64, exact over float64's whole range.

    Each timestep is divided by its largest entry first: squaring small entries would read 0 (trap of
    SCIENCE.md section 5).
    """
    import torch  # here: whoever only keeps or draws curves, as the recorder does, needs no torch

    g = gradient_TSBH.detach().double()
    largest_TS = g.abs().amax((2, 3))
    scale_TS = torch.where((largest_TS > 0) & largest_TS.isfinite(), largest_TS, 1.0)
    sums_TS = (g / scale_TS[..., None, None]).square().sum((2, 3))
    norms_TS = scale_TS * (sums_TS / g.shape[2]).sqrt()
    values: NDArray[np.float64] = norms_TS.T.cpu().numpy()
    return values
