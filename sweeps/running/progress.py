"""How far a sweep is: what a live table shows, and the port that it is shown through."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from sweeps.recording.actor import RecorderStatus

SHOWN = ("score", "verdict", "verdict_init", "decades", "exploded")
"""What a row shows of a trial's result."""
RECENT = 64
"""Trials that ended last, of which a live table shows some."""


@dataclass
class TrialProgress:
    """One trial as a row.

    Args:
        number: within the sweep. label: readable.
        updates: done, of `budget`.
        worker: host and process that trained it.
        outcome: `running` until it ends.
        result: its last result as plain values, of one that has ended what `SHOWN` names; None before the first.
    """

    number: int
    label: str
    budget: int
    updates: int = 0
    outcome: Outcome = Outcome.RUNNING
    result: dict[str, Any] | None = None
    cause: str | None = None
    worker: str = ""


@dataclass
class SweepProgress:
    """A sweep so far.

    Args:
        sweep_id: its id. total: trials that it will have.
        trials: by number. recording: how far MLflow is. notice: what a person should know now, if anything.
        running: those that have not ended. recent: those that ended last, in that order.
    """

    sweep_id: str
    total: int
    trials: dict[int, TrialProgress] = field(default_factory=dict)
    recording: RecorderStatus | None = None
    notice: str = ""
    started: float = field(default_factory=time.monotonic)
    running: dict[int, TrialProgress] = field(default_factory=dict)
    recent: deque[TrialProgress] = field(default_factory=lambda: deque(maxlen=RECENT))

    # a thread draws what another one changes, thousands of times: counts are kept, not made by going over all trials

    def begin(self, trial: TrialProgress) -> None:
        """A trial has begun."""
        self.trials[trial.number] = self.running[trial.number] = trial

    def end(self, trial: TrialProgress) -> None:
        """A trial has its outcome; of its result stays what is shown."""
        if trial.result is not None:
            trial.result = {name: trial.result[name] for name in SHOWN}
        self.trials[trial.number] = trial
        self.running.pop(trial.number, None)
        self.recent.append(trial)

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return len(self.trials) - len(self.running)

    @property
    def share(self) -> float:
        """Share of all updates that is done; trials that ended early count as done."""
        if not self.total:
            return 1.0
        under_way = sum(trial.updates / trial.budget for trial in list(self.running.values()))
        return min(1.0, (self.ended + under_way) / self.total)


class Watcher(Protocol):
    """Who is shown a sweep's progress, on the driver."""

    def changed(self, progress: SweepProgress) -> None:
        """Something happened; must return at once."""


class NoWatcher:
    """Shows nothing."""

    def changed(self, progress: SweepProgress) -> None:
        pass


def trial_label(spec: TrialSpec, picked: Collection[str] | None = None) -> str:
    """A readable name, `rnn tanh, orthogonal(1), depth 2, clip norm(1)`; what is default is left out.

    Args:
        spec: the trial.
        picked: params that the space picked; clip and optimiser are named only among these. None: name them all.
    """
    model, optim = spec.model, spec.optim
    parts = [model.cell.label if model.activation is None else f"{model.cell.label} {model.activation.label}"]
    parts += [choice.label for choice in (model.init, model.bias_init) if choice.kind != "default"]
    if model.depth > 1:
        parts.append(f"depth {model.depth}")
    if (picked is None and optim.clip.kind != "none") or "clip" in (picked or ()):
        parts.append("no clip" if optim.clip.kind == "none" else f"clip {optim.clip.label}")
    if (picked is None and optim.kind != "adam") or "optimiser" in (picked or ()):
        parts.append(optim.kind)
    return ", ".join(parts)
