"""Ray Tune's schedulers: who ends a trial before its budget is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from rnnlab.choices import choose
from sweeps.search import PRUNERS
from sweeps.search.searcher import Past
from sweeps.spec import SweepSpec


def none(updates: int) -> TrialScheduler:
    """Every trial uses its whole budget."""
    return FIFOScheduler()


def asha(updates: int, reduction: float = 3, grace: int | None = None) -> TrialScheduler:
    """Asynchronous successive halving with optimiser updates as its time.

    Diverged trials report the worst score, never NaN, for which ASHA's comparison is false and no trial ends.
    """
    return ASHAScheduler(
        time_attr="updates",
        metric="score",
        mode="min",
        max_t=updates + 1,  # the budget ends a trial, not the scheduler: a trial at max_t is complete
        grace_period=grace or max(1, updates // 9),
        reduction_factor=reduction,
    )


@dataclass(frozen=True)
class Earlier:
    """A trial of an earlier driver, as far as a scheduler reads one."""

    trial_id: str


def scheduler_for(spec: SweepSpec, past: Sequence[Past] = ()) -> TrialScheduler:
    """The scheduler that the spec's pruner names.

    Args:
        past: trials of an earlier driver, whose reports it hears first: a new one would start with empty rungs.
    """
    pruner = spec.search.pruner
    scheduler: TrialScheduler = choose(PRUNERS, pruner.kind).load()(spec.budget.updates, **pruner.options)
    if isinstance(scheduler, FIFOScheduler) and not isinstance(scheduler, ASHAScheduler):
        return scheduler
    for one in past:
        trial = Earlier(f"earlier-{one.number}")
        scheduler.on_trial_add(None, trial)
        for update, score in one.reports:
            scheduler.on_trial_result(None, trial, {"updates": update, "score": score})
    return scheduler
