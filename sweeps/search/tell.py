"""What an outcome means to Optuna, to the lab database and to MLflow: written once, here.

| what happened | Optuna | lab database | MLflow |
|---|---|---|---|
| the budget was used, or every replicate finished or diverged | COMPLETE with the score | complete | FINISHED |
| a pruner ended it | PRUNED, with its reports | pruned | KILLED |
| stopped by a person or a signal | FAIL | interrupted | KILLED |
| an error | FAIL | failed | FAILED |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.trial import TrialState

from rnnlab.training.outcome import Outcome

LabState = Literal["complete", "pruned", "interrupted", "failed"]


@dataclass(frozen=True)
class Meaning:
    """One row of the table above."""

    optuna: TrialState
    lab: LabState
    mlflow: str


MEANINGS: dict[Outcome, Meaning] = {
    Outcome.FINISHED: Meaning(TrialState.COMPLETE, "complete", "FINISHED"),
    Outcome.DIVERGED: Meaning(TrialState.COMPLETE, "complete", "FINISHED"),
    Outcome.PRUNED: Meaning(TrialState.PRUNED, "pruned", "KILLED"),
    Outcome.INTERRUPTED: Meaning(TrialState.FAIL, "interrupted", "KILLED"),
    Outcome.FAILED: Meaning(TrialState.FAIL, "failed", "FAILED"),
}


def value_of(outcome: Outcome, score: float | None) -> float | None:
    """The score of a trial that used its budget, which is finite; None of any other."""
    return score if MEANINGS[outcome].optuna is TrialState.COMPLETE else None


def tell(study: optuna.Study, number: int, outcome: Outcome, score: float | None) -> None:
    """Tell Optuna how a trial ended; only a complete one has a value."""
    study.tell(number, value_of(outcome, score), state=MEANINGS[outcome].optuna)
