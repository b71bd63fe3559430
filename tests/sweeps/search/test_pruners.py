"""The schedulers that a spec's pruner names, asked as Ray Tune asks them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from rnnlab.training.outcome import HIGHEST
from sweeps.search import PRUNERS
from sweeps.search.pruners import scheduler_for
from sweeps.spec import SweepSpec

Sweeps = Callable[..., SweepSpec]
IDS = itertools.count()


def asha(sweep_of: Sweeps, pruner: Any, updates: int = 90) -> ASHAScheduler:
    spec = sweep_of(
        {"lr": [0.1]}, search={"sampler": "random", "trials": 9, "pruner": pruner}, budget={"updates": updates}
    )
    found = scheduler_for(spec)
    assert isinstance(found, ASHAScheduler)
    return found


def decisions(scheduler: ASHAScheduler, scores: list[float], updates: int) -> list[str]:
    """What the scheduler says to trials that report these scores, one after another."""
    said = []
    for score in scores:
        trial = Trial("stub", stub=True, trial_id=str(next(IDS)))
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        said.append(scheduler.on_trial_result(None, trial, {"score": score, "updates": updates}))  # type: ignore[arg-type]
    return said


GO, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP


def test_every_pruner_gives_a_scheduler(sweep_of: Sweeps) -> None:
    for name in PRUNERS:
        spec = sweep_of({"lr": [0.1]}, search={"sampler": "random", "trials": 9, "pruner": name})
        assert isinstance(scheduler_for(spec), TrialScheduler)


def test_without_a_pruner_nothing_ends_early(sweep_of: Sweeps) -> None:
    assert type(scheduler_for(sweep_of({"lr": [0.1]}))) is FIFOScheduler


def test_grace_is_the_first_rung_and_reduction_the_share_that_goes_on(sweep_of: Sweeps) -> None:
    worse = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0]
    scheduler = asha(sweep_of, {"asha": {"grace": 20, "reduction": 2}})
    assert decisions(scheduler, worse, updates=19) == [GO] * 6
    scheduler = asha(sweep_of, {"asha": {"grace": 20, "reduction": 2}})
    said = decisions(scheduler, worse, updates=20)
    assert said[0] == GO
    assert set(said[1:]) == {STOP}
    # a score in the middle goes on where most do, and ends where one of six does
    for reduction, last in ((6, STOP), (1.2, GO)):
        scheduler = asha(sweep_of, {"asha": {"grace": 20, "reduction": reduction}})
        decisions(scheduler, [-4.0, -3.0, -2.0, 0.0, 1.0], updates=20)
        assert decisions(scheduler, [-1.0], updates=20) == [last]


def test_rungs_grow_by_the_reduction(sweep_of: Sweeps) -> None:
    scheduler = asha(sweep_of, {"asha": {"grace": 10, "reduction": 3}})
    for updates in (10, 30, 90):
        decisions(scheduler, [-4.0] * 5, updates)
    text = scheduler.debug_string()
    for rung in ("10.000", "30.000", "90.000"):
        assert f"Iter {rung}" in text
    assert "Iter 270" not in text


def test_grace_is_a_ninth_of_the_budget_where_it_is_not_given(sweep_of: Sweeps) -> None:
    assert "Iter 10.000" in asha(sweep_of, "asha", updates=90).debug_string()
    assert "Iter 1.000" in asha(sweep_of, "asha", updates=5).debug_string()


def test_the_last_report_of_a_budget_is_left_to_the_trial(sweep_of: Sweeps) -> None:
    """A trial that has used its budget is complete: the scheduler does not stop it for having reached its end."""
    scheduler = asha(sweep_of, "asha", updates=91)
    assert decisions(scheduler, [-1.0], updates=91) == [GO]


def test_a_diverged_trial_is_ended_at_its_next_rung(sweep_of: Sweeps) -> None:
    scheduler = asha(sweep_of, {"asha": {"grace": 10}})
    assert decisions(scheduler, [-1.0, -1.0, -1.0, HIGHEST], updates=10)[-1] == STOP
