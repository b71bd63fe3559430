"""What a new driver's searcher and pruner hear of the trials of an earlier one. Loads neither Ray nor Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnlab.training.outcome import Outcome
from sweeps.space.dimensions import Picks

JUDGED = ("verdict", "decades", "probed", "in_a_row")
"""What a trial's result says of its probes, as the lab database's reports keep it."""


@dataclass(frozen=True)
class Past:
    """A trial of an earlier driver.

    Args:
        number: of the trial. picks: its point. reports: (update, score) as told, ascending.
        outcome: how it ended; None where it did not, or was interrupted: then it goes on.
        score: its last.
        judged: what its probes said, by update of the report and name (`JUDGED`).
    """

    number: int
    picks: Picks
    reports: tuple[tuple[int, float], ...] = ()
    outcome: Outcome | None = None
    score: float | None = None
    judged: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
