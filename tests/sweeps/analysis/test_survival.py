"""Updates to solve, with the budget as censoring."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from sweeps.analysis.survival import median_updates, restricted_times

NAN = math.nan


def rows(*solved_at: float) -> pd.DataFrame:
    return pd.DataFrame({"solved_at": list(solved_at), "diverged": [False] * len(solved_at)})


def test_who_never_solves_counts_with_the_whole_budget() -> None:
    assert list(restricted_times(rows(100, NAN, 250, 400), 300)) == [100, 300, 250, 300]
    # dropping who never solved would say 175
    assert restricted_times(rows(100, NAN, 250), 300).mean() == pytest.approx(650 / 3)


@pytest.mark.parametrize(
    ("solved_at", "median"),
    [
        ((10, 20, 30), 20),
        ((10, 20, NAN, NAN, 30), 30),
        ((10, NAN, NAN), None),
        ((NAN, NAN), None),
        ((), None),
        ((400,), None),
    ],
)
def test_kaplan_meier_median(solved_at: tuple[float, ...], median: float | None) -> None:
    assert median_updates(rows(*solved_at), 300) == median
