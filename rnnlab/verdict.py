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
"""log10 of a norm that is exactly 0: below the smallest normal float64 (a curve in the log domain goes lower).

-FLOOR is that of a norm that overflowed (inf or NaN), above the largest float64 (1.8e308)."""

SENSITIVITY = (2.0, 3.0, 5.0)
"""r, in decades, at which a verdict and its horizon are told beside the one in use."""


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
        mixed: states of the layer disagree, h and c of an LSTM.
        names_by_r: the name where `decades` of the thresholds were 2, 3, 5 (`SENSITIVITY`).
        horizons_by_r: H_r for these r.
        fit: which of norm = a exp(s k) (`exponential`) and a k^p (`power_law`) leaves the smaller residuals of log
            norm from `first_lag` on; `none` where fewer than 3 norms are above 0. `slope` is a factor a step only of
            an exponential.
        power: p of the better power law, by least squares.
        residuals: root mean square of what the exponential and the power law leave, in decades.
    """

    name: str
    decades: float
    slope: float
    hump: float
    horizon: int | None
    underflow: bool
    mixed: bool = False
    names_by_r: tuple[str, ...] = ()
    horizons_by_r: tuple[int | None, ...] = ()
    fit: str = "none"
    power: float = 0.0
    residuals: tuple[float, float] = (0.0, 0.0)


def judge(
    log10_K: NDArray[np.float64], lag: int, thresholds: VerdictSpec, zero_K: NDArray[np.bool_] | None = None
) -> Verdict:
    """The verdict of a curve of log10 norms by lag 0, 1, 2, ..., over lags `first_lag` to `lag`.

    The first that applies: exploding (D > decades, hump > explosion_hump, or a norm overflowed), vanishing
    (D < -decades), transient (hump > transient_hump), healthy; with fewer than `least_lags` lags too_short.

    Args:
        zero_K: lags at which the norm is exactly 0; None: where log10 is `FLOOR` or less.
    """
    first = thresholds.first_lag
    used_K = log10_K[first : lag + 1]
    zeros_K = used_K <= FLOOR if zero_K is None else zero_K[first : lag + 1]
    underflow = bool(zeros_K.any())
    if len(used_K) < thresholds.least_lags:
        return Verdict("too_short", 0.0, 0.0, 0.0, None, underflow)
    tenth = max(1, round(0.1 * len(used_K)))
    early, late = float(np.median(used_K[:tenth])), float(np.median(used_K[-tenth:]))
    # a gradient that is 0 at all these lags has lost everything, not nothing
    lowest = float(used_K[zeros_K].min()) if underflow else -np.inf
    decades = lowest if max(early, late) <= lowest else late - early
    hump = float(used_K.max() - used_K[0])
    overflowed = bool((used_K >= -FLOOR).any())  # inf or NaN: all such a curve says is that it blew up
    exploding = overflowed or hump > np.log10(thresholds.explosion_hump)

    def named(limit: float) -> str:
        if exploding or decades > limit:
            return "exploding"
        if decades < -limit:
            return "vanishing"
        return "transient" if hump > np.log10(thresholds.transient_hump) else "healthy"

    def horizon(r: float) -> int | None:
        below = np.flatnonzero(used_K < used_K[0] - r)
        return int(below[0]) + first if len(below) else None

    fit, power, residuals = better_fit(np.where(zeros_K, np.nan, used_K), first)
    return Verdict(
        named(thresholds.decades),
        decades,
        theil_sen(used_K) * float(np.log(10)),
        hump,
        horizon(thresholds.horizon),
        underflow,
        names_by_r=tuple(named(r) for r in SENSITIVITY),
        horizons_by_r=tuple(horizon(r) for r in SENSITIVITY),
        fit=fit,
        power=power,
        residuals=residuals,
    )


def better_fit(log10_K: NDArray[np.float64], first: int) -> tuple[str, float, tuple[float, float]]:
    """Name of the better of two laws, the power law's exponent, and both residuals in decades (least squares).

    A straight line of log norm against lag is an exponential, one against log lag a power law (of SCIENCE.md
    section 5, a curve of which no constant factor a step is true). A flat curve is both and is called exponential.

    Args:
        log10_K: log norms at lags `first`, `first` + 1, ...; NaN ones, and lag 0, are left out.
    """
    lags_K = first + np.arange(len(log10_K), dtype=np.float64)
    known_K = np.isfinite(log10_K) & (lags_K > 0)
    if known_K.sum() < 3:
        return "none", 0.0, (0.0, 0.0)
    y_N, k_N = log10_K[known_K] - log10_K[known_K][0], lags_K[known_K]
    left, slopes = [], []
    for x_N in (k_N, np.log10(k_N)):
        away_N = x_N - x_N.mean()
        slope = float(away_N @ (y_N - y_N.mean()) / (away_N @ away_N))
        slopes.append(slope)
        left.append(float(np.sqrt(np.mean((y_N - y_N.mean() - slope * away_N) ** 2))))
    # within rounding of each other (a flat curve) the simpler law stands
    power_law = left[1] < left[0] * (1 - 1e-6) and left[0] > 1e-9
    return "power_law" if power_law else "exponential", slopes[1], (left[0], left[1])


def theil_sen(y_K: NDArray[np.float64]) -> float:
    """The median of the slopes of all pairs of points, per step; robust to humps and noise (Sen 1968).

    That of `scipy.stats.theilslopes`, whose import costs every worker more than all its verdicts.
    """
    if len(y_K) > 400:  # pairs grow with the square; every n-th point keeps the slope
        every = -(-len(y_K) // 400)
        return theil_sen(y_K[::every]) / every
    earlier, later = np.triu_indices(len(y_K), 1)
    return float(np.median((y_K[later] - y_K[earlier]) / (later - earlier)))


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
