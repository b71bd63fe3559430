"""How well each early signal, by itself and as it is, tells who will solve the task."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnnlab.training.signals import AT, SIGNALS
from sweeps.analysis.data import SweepData
from sweeps.analysis.resampling import Pairs, both_outcomes, draws, groups_of, tasks_of, units_of
from sweeps.analysis.results import Auc, Interval

FEW = 5
"""Solved, and unsolved, replicates below which a group says nothing."""
SIZE = "decades_size"
READ = {**SIGNALS, SIZE: "|D|: how far the gradient goes astray, up or down; where D < 0 throughout, -D"}
"""Signal -> what it is: those measured, and the size of D, since too much of it is no better than too little."""


def aucs(data: SweepData) -> list[Auc]:
    """AUC of each signal at each percent of the budget, for each cell type where there are several, then for all.

    Where a sweep varies the task (`task.length`), pairs are of one task alone: else a signal that only tells the
    length would seem to tell who solves it. The signal stands as it is: below 0.5 a small one is good, as of `loss`,
    `condition`, `saturation` and |D|. Only replicates in which it was measured count: those that had diverged before
    are no question any more. What was not measured, or is equal in all, is left out, and so is a group with fewer than
    5 solved or unsolved replicates.
    """
    solved, units, tasks = data.frame["solved"].to_numpy(dtype=bool), units_of(data).to_numpy(), tasks_of(data)
    found = []
    for percent in AT:
        for signal in READ:
            values = column(data.frame, signal, percent).to_numpy()
            for group, rows in groups_of(data):
                seen = rows & ~np.isnan(values)
                yes, of = int(solved[seen].sum()), int(seen.sum())
                if (
                    min(yes, of - yes) < FEW
                    or np.ptp(values[seen]) == 0
                    or not both_outcomes(solved[seen], tasks[seen])
                ):
                    continue
                auc = _auc(values[seen], solved[seen], units[seen], tasks[seen])
                found.append(
                    Auc(signal=signal, percent=percent, group=group, auc=auc, solved=yes, unsolved=of - yes)
                )  # fmt: skip
    return found


def column(frame: pd.DataFrame, signal: str, percent: int) -> pd.Series:
    """A signal of every row at a percent of the budget; NaN where it was not measured."""
    numbers = frame[f"decades_{percent}"].abs() if signal == SIZE else frame[f"{signal}_{percent}"]
    return numbers.astype(float)


def _auc(
    values: NDArray[np.float64], solved: NDArray[np.bool_], units: NDArray[np.object_], tasks: NDArray[np.int_]
) -> Interval:
    names, places = np.unique(units, return_inverse=True)
    return Pairs.of(values, solved, places, len(names), tasks).interval(draws(len(names)))
