"""Studies of a long sweep are shortened, and ask what they would have asked."""

from __future__ import annotations

from typing import Any

import pytest
from asking import SPACE, Sweeps, finished, quality, run, searcher
from optuna.trial import TrialState

from rnnlab.training.outcome import Outcome
from sweeps.search import recent
from sweeps.search import searcher as searcher_module
from sweeps.search.past import Past
from sweeps.space.dimensions import Picks


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies that are shortened at 24 trials, to the latest 12 and the best 4."""
    monkeypatch.setattr(recent, "LATEST", 12)
    monkeypatch.setattr(recent, "BEST", 4)
    monkeypatch.setattr(searcher_module, "MOST", 24)


LONG: dict[str, Any] = {"sampler": {"tpe": 4}, "trials": 80}


def test_a_long_sweep_holds_its_latest_and_its_best_trials(sweep_of: Sweeps, short: None) -> None:
    ask_tell = searcher(sweep_of(SPACE, search=LONG))
    scores: list[float] = []

    def score(picks: Picks) -> float:
        scores.append(quality(picks))
        return scores[-1]

    run(ask_tell, score)
    held = [trial.value for trial in ask_tell.study("search").trials]
    assert 12 <= len(held) <= 24
    assert held[-12:] == scores[-12:]
    assert set(sorted(scores)[:4]) <= set(held)
    assert sorted(held, key=scores.index) == held  # TPE gives later ones more weight


def test_a_sweep_that_is_not_long_asks_as_if_studies_had_no_end(
    sweep_of: Sweeps, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortened = run(searcher(sweep_of(SPACE, search=LONG)))
    monkeypatch.setattr(searcher_module, "MOST", 10**9)
    whole = run(searcher(sweep_of(SPACE, search=LONG)))
    assert shortened[:24] == whole[:24]
    assert shortened[24:] != whole[24:]


def test_trials_that_run_while_a_study_is_shortened_are_told_to_the_new_one(sweep_of: Sweeps, short: None) -> None:
    ask_tell = searcher(sweep_of(SPACE, search=LONG))
    running: list[int] = []
    for number in range(80):
        assert isinstance(ask_tell.suggest(f"t{number}"), dict)
        running.append(number)
        for other in running:
            ask_tell.on_trial_result(f"t{other}", {"score": 1.0, "updates": 1 + number - other})
        if number >= 5:
            ask_tell.on_trial_complete(f"t{running.pop(number % 5)}", finished(-1.0 - number / 100, updates=90))
    for other in running:
        ask_tell.on_trial_complete(f"t{other}", finished(-3.0, updates=90))
    trials = ask_tell.study("search").trials
    assert len(trials) <= 24
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(trial.intermediate_values[1] == 1.0 and 90 in trial.intermediate_values for trial in trials)
    assert ask_tell.unfinished == []


def test_a_searcher_keeps_nothing_of_a_trial_that_ended(sweep_of: Sweeps, short: None) -> None:
    ask_tell = searcher(sweep_of(SPACE, search={**LONG, "sampler": "random"}))
    run(ask_tell)
    sizes = {name: len(kept) for name, kept in vars(ask_tell).items() if isinstance(kept, dict)}
    assert {name for name, size in sizes.items() if size} == {"studies"}


@pytest.mark.parametrize("done", [23, 24, 30, 47, 70])
def test_a_new_driver_of_a_long_sweep_asks_what_the_old_one_would_have_asked(
    sweep_of: Sweeps, short: None, done: int
) -> None:
    spec = sweep_of(SPACE, search=LONG)
    whole = run(searcher(spec))
    past = [
        Past(n, picks, ((5, quality(picks)),), Outcome.FINISHED, quality(picks)) for n, picks in enumerate(whole[:done])
    ]
    resumed = searcher(spec, past=past)
    for number in range(done, 80):
        resumed.suggest(f"t{number}")
        assert resumed.ledger.begun[number][1] == whole[number]  # type: ignore[attr-defined]
        resumed.on_trial_complete(f"t{number}", finished(quality(whole[number])))
