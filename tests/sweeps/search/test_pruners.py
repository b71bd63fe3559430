"""The schedulers that a spec's pruner names, asked as Ray Tune asks them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import MedianStoppingRule, TrialScheduler

from rnnlab.training.outcome import Outcome
from rnnlab.training.scale import HIGHEST
from sweeps.running.light import lighten
from sweeps.search import PRUNERS
from sweeps.search.past import Past
from sweeps.search.pruners import Asha, Pruner, scheduler_for
from sweeps.spec import SweepSpec

Sweeps = Callable[..., SweepSpec]
NUMBERS = itertools.count()
GO, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP


def pruner_of(sweep_of: Sweeps, pruner: Any, updates: int = 90, past: tuple[Past, ...] = ()) -> Pruner:
    spec = sweep_of(
        {"lr": [0.1]}, search={"sampler": "random", "trials": 9, "pruner": pruner}, budget={"updates": updates}
    )
    found = scheduler_for(spec, past)
    assert isinstance(found, Pruner)
    return found


def rungs(pruner: Pruner) -> str:
    assert isinstance(pruner.rule, Asha)
    return str(pruner.rule.ray.debug_string())


def tune_trial(number: int) -> Trial:
    """A trial as Tune holds one, with an id of its own at every call."""
    return Trial("stub", config={"number": number}, stub=True, trial_id=f"{number}-{next(NUMBERS)}")


def decisions(scheduler: Pruner, scores: list[float], updates: int) -> list[str]:
    """What the scheduler says to new trials that report these scores, one after another."""
    said = []
    for score in scores:
        trial = tune_trial(next(NUMBERS))
        scheduler.on_trial_add(None, trial)
        said.append(scheduler.on_trial_result(None, trial, {"score": score, "updates": updates}))
    return said


def test_every_pruner_gives_a_scheduler(sweep_of: Sweeps) -> None:
    for name in PRUNERS:
        assert decisions(pruner_of(sweep_of, name), [-1.0], updates=1) == [GO]


def test_without_a_pruner_nothing_ends_early(sweep_of: Sweeps) -> None:
    assert set(decisions(pruner_of(sweep_of, "none"), [-4.0] * 9 + [HIGHEST] * 9, updates=80)) == {GO}


def test_grace_is_the_first_rung_and_reduction_the_share_that_goes_on(sweep_of: Sweeps) -> None:
    worse = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0]
    scheduler = pruner_of(sweep_of, {"asha": {"grace": 20, "reduction": 2}})
    assert decisions(scheduler, worse, updates=19) == [GO] * 6
    scheduler = pruner_of(sweep_of, {"asha": {"grace": 20, "reduction": 2}})
    said = decisions(scheduler, worse, updates=20)
    assert said[0] == GO
    assert set(said[1:]) == {STOP}
    # a score in the middle goes on where most do, and ends where one of six does
    for reduction, last in ((6, STOP), (1.2, GO)):
        scheduler = pruner_of(sweep_of, {"asha": {"grace": 20, "reduction": reduction}})
        decisions(scheduler, [-4.0, -3.0, -2.0, 0.0, 1.0], updates=20)
        assert decisions(scheduler, [-1.0], updates=20) == [last]


def test_rungs_grow_by_the_reduction(sweep_of: Sweeps) -> None:
    scheduler = pruner_of(sweep_of, {"asha": {"grace": 10, "reduction": 3}})
    for updates in (10, 30, 90):
        decisions(scheduler, [-4.0] * 5, updates)
    text = rungs(scheduler)
    for rung in ("10.000", "30.000", "90.000"):
        assert f"Iter {rung}" in text
    assert "Iter 270" not in text


def test_grace_is_a_ninth_of_the_budget_where_it_is_not_given(sweep_of: Sweeps) -> None:
    assert "Iter 10.000" in rungs(pruner_of(sweep_of, "asha", updates=90))
    assert "Iter 1.000" in rungs(pruner_of(sweep_of, "asha", updates=5))


def test_the_last_report_of_a_budget_is_left_to_the_trial(sweep_of: Sweeps) -> None:
    """A trial that has used its budget is complete: the scheduler does not stop it for having reached its end."""
    scheduler = pruner_of(sweep_of, "asha", updates=91)
    assert decisions(scheduler, [-1.0], updates=91) == [GO]


def test_a_diverged_trial_is_ended_at_its_next_rung(sweep_of: Sweeps) -> None:
    scheduler = pruner_of(sweep_of, {"asha": {"grace": 10}})
    assert decisions(scheduler, [-1.0, -1.0, -1.0, HIGHEST], updates=10)[-1] == STOP


def test_median_decides_as_ray_does(sweep_of: Sweeps) -> None:
    """Ray's rule, its pauses off, is the independent twin: the same decision at every report of 40 random courses."""
    spec = sweep_of(
        {"lr": [0.1]}, search={"sampler": "random", "trials": 9, "pruner": {"median": {"grace": 20, "min_samples": 4}}}
    )
    mine = scheduler_for(spec)
    rays = MedianStoppingRule(
        "updates", "score", "min", grace_period=20, min_samples_required=4, min_time_slice=float("inf")
    )
    draw = np.random.default_rng(0)
    live = {number: tune_trial(number) for number in range(40)}
    told = dict.fromkeys(live, 0)
    ended = []
    while live:
        number = int(draw.choice([*live][:6]))
        told[number] += 10
        result = {"score": float(draw.normal(0.02 * number, 0.3)), "updates": told[number]}
        said = {scheduler.on_trial_result(None, live[number], result) for scheduler in (mine, rays)}
        assert len(said) == 1, (number, result)
        if said == {STOP}:
            ended.append(number)
        if said == {STOP} or told[number] == 90:
            del live[number]
    assert 5 < len(ended) < 35


