"""Between Ray Tune and Optuna: a searcher that asks for configurations and tells outcomes, nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import optuna
from ray.tune.search import Searcher

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from sweeps.search.past import Past
from sweeps.search.recent import MOST, live_trial, recent
from sweeps.search.samplers import sampler_for
from sweeps.search.stages import Slot, Stage, Told
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
        past: every trial of an earlier driver, in number order: those that ended are told again, and those that did
            not are started first.
    """

    def __init__(self, spec: SweepSpec, ledger: Ledger, asking: Any, past: Sequence[Past] = ()) -> None:
        super().__init__(metric="score", mode="min")
        self.spec, self.ledger, self.asking = spec, ledger, asking
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.numbers: dict[str, int] = {}
        """Of trials that have not ended, by Tune's id."""
        self.studies: dict[str, optuna.Study] = {}
        """By stage; of a refinement, by arm. A long one holds its latest and best trials (`sweeps.search.recent`)."""
        self._asked = 0
        self._live: dict[int, tuple[str, optuna.trial.Trial]] = {}
        """Of trials that have not ended: name of the study, and the study's own trial."""
        self._reported: dict[int, int] = {}
        self._picks: dict[int, Picks] = {}
        self._told: dict[int, Told] = {}
        """Of a design, whose stages are made from those before; a sampler has its study."""
        self._points: dict[Stage, list[Picks]] = {}
        """Of stages whose predecessors have ended."""
        self._again: deque[int] = deque()
        for one in past:
            self._remember(one)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if not self.asking():
            return Searcher.FINISHED  # type: ignore[no-any-return]
        if self._again:
            number = self._again.popleft()
        elif self._asked >= self.spec.trials:
            return Searcher.FINISHED  # type: ignore[no-any-return]
        else:
            number = self._asked
            slot = self.spec.stages.slot(number)
            if slot.stage not in self._points and any(n not in self._told for n in self.spec.stages.waits_for(slot)):
                return None  # Tune asks again later
            self._ask(number)
        picks = self._picks[number]
        trial = self.spec.trial(number, picks)
        self.numbers[trial_id] = number
        self.ledger.begin(number, trial_id, picks, trial)
        return {"number": number, "spec": trial.model_dump_json(), "told": self._reported.get(number, 0)}

    def _ask(self, number: int, known: Picks | None = None) -> None:
        """Ask Optuna for trial `number`; one whose picks are known gets these."""
        stages, space = self.spec.stages, self.spec.parsed_space
        slot = stages.slot(number)
        fixed = self._fixed(slot)
        # arms that are refined each have a study of their own: TPE would learn one arm's rates from another's
        name = str(slot.place) if slot.stage == "refine" else slot.stage
        study = self.study(name)
        if len(study.get_trials(deepcopy=False)) >= MOST:
            study = self._shortened(name)
        study.sampler = sampler_for(self.spec.search, number) if known is None else optuna.samplers.RandomSampler(0)
        if known is not None or slot.stage in ("screen", "confirm"):
            study.enqueue_trial(named_by_key(space, known or fixed))
        elif tried := stages.tried(slot):
            study.enqueue_trial(named_by_key(space, {**fixed, **tried}))
        live = study.ask()
        self._picks[number] = suggest(live, space, fixed if slot.stage == "refine" else None)
        self._live[number] = name, live
        self._asked = number + 1

    def _fixed(self, slot: Slot) -> Picks:
        """What is fixed of a trial's point; found once for a stage that those before it decide."""
        stages = self.spec.stages
        if slot.place is None or slot.stage not in ("refine", "confirm"):
            return stages.point(slot, ())
        if slot.stage not in self._points:
            self._points[slot.stage] = stages.points(slot.stage, [self._told[n] for n in stages.waits_for(slot)])
        return self._points[slot.stage][slot.place]

    def _shortened(self, name: str) -> optuna.Study:
        """A study's latest and best trials in its place."""
        study, numbers = recent(self.studies[name])
        self.studies[name] = study
        for number, (of, live) in self._live.items():
            if of == name:
                self._live[number] = name, live_trial(study, numbers[live.number])
        return study

    def _remember(self, one: Past) -> None:
        """Rebuild what Optuna knew of an earlier driver's trial."""
        self._ask(one.number, one.picks)
        _, live = self._live[one.number]
        for update, score in one.reports:
            live.report(score, update)
            self._reported[one.number] = update
        if one.outcome is None:
            self._again.append(one.number)
            return
        self._end(one.number, one.outcome, one.score)

    def _end(self, number: int, outcome: Outcome, score: float | None) -> None:
        """Tell Optuna, and forget what only an unfinished trial needs."""
        name, live = self._live.pop(number)
        tell(self.studies[name], live.number, outcome, score)
        picks = self._picks.pop(number)
        self._reported.pop(number, None)
        if self.spec.stages.designed:
            self._told[number] = Told(number, picks, value_of(outcome, score))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        number = self.numbers.get(trial_id)
        if number is None or result.get("interrupted"):
            return  # between two evaluations: its score is of an earlier update, or of none
        if result["updates"] > self._reported.get(number, 0):
            self._reported[number] = result["updates"]
            self._live[number][1].report(result["score"], result["updates"])
            self.ledger.report(number, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self.numbers.get(trial_id)
        if number is None:
            return
        if result is not None:
            self.on_trial_result(trial_id, result)  # Tune tells the result that ended a trial here alone
        del self.numbers[trial_id]
        outcome, score = self.ledger.end(number, result, error)
        self._end(number, outcome, score)

    def study(self, name: str) -> optuna.Study:
        """The study of a stage, or of the arm that a refinement tunes; made when first asked for."""
        if name not in self.studies:
            self.studies[name] = optuna.create_study(study_name=name, direction="minimize")
        return self.studies[name]

    @property
    def unfinished(self) -> list[int]:
        """Numbers of trials that were started and not yet told."""
        return sorted(set(self._live) - set(self._again))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""
