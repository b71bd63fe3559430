"""What a G2 curve says about a network: vanishing, exploding, transient or healthy (SCIENCE.md section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlab.spec import VerdictSpec

WORST_FIRST = ("exploding", "vanishing", "transient", "too_short", "healthy")
"""Names of verdicts in the order in which the worst layer, and a tie between replicates, is decided."""
FLOOR = -320.0
"""log10 of a norm that is exactly 0: below the smallest float64 (4.9e-324 is -323.3 but subnormal).

-FLOOR is that of a norm that overflowed (inf or NaN), above the largest float64 (1.8e308)."""


@dataclass(frozen=True)
class Verdict:
    """The verdict of one G2 curve, and the numbers behind it. Lags and horizon count timesteps.

    Args:
        name: one of `WORST_FIRST`.
        decades: D, log10 of the median norm over the last tenth of the lags over that of the first tenth.
        slope: Theil-Sen slope of ln norm per lag, from `first_lag` on; exp(slope) is the factor a step.
        hump: log10 of the largest norm over that at `first_lag`.
        horizon: smallest lag whose norm is below 10^-r of that at `first_lag`; None if there is none.
        underflow: some norm was exactly 0, so decades are a bound.
        mixed: h and c of the layer disagree.
    """

    name: str
    decades: float
    slope: float
    hump: float
    horizon: int | None
    underflow: bool
    mixed: bool = False


def judge(log10_K: NDArray[np.float64], lag: int, thresholds: VerdictSpec) -> Verdict:
    """The verdict of a curve of log10 norms by lag 0, 1, 2, ..., over lags `first_lag` to `lag`.

    The first that applies: exploding (D > decades, hump > explosion_hump, or a norm overflowed), vanishing
    (D < -decades), transient (hump > transient_hump), healthy; with fewer than `least_lags` lags too_short.
    """
    first = thresholds.first_lag
    used_K = log10_K[first : lag + 1]
    if len(used_K) < thresholds.least_lags:
        return Verdict("too_short", 0.0, 0.0, 0.0, None, bool((used_K <= FLOOR).any()))
    tenth = max(1, round(0.1 * len(used_K)))
    early, late = float(np.median(used_K[:tenth])), float(np.median(used_K[-tenth:]))
    # a gradient that is 0 at all these lags has lost everything, not nothing
    decades = FLOOR if max(early, late) <= FLOOR else late - early
    hump = float(used_K.max() - used_K[0])
    below = np.flatnonzero(used_K < used_K[0] - thresholds.horizon)
    overflowed = bool((used_K >= -FLOOR).any())  # inf or NaN: all such a curve says is that it blew up
    if overflowed or decades > thresholds.decades or hump > np.log10(thresholds.explosion_hump):
        name = "exploding"
    elif decades < -thresholds.decades:
        name = "vanishing"
    elif hump > np.log10(thresholds.transient_hump):
        name = "transient"
    else:
        name = "healthy"
    return Verdict(
        name,
        decades,
        theil_sen(used_K) * float(np.log(10)),
        hump,
        int(below[0]) + first if len(below) else None,
        bool((used_K <= FLOOR).any()),
    )


def theil_sen(y_K: NDArray[np.float64]) -> float:
    """The median of the slopes of all pairs of points, per step; robust to humps and noise (Sen 1968)."""
    from scipy.stats import theilslopes

    if len(y_K) > 400:  # pairs grow with the square; every n-th point keeps the slope
        every = -(-len(y_K) // 400)
        return theil_sen(y_K[::every]) / every
    return float(theilslopes(y_K).slope)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst verdict; among equals the one with the largest |decades|."""
    return min(verdicts, key=lambda v: (WORST_FIRST.index(v.name), -abs(v.decades)))


def most_frequent(names: Sequence[str]) -> str:
    """The most frequent name, ties to the worse."""
    return min(set(names), key=lambda name: (-names.count(name), WORST_FIRST.index(name)))


def of_layer(by_state: dict[str, Verdict], read: str) -> Verdict:
    """A layer's verdict: that of the state which is read, `mixed` where another state's name differs."""
    chosen = by_state[read]
    fields: dict[str, Any] = {**chosen.__dict__, "mixed": len({v.name for v in by_state.values()}) > 1}
    return Verdict(**fields)
