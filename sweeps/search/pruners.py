"""Ray Tune's schedulers: who ends a trial before its budget is used."""

from __future__ import annotations

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from rnnlab.choices import choose
from sweeps.search import PRUNERS
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


def scheduler_for(spec: SweepSpec) -> TrialScheduler:
    """The scheduler that the spec's pruner names."""
    pruner = spec.search.pruner
    scheduler: TrialScheduler = choose(PRUNERS, pruner.kind).load()(spec.budget.updates, **pruner.options)
    return scheduler
