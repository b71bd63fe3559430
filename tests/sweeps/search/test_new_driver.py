"""A new driver's searcher goes on where the old one was."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from asking import DESIGN, SEARCHES, SPACE, Sweeps, finished, quality, run, searcher, space_of
from optuna.trial import TrialState
from ray.tune.search import Searcher

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from sweeps.search.past import Past
from sweeps.space.dimensions import Picks


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: str(search["sampler"]))
def test_a_new_driver_goes_on_where_the_old_one_was(sweep_of: Sweeps, search: dict[str, Any]) -> None:
    spec = sweep_of(space_of(search), search=search)
    whole = run(searcher(spec))
    past = [
        Past(number, picks, ((1, 0.5), (5, quality(picks))), Outcome.FINISHED, quality(picks))
        for number, picks in enumerate(whole[:9])
    ]
    past[4] = Past(4, whole[4], ((1, 0.5),))  # was in flight
    past[7] = Past(7, whole[7], (), Outcome.FAILED)
    resumed = searcher(spec, past=past)
    asked: dict[int, Picks] = {}
    for index in range(spec.trials - 8):
        config = resumed.suggest(f"t{index}")
        assert isinstance(config, dict)
        number = config["number"]
        asked[number] = resumed.ledger.begun[number][1]  # type: ignore[attr-defined]
        assert TrialSpec.model_validate_json(config["spec"]) == spec.trial(number, asked[number])
        resumed.on_trial_complete(f"t{index}", finished(quality(asked[number])))
    assert resumed.suggest("more") == Searcher.FINISHED
    assert list(asked) == [4, *range(9, spec.trials)]  # what was in flight first, and nothing twice
    assert asked[4] == whole[4]
    if search["sampler"] != {"tpe": 4}:  # which hears here of one failure more
        assert [asked[number] for number in range(9, spec.trials)] == whole[9:]
    (study,) = resumed.studies.values()
    states = Counter(trial.state for trial in study.trials)
    assert states == {TrialState.COMPLETE: spec.trials - 1, TrialState.FAIL: 1}
    assert study.trials[4].intermediate_values == {1: 0.5, 5: pytest.approx(quality(whole[4]))}


def test_a_new_driver_with_tpe_asks_what_the_old_one_would_have_asked(sweep_of: Sweeps) -> None:
    spec = sweep_of(SPACE, search={"sampler": {"tpe": 4}, "trials": 16})
    whole = run(searcher(spec))
    past = [
        Past(n, picks, ((5, quality(picks)),), Outcome.FINISHED, quality(picks)) for n, picks in enumerate(whole[:9])
    ]
    resumed = searcher(spec, past=past)
    for number in range(9, 16):
        resumed.suggest(f"t{number}")
        assert resumed.ledger.begun[number][1] == whole[number]  # type: ignore[attr-defined]
        resumed.on_trial_complete(f"t{number}", finished(quality(whole[number])))


def test_a_new_driver_of_a_design_knows_its_winners(sweep_of: Sweeps) -> None:
    spec = sweep_of({"cell": ["rnn", "lstm", "gru"], "lr": SPACE["lr"]}, search=DESIGN)

    def score(picks: Picks) -> float:
        return abs(math.log10(float(picks["lr"])) + 2) - 2 * (picks["cell"] == "gru")

    whole = run(searcher(spec), score)
    for done in (3, 6, 9, 12, 14):
        past = [
            Past(n, picks, ((5, score(picks)),), Outcome.FINISHED, score(picks)) for n, picks in enumerate(whole[:done])
        ]
        resumed = searcher(spec, past=past)
        for number in range(done, spec.trials):
            assert isinstance(resumed.suggest(f"t{number}"), dict)
            assert resumed.ledger.begun[number][1] == whole[number]  # type: ignore[attr-defined]
            resumed.on_trial_complete(f"t{number}", finished(score(whole[number])))
