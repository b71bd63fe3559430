"""What an outcome means is written once, for every outcome."""

from __future__ import annotations

import math
from typing import get_args

import optuna
import pytest
from mlflow.entities import RunStatus
from optuna.trial import TrialState

from rnnlab.training.outcome import Outcome
from sweeps.search.tell import MEANINGS, LabState, tell
from sweeps.store.records import TrialState as StoredState


def test_every_ending_has_a_meaning_for_optuna_the_lab_and_mlflow() -> None:
    assert set(MEANINGS) == set(Outcome) - {Outcome.RUNNING}
    for meaning in MEANINGS.values():
        assert meaning.optuna.is_finished()
        assert meaning.lab in get_args(LabState)
        assert RunStatus.is_terminated(RunStatus.from_string(meaning.mlflow))
    assert {*get_args(LabState), "running"} == set(get_args(StoredState))


def test_budgets_are_comparable() -> None:
    """Complete means the whole budget; pruned comes from a pruner alone; an error or a stop is a failure."""
    states = {outcome: meaning.optuna for outcome, meaning in MEANINGS.items()}
    assert states == {
        Outcome.FINISHED: TrialState.COMPLETE,
        Outcome.DIVERGED: TrialState.COMPLETE,
        Outcome.PRUNED: TrialState.PRUNED,
        Outcome.INTERRUPTED: TrialState.FAIL,
        Outcome.FAILED: TrialState.FAIL,
    }


@pytest.mark.parametrize("outcome", MEANINGS)
def test_only_a_complete_trial_is_told_a_value(outcome: Outcome) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.ask()
    tell(study, 0, outcome, -1.0)
    (trial,) = study.trials
    assert trial.state is MEANINGS[outcome].optuna
    assert trial.value == (-1.0 if trial.state is TrialState.COMPLETE else None)


def test_a_nan_never_passes_in_silence() -> None:
    study = optuna.create_study()
    study.ask()
    with pytest.raises(ValueError, match="nan"):
        tell(study, 0, Outcome.FINISHED, math.nan)
