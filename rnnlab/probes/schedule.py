"""When probes run."""

from __future__ import annotations

from typing import Literal

EARLY = (2, 5, 10)
"""Percent of the budget, rounded up to whole updates: where what predicts success is compared between budgets."""


def probe_updates(schedule: Literal["log"] | list[int], updates: int) -> list[int]:
    """Updates to probe at, ascending: 0, 1, 2, 5, 10, 20, 50, ..., EARLY of the budget (or those given), the last."""
    if schedule == "log":
        marks = {0} | {digit * 10**power for power in range(len(str(updates))) for digit in (1, 2, 5)}
        marks |= {-(-updates * percent // 100) for percent in EARLY}
    else:
        marks = set(schedule)
    return sorted({mark for mark in marks if mark < updates} | {updates})
