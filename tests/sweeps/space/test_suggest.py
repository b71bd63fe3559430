"""Optuna's trials become points of the space, and points can be enqueued."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest

from sweeps.space.designs import grid
from sweeps.space.space import Space
from sweeps.space.suggest import named_by_key, suggest

WRITTEN: dict[str, Any] = {
    "cell": ["rnn", "lstm"],
    "activation": {"choices": ["tanh", {"leaky_relu": 0.1}], "when": {"cell": "rnn"}},
    "depth": {"low": 1, "high": 3},
    "batch": {"low": 8, "high": 64, "log": True},
    "lr": [
        {"low": 1e-4, "high": 1e-1, "log": True, "when": {"cell": "rnn"}},
        {"low": 0.1, "high": 0.5, "step": 0.2, "when": {"cell": "lstm"}},
    ],
}


@pytest.fixture
def study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(0))


def test_picks_lie_in_the_space_and_conditions_decide_which_are_asked(study: optuna.Study) -> None:
    space = Space(WRITTEN, "adding")
    seen = []
    for _ in range(80):
        trial = study.ask()
        picks = suggest(trial, space)
        seen.append(picks)
        assert trial.params == named_by_key(space, picks)
        assert picks["depth"] in (1, 2, 3)
        assert isinstance(picks["batch"], int)
        assert 8 <= picks["batch"] <= 64
        if picks["cell"] == "rnn":
            assert 1e-4 <= float(picks["lr"]) <= 1e-1
            assert picks["activation"] in ("tanh", "leaky_relu(0.1)")
        else:
            assert "activation" not in picks
            assert any(math.isclose(float(picks["lr"]), value) for value in (0.1, 0.3, 0.5))
        study.tell(trial, 0.0)
    assert {picks["cell"] for picks in seen} == {"rnn", "lstm"}
    assert {picks["depth"] for picks in seen} == {1, 2, 3}
    # log ranges are drawn by their logarithm: half of them lie below the geometric mean, 22.6
    assert 25 <= sum(int(picks["batch"]) < 23 for picks in seen) <= 55


def test_rows_of_a_grid_come_out_as_they_were_enqueued(study: optuna.Study) -> None:
    written = {name: WRITTEN[name] for name in ("cell", "activation", "depth")}
    written["lr"] = [
        {"low": 0.1, "high": 0.3, "step": 0.1, "when": {"cell": "rnn"}},
        {"low": 0.001, "high": 0.1, "step": 0.03, "when": {"cell": "lstm"}},
    ]
    space = Space(written, "adding")
    rows = grid(space)
    assert len(rows) == 2 * 3 * 3 + 3 * 4
    for row in rows:
        study.enqueue_trial(named_by_key(space, row))
        trial = study.ask()
        assert suggest(trial, space) == row
        study.tell(trial, 0.0)
