"""Which of the messages that wait are written together, and when."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.recording.messages import TrialOver
from sweeps.recording.spool import Waiting

LINGER = 5.0
"""Seconds that a trial's messages wait for more of it, so that they go in one call; its end does not wait."""
WINDOW = 128
"""Messages that are looked at to find those of one trial."""


def due(entries: Sequence[Waiting], now: float, hurry: bool, most: int) -> list[list[Waiting]]:
    """Messages to write now: those of a trial together and up to its end, of at most `most` trials.

    A trial's beginning and updates wait `LINGER` seconds for more of it, unless there are `WINDOW` messages; its end
    does not wait, and the sweep's end comes after everything else.

    Args:
        entries: the oldest that wait, at most `WINDOW`. now: monotonic seconds. hurry: nothing lingers.
    """
    by_trial: dict[int | None, list[Waiting]] = {}
    for one in entries:
        by_trial.setdefault(one.trial, []).append(one)
    hurry = hurry or len(entries) >= WINDOW or None in by_trial
    groups: list[list[Waiting]] = []
    for trial, group in by_trial.items():
        if trial is None:
            return groups or [group[:1]]
        end = next((place for place, one in enumerate(group, 1) if isinstance(one.messages[-1], TrialOver)), None)
        if hurry or end is not None or now - group[0].since >= LINGER:
            groups.append(group[:end])
        if len(groups) == most:
            break
    return groups
