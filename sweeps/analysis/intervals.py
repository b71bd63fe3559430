"""95% intervals and p-values, of values that are one number a unit (a block or a seed).

| what | interval | p |
|---|---|---|
| share of an arm, one 0/1 a unit | Wilson | |
| share of an arm, several replicates a unit | Wilson on the effective number of replicates | |
| difference of shares, one 0/1 a unit and arm | Newcombe's paired | exact McNemar |
| any other difference | t on units | exact sign flips up to 12 units, else t |
| mean of an arm, 30 units or more | cluster bootstrap (BCa) | |
| mean of an arm, fewer units | t on units | |
| ratio of skewed costs | t on logs | as for a difference, of the logs |
| all units alike, outcome with bounds | Wilson or Newcombe on units, over its range | as for a difference |

Wilson over all replicates is wrong where replicates share a block: it covered .75 with 30 blocks of 5. BCa is wrong for
differences in which a few runs diverged: it covered .88 at 30 blocks, t .95; for an arm's skewed mean it is the other
way round (.95, .92). What each of these covers stands in docs/statistics.md.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from sweeps.analysis.results import Interval

Array = NDArray[np.float64]
Bounds = tuple[float, float]
"""Lowest and highest value that an outcome can take."""
BOOTSTRAP_FROM = 30
"""Units from which an arm's mean has the cluster bootstrap; BCa covered .81 at 5 and .89 at 10."""
RESAMPLES = 1999
"""Of the bootstrap: each end is within about .06 standard errors of the one from endless resamples."""
EXACT_TO = 12
"""Units up to which p comes from all 2^n sign flips."""
LEVEL = 0.05
ALIKE = 1e-9
"""Relative spread below which units count as alike."""


def share_interval(x_U: Array, replicates: int) -> Interval:
    """An arm's share.

    With one 0/1 a unit Wilson's. Else Wilson's with the effective number of replicates for n, that is p (1 - p) over
    the variance of the mean of units, within the numbers of units and of replicates, and t of U - 1 for the normal
    quantile (Korn and Graubard 1998, with Wilson's for the exact interval). Unlike t on the units it keeps its level
    near 0 and 1, and has a width where all units are alike.

    Args:
        x_U: share of each unit's replicates. replicates: of all units.
    """
    units, value = len(x_U), _mean(x_U)
    if replicates == units:
        low, high = wilson(value, units)
        return Interval(value=value, low=low, high=high, method="Wilson")
    if units < 2 or alike(x_U):
        low, high = wilson(value, units)
        return Interval(value=value, low=low, high=high, method="Wilson on units (all alike)")
    effective = min(replicates, max(units, value * (1 - value) * units / x_U.var(ddof=1)))
    low, high = wilson(value, effective, float(stats.t.ppf(1 - LEVEL / 2, units - 1)))
    return Interval(value=value, low=low, high=high, method="Wilson on the effective number of replicates")


