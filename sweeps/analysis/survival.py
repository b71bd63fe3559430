"""Updates until a task was solved: a time to an event, which the budget censors. Nobody is dropped."""

from __future__ import annotations

import math

import pandas as pd
from statsmodels.duration.survfunc import SurvfuncRight


def restricted_times(rows: pd.DataFrame, budget: int) -> pd.Series:
    """Updates to solve, at most the budget: the whole budget where the criterion never held, diverged runs too.

    Their mean is the restricted mean time (Royston and Parmar 2013), which needs no model of those who never solve.
    """
    return rows["solved_at"].astype(float).clip(upper=budget).fillna(float(budget))


def median_updates(rows: pd.DataFrame, budget: int) -> float | None:
    """Kaplan-Meier median of the updates to solve; None where less than half ever solved it."""
    if not len(rows):
        return None
    solved = rows["solved_at"].notna() & (rows["solved_at"] <= budget)
    median = float(SurvfuncRight(restricted_times(rows, budget), solved.astype(int)).quantile(0.5))
    return median if math.isfinite(median) else None
