"""Between Ray Tune and Optuna: a searcher that asks for configurations and tells outcomes, nothing else."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import optuna
from ray.tune.search import Searcher

from rnnlab.errors import PlaceError
from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from rnnlab.training.shape import shape_of
from sweeps.home import place_behind
from sweeps.search.past import Past
from sweeps.search.recent import MOST, live_trial, recent
from sweeps.search.samplers import sampler_for
from sweeps.search.stages import Slot, Stage, Told
from sweeps.search.tell import tell, value_of
from sweeps.space.dimensions import Picks
from sweeps.space.suggest import named_by_key, suggest
from sweeps.spec import SweepSpec

AHEAD = 4
"""Trials of other shapes that may wait, for each place of a stack, while it is filled."""


class Ledger(Protocol):
    """What the searcher tells of every trial, on the driver."""

    def begin(self, number: int, tune_id: str, picks: Picks, trial: TrialSpec) -> None:
        """Trial `number` is about to start."""

    def report(self, number: int, result: dict[str, Any]) -> None:
        """A trial told how far it is."""

    def split(self, number: int, why: str) -> None:
        """A trial and those beside it go on one by one."""

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
        self.numbers: dict[str, list[int]] = {}
        """Of trials that have not ended, by Tune's id of those that are trained side by side."""
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
        self._waiting: deque[int] = deque()
        """Asked for, and not started: no stack had room for their shape."""
        self._shapes: dict[int, str] = {}
        """Of those that wait."""
        self._alone: set[int] = set()
        """Trials that died with others beside them: nobody knows which one it was, so each gets a worker of its own."""
        self._interrupted: dict[int, dict[str, Any]] = {}
        """What those told that stopped before others of their stack did."""
        self.place: PlaceError | None = None
        """Why no trial can be ended any more. Tune takes what is raised here for a failure of the trial, and goes on:
        whoever lets it run must look."""
        for one in past:
            while self._asked < one.number:  # the driver died before it started this one
                self._waiting.append(self._asked)
                self._ask(self._asked)
            self._remember(one)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if not self.asking():
            return Searcher.FINISHED  # type: ignore[no-any-return]
        number = self._next()
        if number is None:
            # Tune asks again later where a stage waits for the one before it
            return Searcher.FINISHED if self._asked >= self.spec.trials else None
        first, *others = [number, *self._like(number)]
        self.numbers[trial_id] = [first, *others]
        beside = {"beside": [self._begun(other, trial_id) for other in others]} if others else {}
        return {**self._begun(first, trial_id), **beside}

    def _begun(self, number: int, trial_id: str) -> dict[str, Any]:
        """What a worker is told of a trial that is about to start."""
        self._shapes.pop(number, None)
        picks = self._picks[number]
        trial = self.spec.trial(number, picks)
        self.ledger.begin(number, trial_id, picks, trial)
        return {"number": number, "spec": trial.model_dump_json(), "told": self._reported.get(number, 0)}

    def _next(self) -> int | None:
        """The next trial to start: one of an earlier driver, one that waits, a new one; None: not now."""
        for waiting in (self._again, self._waiting):
            if waiting:
                return waiting.popleft()
        return self._new()

    def _new(self) -> int | None:
        """Ask Optuna for one more; None where all have been, or a stage waits for trials before it."""
        if self._asked >= self.spec.trials:
            return None
        number = self._asked
        slot = self.spec.stages.slot(number)
        if slot.stage not in self._points and any(n not in self._told for n in self.spec.stages.waits_for(slot)):
            return None
        self._ask(number)
        return number

    def _like(self, number: int) -> list[int]:
        """Trials that are trained beside one, as many as a stack has room for: those of its shape that wait, and those
        among the next ones. The next ones of another shape wait for their own turn."""
        room = self.spec.resources.stack - 1
        if not room:
            return []
        if number in self._alone:
            return []
        found, shape = list[int](), self._shape(number)
        for waiting in (self._again, self._waiting):
            alike = [n for n in waiting if n not in self._alone and self._shape(n) == shape][: room - len(found)]
            for other in alike:
                waiting.remove(other)
            found += alike
        # one that learns would ask for what it has not heard of yet: it stops at the first of another shape
        ahead = 1 if self.spec.search.sampler.kind == "tpe" and not self.spec.stages.designed else AHEAD * room
        while len(found) < room and len(self._waiting) < ahead:
            new = self._new()
            if new is None:
                break
            (found if self._shape(new) == shape else self._waiting).append(new)
        return found

    def _shape(self, number: int) -> str:
        """What a trial that has not begun must share with those beside it."""
        if number not in self._shapes:
            self._shapes[number] = shape_of(self.spec.trial(number, self._picks[number]))
        return self._shapes[number]

    def _ask(self, number: int, known: Picks | None = None) -> None:
        """Ask Optuna for trial `number`; one whose picks are known gets these."""
        stages, space = self.spec.stages, self.spec.parsed_space
        slot = stages.slot(number)
        fixed = self._fixed(slot)
        # arms that are refined each have a study of their own: TPE would learn one arm's rates from another's
        name = str(slot.place) if slot.stage == "refine" else slot.stage
        study = self.study(name)
        # those that have not ended stay, and may be many
        if len(study.get_trials(deepcopy=False)) - sum(of == name for of, _ in self._live.values()) >= MOST:
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
        self._alone.discard(number)
        name, live = self._live.pop(number)
        tell(self.studies[name], live.number, outcome, score)
        picks = self._picks.pop(number)
        self._reported.pop(number, None)
        if self.spec.stages.designed:
            self._told[number] = Told(number, picks, value_of(outcome, score))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        for number, part in self._parts(trial_id, result):
            if "split" in part:
                self.ledger.split(number, part["split"])
            if part.get("interrupted"):
                self._interrupted[number] = part
                continue  # between two evaluations: its score is of an earlier update, or of none
            if part["updates"] > self._reported.get(number, 0):
                self._reported[number] = part["updates"]
                self._live[number][1].report(part["score"], part["updates"])
                self.ledger.report(number, part)
            if part.get("over"):
                self._over(trial_id, number, part, error=False)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result is not None:
            self.on_trial_result(trial_id, result)  # Tune tells the result that ended a trial here alone
        last = self._interrupted | dict(self._parts(trial_id, result or {}))
        left = list(self.numbers.get(trial_id, ()))
        if error and len(left) > 1:
            self._alone.update(left)
            self._again.extend(left)
            left.clear()
        for number in left:
            self._over(trial_id, number, last.get(number), error)
        self.numbers.pop(trial_id, None)

    def _parts(self, trial_id: str, result: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
        """What a worker told, by trial; nothing of those that it has been told are over."""
        numbers = self.numbers.get(trial_id, [])
        if "place" in result:  # it says nothing of any of them, and ends them all
            return [(number, result) for number in numbers]
        told = [result, *json.loads(result.get("beside", "[]"))] if result else []
        return [(n, part) for part in told if (n := part.get("number", next(iter(numbers), None))) in numbers]

    def _over(self, trial_id: str, number: int, part: dict[str, Any] | None, error: bool) -> None:
        self.numbers[trial_id].remove(number)
        self._interrupted.pop(number, None)
        try:
            outcome, score = self.ledger.end(number, part, error)
        except Exception as raised:
            self.place = self.place or place_behind(raised)
            if self.place is None:
                raise
            return
        self._end(number, outcome, score)

    def study(self, name: str) -> optuna.Study:
        """The study of a stage, or of the arm that a refinement tunes; made when first asked for."""
        if name not in self.studies:
            self.studies[name] = optuna.create_study(study_name=name, direction="minimize")
        return self.studies[name]

    @property
    def unfinished(self) -> list[int]:
        """Numbers of trials that were started and not yet told."""
        return sorted(set(self._live) - {*self._again, *self._waiting})

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is rebuilt from the lab database."""