def mean_interval(x_U: Array, bounds: Bounds | None) -> Interval | None:
    """Mean over units; None where no honest interval exists: one unit, or all alike, of an outcome without bounds."""
    value = _mean(x_U)
    if len(x_U) < 2 or alike(x_U):
        if bounds is None:
            return None
        low, high = (_scaled(end, bounds) for end in wilson(_unscaled(value, bounds), len(x_U)))
        return Interval(value=value, low=low, high=high, method="Wilson on units over the range (all alike)")
    found = t_interval(x_U, bounds)
    if len(x_U) < BOOTSTRAP_FROM:
        return found
    draw = np.random.default_rng(0)
    ends = stats.bootstrap((x_U,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=draw).confidence_interval
    low, high = float(ends.low), float(ends.high)
    if not (np.isfinite(low) and np.isfinite(high)):
        return found
    return Interval(value=value, low=min(low, value), high=max(high, value), method="cluster bootstrap")


def difference_interval(level_U: Array, base_U: Array, bounds: Bounds | None) -> Interval | None:
    """Mean over units of level less baseline; None where no honest interval exists.

    Where every difference is the same, the interval is that of unpaired shares (square and add) with units for n.
    """
    d_U = level_U - base_U
    width = None if bounds is None else bounds[1] - bounds[0]
    if not alike(d_U):
        return t_interval(d_U, None if width is None else (-width, width))
    if bounds is None or width is None:
        return None
    p, q = (min(1.0, max(0.0, _unscaled(_mean(x_U), bounds))) for x_U in (level_U, base_U))
    low, high = square_and_add(p, wilson(p, len(d_U)), q, wilson(q, len(d_U)), 0.0)
    return Interval(
        value=_mean(d_U), low=min(_mean(d_U), low * width), high=max(_mean(d_U), high * width),
        method="Newcombe on units (all alike)",
    )  # fmt: skip


def newcombe(level_U: Array, base_U: Array) -> Interval:
    """Difference of two paired shares of 0/1 values: Newcombe (1998, Stat Med 17:2635), method 10."""
    n = len(level_U)
    both, level_only = float((level_U * base_U).sum()), float((level_U * (1 - base_U)).sum())
    base_only = float(((1 - level_U) * base_U).sum())
    neither = n - both - level_only - base_only
    cross = both * neither - level_only * base_only
    margins = (both + level_only) * (base_only + neither) * (both + base_only) * (level_only + neither)
    phi = (max(cross - n / 2, 0.0) if cross > 0 else cross) / margins**0.5 if margins else 0.0
    p, q = _mean(level_U), _mean(base_U)
    low, high = square_and_add(p, wilson(p, n), q, wilson(q, n), phi)
    return Interval(value=p - q, low=low, high=high, method="Newcombe")


def square_and_add(p: float, of_p: Bounds, q: float, of_q: Bounds, phi: float) -> Bounds:
    """Interval of p - q from those of p and of q, whose estimates correlate by phi (Newcombe 1998)."""
    down, up = p - of_p[0], of_p[1] - p
    q_down, q_up = q - of_q[0], of_q[1] - q
    low = p - q - max(0.0, down**2 - 2 * phi * down * q_up + q_up**2) ** 0.5
    high = p - q + max(0.0, up**2 - 2 * phi * up * q_down + q_down**2) ** 0.5
    return low, high


def ratio_interval(log_U: Array) -> Interval | None:
    """Ratio (or geometric mean) from natural logs by unit: t on these, then exp; None of one unit or all alike."""
    if len(log_U) < 2 or alike(log_U):
        return None
    found = t_interval(log_U, None)
    low, value, high = (float(np.exp(end)) for end in (found.low, found.value, found.high))
    return Interval(value=value, low=low, high=high, method="t on logs")


def mcnemar_p(level_U: Array, base_U: Array) -> float:
    """Exact two-sided McNemar: the sign test of the pairs that differ."""
    more, less = int((level_U > base_U).sum()), int((level_U < base_U).sum())
    return min(1.0, float(mcnemar([[0, more], [less, 0]], exact=True).pvalue)) if more + less else 1.0


def mean_p(d_U: Array) -> float:
    """Two-sided p of a mean of 0: all sign flips of up to `EXACT_TO` units, of more units t.

    Sign flips assume differences symmetric around 0, as they are where two arms do not differ. (What scipy's
    permutation_test gives, of which one call takes 40 ms.)
    """
    n = len(d_U)
    if n <= EXACT_TO:
        sums = np.abs(_signs(n) @ d_U)
        return float(np.mean(sums >= abs(d_U.sum()) - ALIKE * np.abs(d_U).sum()))
    if alike(d_U):
        return 2 * 0.5**n if abs(_mean(d_U)) > ALIKE else 1.0
    return float(2 * stats.t.sf(abs(_mean(d_U)) / _error(d_U), n - 1))


def holm_p(p_C: Array) -> Array:
    """Holm's adjusted p-values. (What statsmodels' multipletests gives, which collects all garbage at every call.)"""
    order = np.argsort(p_C, kind="stable")
    adjusted_C = np.empty(len(p_C))
    adjusted_C[order] = np.maximum.accumulate(p_C[order] * np.arange(len(p_C), 0, -1))
    return np.minimum(adjusted_C, 1.0)


def smallest_p(n: int) -> float:
    """The smallest two-sided p that signs of n units can give."""
    return float(min(1.0, 2 * 0.5**n))


def wilson(share: float, n: float, quantile: float = float(stats.norm.ppf(1 - LEVEL / 2))) -> Bounds:
    """Wilson's interval of a share of n, which need not be whole."""
    low, high = proportion_confint(share * n, n, alpha=2 * stats.norm.sf(quantile), method="wilson")
    return max(0.0, min(share, float(low))), min(1.0, max(share, float(high)))


def alike(x_U: Array) -> bool:
    """Whether all units have the same value, up to rounding."""
    return bool(np.ptp(x_U) <= ALIKE * max(1.0, float(np.abs(x_U).max())))


def t_interval(x_U: Array, bounds: Bounds | None) -> Interval:
    """t of units that are not all alike, cut at the bounds."""
    low, high = (float(end) for end in stats.t.interval(1 - LEVEL, len(x_U) - 1, x_U.mean(), _error(x_U)))
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(value=_mean(x_U), low=low, high=high, method="t on units")


@lru_cache(EXACT_TO)
def _signs(n: int) -> Array:
    """All 2^n rows of n signs."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    return 1.0 - 2.0 * bits.astype(np.float64)


def _error(x_U: Array) -> float:
    """Standard error of the mean."""
    return float(x_U.std(ddof=1) / len(x_U) ** 0.5)


def _mean(x_U: Array) -> float:
    return float(x_U.mean())


def _unscaled(value: float, bounds: Bounds) -> float:
    return (value - bounds[0]) / (bounds[1] - bounds[0])


def _scaled(share: float, bounds: Bounds) -> float:
    return bounds[0] + share * (bounds[1] - bounds[0])
