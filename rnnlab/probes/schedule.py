"""When probes run."""

from __future__ import annotations

from typing import Literal


def probe_updates(schedule: Literal["log"] | list[int], updates: int) -> list[int]:
    """Updates to probe at, ascending: 0, 1, 2, 5, 10, 20, 50, ... (or those given) and the last."""
    if schedule == "log":
        marks = {0} | {digit * 10**power for power in range(len(str(updates))) for digit in (1, 2, 5)}
    else:
        marks = set(schedule)
    return sorted({mark for mark in marks if mark < updates} | {updates})
