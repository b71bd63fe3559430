"""Between Ray Tune and Optuna: a searcher that asks for configurations and tells outcomes, nothing else."""

from __future__ import annotations

from typing import Any, Protocol

import optuna
from ray.tune.search import Searcher

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from sweeps.search.samplers import sampler_for
from sweeps.search.stages import Told
from sweeps.search.tell import tell, value_of
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
        self.numbers: dict[str, int] = {}
        self.studies: dict[str, optuna.Study] = {}
        """By stage; of a refinement, by arm."""
        self._live: dict[int, tuple[optuna.Study, optuna.trial.Trial]] = {}
        self._reported: dict[int, int] = {}
        self._picks: dict[int, Picks] = {}
        self._told: dict[int, Told] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        number = len(self.numbers)
        stages, space = self.spec.stages, self.spec.parsed_space
        if number >= stages.total or not self.asking():
            return Searcher.FINISHED  # type: ignore[no-any-return]
        slot = stages.slot(number)
        waits_for = stages.waits_for(slot)
        if any(before not in self._told for before in waits_for):
            return None  # Tune asks again later
        fixed = stages.point(slot, [self._told[before] for before in waits_for])
        # arms that are refined each have a study of their own: TPE would learn one arm's rates from another's
        study = self.study(str(slot.place) if slot.stage == "refine" else slot.stage)
        study.sampler = sampler_for(self.spec.search, number)
        if slot.stage in ("screen", "confirm"):
            study.enqueue_trial(named_by_key(space, fixed))
        live = study.ask()
        picks = suggest(live, space, fixed if slot.stage == "refine" else None)
        trial = self.spec.trial(number, picks)
        self.numbers[trial_id], self._picks[number] = number, picks
        self._live[number] = study, live
        self.ledger.begin(number, trial_id, picks, trial)
        return {"number": number, "spec": trial.model_dump_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        number = self.numbers[trial_id]
        if result["updates"] > self._reported.get(number, 0):
            self._reported[number] = result["updates"]
            self._live[number][1].report(result["score"], result["updates"])
            self.ledger.report(number, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self.numbers[trial_id]
        if number not in self._live:
            return
        if result is not None:
            self.on_trial_result(trial_id, result)  # Tune tells the result that ended a trial here alone
        study, live = self._live.pop(number)
        outcome, score = self.ledger.end(number, result, error)
        tell(study, live.number, outcome, score)
        self._told[number] = Told(number, self._picks[number], value_of(outcome, score))

    def study(self, name: str) -> optuna.Study:
        """The study of a stage, or of the arm that a refinement tunes; made when first asked for."""
        if name not in self.studies:
            self.studies[name] = optuna.create_study(study_name=name, direction="minimize")
        return self.studies[name]

    @property
    def unfinished(self) -> list[int]:
        """Numbers of trials that were asked and not yet told."""
        return sorted(self._live)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""
