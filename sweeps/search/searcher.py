"""Between Ray Tune and Optuna: a searcher that asks for configurations and tells outcomes, nothing else."""

from __future__ import annotations

from typing import Any, Protocol

import optuna
from ray.tune.search import Searcher

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from sweeps.search.samplers import sampler_for
from sweeps.search.tell import tell
from sweeps.space.dimensions import Picks
from sweeps.space.suggest import named_by_key, suggest
from sweeps.spec import SweepSpec


class Ledger(Protocol):
    """What the searcher tells of every trial, on the driver."""

    def begin(self, number: int, tune_id: str, picks: Picks, trial: TrialSpec) -> None:
        """Trial `number` is about to start."""

    def report(self, number: int, result: dict[str, Any]) -> None:
        """A trial told how far it is."""

    def end(self, number: int, result: dict[str, Any] | None, error: bool) -> tuple[Outcome, float | None]:
        """A trial ended; its outcome and score."""


class AskTell(Searcher):  # type: ignore[misc]
    """Asks Optuna for one configuration after another and tells it how each ended.

    Ray's OptunaSearch is not used: with it a NaN leaves an Optuna trial running for ever, a pruned trial is told
    as complete, and a second sweep on one store merges into the first.

    Args:
        spec: the sweep.
        ledger: who keeps the books.
        asking: asked before every trial; once it says False, no more are started.
    """

    def __init__(self, spec: SweepSpec, ledger: Ledger, asking: Any) -> None:
        super().__init__(metric="score", mode="min")
        self.spec, self.ledger, self.asking = spec, ledger, asking
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(direction="minimize")
        self.numbers: dict[str, int] = {}
        self._live: dict[int, optuna.trial.Trial] = {}
        self._told: dict[int, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        number = len(self.numbers)
        if number >= self.spec.trials or not self.asking():
            return Searcher.FINISHED  # type: ignore[no-any-return]
        space = self.spec.parsed_space
        self.study.sampler = sampler_for(self.spec.search, number)
        if self.spec.table is not None:
            self.study.enqueue_trial(named_by_key(space, self.spec.table[number]))
        live = self.study.ask()
        assert live.number == number
        picks = suggest(live, space)
        trial = self.spec.trial(number, picks)
        self.numbers[trial_id] = number
        self._live[number] = live
        self.ledger.begin(number, trial_id, picks, trial)
        return {"number": number, "spec": trial.model_dump_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        number = self.numbers[trial_id]
        if result["updates"] > self._told.get(number, 0):
            self._told[number] = result["updates"]
            self._live[number].report(result["score"], result["updates"])
            self.ledger.report(number, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self.numbers[trial_id]
        if number not in self._live:
            return
        if result is not None:
            self.on_trial_result(trial_id, result)  # Tune tells the result that ended a trial here alone
        del self._live[number]
        outcome, score = self.ledger.end(number, result, error)
        tell(self.study, number, outcome, score)

    @property
    def unfinished(self) -> list[int]:
        """Numbers of trials that were asked and not yet told."""
        return sorted(self._live)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""