class Trials:
    """What Tune's controller tells a scheduler of its trials; all that ever were, it must not ask for."""

    def __init__(self, *trials: Trial) -> None:
        self.trials = trials

    def get_live_trials(self) -> set[Trial]:
        return {trial for trial in self.trials if trial.status not in (Trial.TERMINATED, Trial.ERROR)}


def test_the_first_trial_that_waits_is_run_next(sweep_of: Sweeps) -> None:
    scheduler = pruner_of(sweep_of, "none")
    trials = [tune_trial(number) for number in range(6)]
    for trial, status in zip(trials, ["TERMINATED", "RUNNING", "PAUSED", "PENDING", "ERROR", "PENDING"], strict=True):
        trial.set_status(status)
    lighten(trials[0])  # has no config any more
    chosen = []
    while (trial := scheduler.choose_trial_to_run(Trials(*trials))) is not None:
        chosen.append(trial.config["number"])
        trial.set_status("RUNNING")
    assert chosen == [3, 5, 2]


def test_median_waits_for_its_grace_and_its_samples(sweep_of: Sweeps) -> None:
    median = {"median": {"grace": 20, "min_samples": 2}}
    assert decisions(pruner_of(sweep_of, median), [-1.0, -1.0, 0.0], updates=19) == [GO] * 3
    assert decisions(pruner_of(sweep_of, median), [-1.0, -1.0, 0.0], updates=20) == [GO, GO, STOP]
    assert decisions(pruner_of(sweep_of, median), [-1.0, 0.0], updates=20) == [GO, GO]


def test_a_trial_is_ended_by_its_best_score_not_by_its_last(sweep_of: Sweeps) -> None:
    scheduler = pruner_of(sweep_of, {"median": {"grace": 20, "min_samples": 2}})
    decisions(scheduler, [-1.0, -1.0], updates=30)
    trial = tune_trial(7)
    assert [scheduler.on_trial_result(None, trial, {"score": score, "updates": at}) for score, at in
            ((-1.5, 10), (0.0, 30))] == [GO, GO]  # fmt: skip


@pytest.mark.parametrize(
    ("pruner", "words"),
    [
        ({"asha": {"grace": 20}}, r"asha: score \+0.50 at update 20 is not in the best 1/3 of its rung"),
        ({"median": {"grace": 20}}, r"median: best score \+0.50 by update 20, median of 3 others -1.00"),
    ],
)
def test_what_ends_a_trial_is_said_in_words(sweep_of: Sweeps, pruner: Any, words: str) -> None:
    scheduler = pruner_of(sweep_of, pruner)
    decisions(scheduler, [-1.0] * 3, updates=20)
    assert scheduler.causes == {}
    trial = tune_trial(77)
    assert scheduler.on_trial_result(None, trial, {"score": 0.5, "updates": 20}) == STOP
    assert [*scheduler.causes] == [77]
    assert re.fullmatch(words, scheduler.causes[77])


@pytest.mark.parametrize("pruner", [{"asha": {"grace": 10}}, {"median": {"grace": 10}}])
def test_a_new_driver_decides_as_the_old_one_would_have(sweep_of: Sweeps, pruner: Any) -> None:
    """Courses are told to one scheduler; or half of each to one, and the rest to another that replays the first half."""
    draw = np.random.default_rng(1)
    # who learns shows in the second half alone
    learnt = (np.arange(12) % 4 < 3)[:, None] * (np.arange(9) >= 5) * 1.0
    scores = (draw.normal(0, 0.01, (12, 9)) - learnt).tolist()
    whole = pruner_of(sweep_of, pruner)
    said: dict[int, list[str]] = {}
    for step in range(9):
        for number in range(12):
            trial = tune_trial(number)
            if STOP not in said.get(number, []):
                result = {"score": scores[number][step], "updates": 10 * step + 10}
                said.setdefault(number, []).append(whole.on_trial_result(None, trial, result))
    past = tuple(
        Past(
            number,
            {},
            tuple((10 * step + 10, scores[number][step]) for step in range(min(4, len(said[number])))),
            Outcome.PRUNED if STOP in said[number][:4] else None,
        )
        for number in range(12)
    )
    second = pruner_of(sweep_of, pruner, past=past)
    assert second.causes == {}
    again: dict[int, list[str]] = {one.number: [] for one in past if one.outcome is None}
    for step in range(4, 9):
        for number, heard in again.items():
            if STOP not in heard:
                result = {"score": scores[number][step], "updates": 10 * step + 10}
                heard.append(second.on_trial_result(None, tune_trial(number), result))
    assert again == {number: said[number][4:] for number in again}
    assert any(STOP in heard for heard in again.values())
    assert any(STOP not in heard for heard in again.values())
