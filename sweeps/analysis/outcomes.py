"""The outcomes of `sweeps.analysis.results` as numbers by row, and the values that they can take."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rnnlab.training.scale import HIGHEST, LOWEST
from rnnlab.training.signals import CUT
from sweeps.analysis.intervals import Array, Bounds
from sweeps.analysis.results import SHARES
from sweeps.analysis.survival import restricted_times

RATIO = "cpu_per_update"


def outcome_values(rows: pd.DataFrame, outcome: str, budget: int) -> Array:
    """One of `OUTCOMES` by row; `cpu_per_update` as the natural log of seconds; NaN where unknown."""
    if outcome == "updates_to_solve":
        return restricted_times(rows, budget).to_numpy(dtype=float)
    if outcome == RATIO:
        each: Array = (rows["cpu_seconds"] / rows["updates"]).to_numpy(dtype=float)
        known = np.isfinite(each) & (each > 0)
        return np.log(np.where(known, each, np.nan))
    return rows[outcome].to_numpy(dtype=float)


def bounds_of(outcome: str, budget: int) -> Bounds | None:
    """Lowest and highest value that an outcome can take; None: none."""
    if outcome in SHARES:
        return 0.0, 1.0
    return {
        "test_score": (LOWEST, HIGHEST),
        "decades": (-CUT, CUT),
        "decades_init": (-CUT, CUT),
        "updates_to_solve": (0.0, float(budget)),
    }.get(outcome)
