"""What difference a design can see at its number of blocks, before it runs."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from sweeps.analysis.data import ABSENT, SweepData, axis_names, columns_of, text_of
from sweeps.analysis.intervals import EXACT_TO, LEVEL, Array
from sweeps.analysis.pairs import comparisons
from sweeps.analysis.results import Result
from sweeps.spec import SweepSpec

WANTED = 0.8
"""Power at which a difference counts as one that the design can see."""
STEPS = 400
"""Steps of 1 / STEPS in which the smallest difference of a share is looked for."""


class Power(Result):
    """The smallest differences that are found in 80% of sweeps, two-sided at 5%; None where none can be found."""

    units: int
    unit: Literal["block", "seed"]
    contrasts: int
    """Comparisons that Holm counts, for each outcome."""
    baseline_share: float
    """Share at the baseline level; at .5 it takes the most."""
    share: float | None
    """Of a share, one pair of replicates a unit, independent within it; pairs that agree more see smaller ones."""
    share_holm: float | None
    """The same after Holm, while all other contrasts have no effect."""
    mean: float | None
    """Of a mean, in standard deviations of the differences between units."""
    mean_holm: float | None

    @property
    def sentence(self) -> str:
        """For people."""
        plural = f"{self.units} {self.unit}{'' if self.units == 1 else 's'}"
        if self.share is None and self.mean is None:
            return f"{plural}: no difference would be told from chance in 80% of sweeps; run more {self.unit}s."
        alone = _said(self.share, self.mean, self.baseline_share, self.unit)
        after = _said(self.share_holm, self.mean_holm, self.baseline_share, self.unit)
        if self.contrasts == 1:
            return f"{plural}: in 80% of sweeps it finds {alone}."
        return (
            f"{plural}: in 80% of sweeps it finds {alone}; after Holm over {self.contrasts} contrasts of an "
            f"outcome {after}."
        )


def power(
    units: int, contrasts: int = 1, baseline_share: float = 0.5, unit: Literal["block", "seed"] = "block"
) -> Power:
    """What `units` pairs can see.

    Shares by exact McNemar, whose power is summed over all tables; means by t, or by sign flips where there are few
    units, whose level is then the largest that their steps of 2 * 2^-n reach.

    Args:
        units: blocks, or seeds. contrasts: comparisons of an outcome. baseline_share: between 0 and 1.
    """
    assert 0 <= baseline_share <= 1, f"baseline_share is a share, but got {baseline_share}"
    alphas = (LEVEL, LEVEL / max(1, contrasts))
    share, share_holm = (_smallest_share(units, alpha, baseline_share) for alpha in alphas)
    mean, mean_holm = (_smallest_mean(units, alpha) for alpha in alphas)
    return Power(
        units=units, unit=unit, contrasts=max(1, contrasts), baseline_share=baseline_share, share=share,
        share_holm=share_holm, mean=mean, mean_holm=mean_holm,
    )  # fmt: skip


def planned(spec: SweepSpec, baseline_share: float = 0.5) -> Power | None:
    """What a spec's screen could see, its contrasts counted as `contrasts` would; None where it has no screen."""
    if "screen" not in spec.stages.sizes:
        return None
    names = axis_names(spec)
    rows = [{name: text_of(arm[name]) if name in arm else ABSENT for name in names} for arm in spec.stages.arms]
    frame = pd.DataFrame(rows, columns=columns_of(spec)).assign(stage="screen")
    data = SweepData(spec.name, spec, frame, {}, lag=1)
    found = {one.same for one in comparisons(data, frame[list(names)].drop_duplicates().reset_index(drop=True))}
    if not found:
        return None
    seeds = 1 if spec.search.nuisance else spec.replicates
    return power(spec.search.blocks * seeds, len(found), baseline_share, "seed" if data.by_replicate else "block")


def share_power(units: int, alpha: float, level: float, baseline: float) -> float:
    """Power of exact McNemar for two independent shares."""
    more, less = level * (1 - baseline), baseline * (1 - level)
    if more + less == 0:
        return 0.0
    differing = stats.binom.pmf(np.arange(units + 1), units, more + less)
    below, above = _limits(units, alpha)
    share, pairs = more / (more + less), np.arange(units + 1)
    rejected = stats.binom.cdf(below, pairs, share) + stats.binom.sf(above - 1, pairs, share)
    return float(differing @ np.where(below >= 0, rejected, 0.0))


@lru_cache
def _limits(units: int, alpha: float) -> tuple[Array, Array]:
    """Of each number of differing pairs: successes up to which, and from which, the sign test rejects."""
    pairs = np.arange(units + 1)
    below = stats.binom.ppf(alpha / 2, pairs, 0.5)
    below = np.where(2 * stats.binom.cdf(below, pairs, 0.5) <= alpha, below, below - 1)
    return below, pairs - below


def _smallest_share(units: int, alpha: float, baseline: float) -> float | None:
    sign = 1 if baseline <= 0.5 else -1
    steps = math.floor(max(baseline, 1 - baseline) * STEPS + 1e-9)
    for step in range(1, steps + 1):
        if share_power(units, alpha, min(1.0, max(0.0, baseline + sign * step / STEPS)), baseline) >= WANTED:
            return step / STEPS
    return None


def _smallest_mean(units: int, alpha: float) -> float | None:
    if units < 2:
        return None
    if units <= EXACT_TO:
        alpha = math.floor(alpha * 2 ** (units - 1) + 1e-9) / 2 ** (units - 1)
        if alpha == 0:
            return None
    return float(TTestPower().solve_power(nobs=units, alpha=alpha, power=WANTED, alternative="two-sided"))


def _said(share: float | None, mean: float | None, baseline: float, unit: str) -> str:
    to = None if share is None else baseline + (share if baseline <= 0.5 else -share)
    of_share = "no difference of a share" if to is None else f"a share of {to:.0%} against {baseline:.0%}"
    of_mean = (
        "none of a mean"
        if mean is None
        else f"a mean that differs by {mean:.2f} standard deviations of the {unit}s' differences"
    )
    return f"{of_share} and {of_mean}"
