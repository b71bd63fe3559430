"""Who ends a trial before its budget is used: rules, and the Ray Tune scheduler that asks one.

A rule hears what each trial tells at its evaluations and says in words why a trial ends now. It knows a trial by its
number, so that one taken up again by a later driver is the same. docs/pruning.md has what each saves and costs.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from rnnlab.choices import choose
from sweeps.search import PRUNERS
from sweeps.search.past import Past
from sweeps.spec import SweepSpec

WAITING = (Trial.PENDING, Trial.PAUSED)
"""Tune's states of a trial that may be run, the first of them first."""


class Rule(Protocol):
    """Decides from what trials tell."""

    def hear(self, number: int, told: Mapping[str, Any]) -> str | None:
        """Trial `number` told `updates`, `score` and what its probes said; why it ends now, or None: it goes on."""


class Pruner(FIFOScheduler):  # type: ignore[misc]
    """A rule as a scheduler. `causes` is filled with why each trial ended, by number."""

    def __init__(self, rule: Rule, causes: dict[int, str]) -> None:
        super().__init__()
        self.rule, self.causes = rule, causes

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The first that waits. Ray's own goes through all trials that ever were, ended ones too, at every step."""
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status in WAITING]
        return min(waiting, key=lambda trial: (WAITING.index(trial.status), trial.config["number"]), default=None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        number = trial.config["number"]
        cause = self.rule.hear(number, result)
        if cause is None:
            return TrialScheduler.CONTINUE  # type: ignore[no-any-return]
        self.causes[number] = cause
        return TrialScheduler.STOP  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Known:
    """A trial as far as ASHA reads one."""

    trial_id: str


class Never:
    """Every trial uses its whole budget."""

    def __init__(self, updates: int) -> None: ...

    def hear(self, number: int, told: Mapping[str, Any]) -> str | None:
        return None


class Asha:
    """Asynchronous successive halving with optimiser updates as its time (Ray's).

    Diverged trials report the worst score, never NaN, for which ASHA's comparison is false and no trial ends.
    """

    def __init__(self, updates: int, reduction: float = 3, grace: int | None = None) -> None:
        self.share = f"1/{reduction:g}"
        self.ray = ASHAScheduler(
            time_attr="updates",
            metric="score",
            mode="min",
            max_t=updates + 1,  # the budget ends a trial, not the scheduler: a trial at max_t is complete
            grace_period=grace or first_look(updates),
            reduction_factor=reduction,
        )
        self._known: dict[int, Known] = {}

    def hear(self, number: int, told: Mapping[str, Any]) -> str | None:
        if number not in self._known:
            self._known[number] = Known(str(number))
            self.ray.on_trial_add(None, self._known[number])
        if self.ray.on_trial_result(None, self._known[number], dict(told)) != TrialScheduler.STOP:
            return None
        update, score = told["updates"], told["score"]
        return f"asha: score {score:+.2f} at update {update} is not in the best {self.share} of its rung"


class Median:
    """The median stopping rule (Golovin 2017): a trial ends when the best score it ever had is worse than the median
    of what the others' scores were on average up to the same update, from `grace` on.

    Ray's MedianStoppingRule gives the same decisions (a test holds that), but goes through all results of all trials
    at every result, and by default pauses trials.
    """

    def __init__(self, updates: int, grace: int | None = None, min_samples: int = 3) -> None:
        self.grace, self.min_samples = grace or first_look(updates), min_samples
        self._best: dict[int, float] = {}
        self._sums: dict[int, tuple[float, int]] = {}
        self._averages: dict[int, list[float]] = {}
        """By update, ascending: of all trials that told a score there."""

    def hear(self, number: int, told: Mapping[str, Any]) -> str | None:
        update, score = told["updates"], told["score"]
        best = self._best[number] = min(score, self._best.get(number, score))
        if update < self.grace:
            return None
        total, count = self._sums.get(number, (0.0, 0))
        self._sums[number] = total + score, count + 1
        others = self._averages.setdefault(update, [])
        median = float(np.median(others)) if len(others) >= self.min_samples else None
        insort(others, (total + score) / (count + 1))
        if median is None or best <= median:
            return None
        return f"median: best score {best:+.2f} by update {update}, median of {len(others) - 1} others {median:+.2f}"


def first_look(updates: int) -> int:
    """A ninth of the budget: the update at which a trial may end first, where none is given."""
    return max(1, updates // 9)


def scheduler_for(spec: SweepSpec, past: Sequence[Past] = (), causes: dict[int, str] | None = None) -> TrialScheduler:
    """The scheduler that the spec's pruner names.

    Args:
        past: trials of an earlier driver, whose reports it hears first: a new one would know nothing of them.
        causes: filled with why it ended each trial, by number.
    """
    pruner = spec.search.pruner
    rule: Rule = choose(PRUNERS, pruner.kind).load()(spec.budget.updates, **pruner.options)
    replay(rule, past)
    return Pruner(rule, {} if causes is None else causes)


def replay(rule: Rule, past: Sequence[Past]) -> None:
    """Let a rule hear what trials told an earlier driver; what it says to that was decided then."""
    for one in past:
        for update, score in one.reports:
            rule.hear(one.number, {"updates": update, "score": score, **one.judged.get(update, {})})
