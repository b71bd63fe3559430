"""A pruning rule that reads the gradient: measured, found no better than ASHA, and so no pruner of a sweep.

docs/pruning.md has the figures. It stays as what they were measured with, and as a rule to start another one from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnlab.probes.schedule import probe_updates
from sweeps.search.pruners import first_look
from sweeps.spec import SweepSpec

ENDED = ("vanishing", "exploding")
"""Verdicts for which a trial may end."""


class Gradient:
    """A trial ends at an evaluation from `grace` on when all of these hold:

    - its last `probes` probes, update 0's left out, had one verdict of `verdicts`;
    - its score was never better than -`least`: its loss never fell below the trivial baseline by that many powers of
      ten;
    - where `recovery` is given: |D| was told at two probes at least, is `deep` or more, and did not fall by more than
      `recovery` decades from any of these to the last one. (A GRU's gradient that vanishes over 80 steps at first is
      alive when it has learnt the task.)
    """

    def __init__(
        self,
        spec: SweepSpec,
        probes: int = 3,
        *,
        least: float = 0.02,
        grace: int | None = None,
        verdicts: tuple[str, ...] = ENDED,
        recovery: float | None = None,
        deep: float = 0.0,
    ) -> None:
        updates = spec.budget.updates
        self.probed_at = [update for update in probe_updates(spec.probe.schedule, updates) if update > 0]
        self.probes, self.least, self.verdicts, self.recovery, self.deep = probes, least, verdicts, recovery, deep
        self.grace = first_look(updates) if grace is None else grace
        self._best: dict[int, float] = {}
        self._sizes: dict[int, dict[int, float]] = {}
        """|D| of each trial by the probe's update."""

    def hear(self, number: int, told: Mapping[str, Any]) -> str | None:
        best = self._best[number] = min(told["score"], self._best.get(number, told["score"]))
        row = told.get("in_a_row") or 0
        if row:
            self._sizes.setdefault(number, {})[told["probed"]] = abs(told["decades"])
        if told["updates"] < self.grace or row < max(1, self.probes) or told["verdict"] not in self.verdicts:
            return None
        if best < -self.least or self._recovers(number):
            return None
        seen = [update for update in self.probed_at if update <= told["probed"]]
        times = "1 probe" if row == 1 else f"{row} probes in a row"
        where = f"update {seen[-1]}" if row == 1 else f"updates {seen[-row]} to {seen[-1]}"
        return f"{told['verdict']} at {times}, {where}, score no better than {best:+.2f}"

    def _recovers(self, number: int) -> bool:
        """Whether the gradient comes back, or nothing is known of that yet."""
        if self.recovery is None:
            return False
        *before, last = self._sizes[number].values()
        return not before or last < self.deep or max(before) - last > self.recovery
