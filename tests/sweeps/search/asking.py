"""A searcher driven directly, with books kept in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.search import Searcher

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from sweeps.search.past import Past
from sweeps.search.searcher import AskTell
from sweeps.space.dimensions import Picks
from sweeps.spec import SweepSpec

Sweeps = Callable[..., SweepSpec]

SPACE: dict[str, Any] = {
    "cell": ["rnn", "lstm"],
    "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
    "depth": {"low": 1, "high": 3},
    "lr": {"low": 1e-4, "high": 1e-1, "log": True},
}
TABLE: dict[str, Any] = {**{name: SPACE[name] for name in ("cell", "activation", "depth")}, "lr": [0.1, 0.2]}
SEARCHES: list[dict[str, Any]] = [
    {"sampler": "random", "trials": 16},
    {"sampler": {"tpe": 4}, "trials": 16},
    {"sampler": "grid"},
]

DESIGN: dict[str, Any] = {
    "design": "screen+refine", "blocks": 2, "trials": 3, "winners": 1, "confirm": 2, "nuisance": ["lr"],
}  # fmt: skip


def space_of(search: dict[str, Any]) -> dict[str, Any]:
    return TABLE if search["sampler"] == "grid" else SPACE


class Notes:
    """The books in memory. A trial ends as its last result says: `outcome`, and `score`."""

    def __init__(self) -> None:
        self.begun: dict[int, tuple[str, Picks, TrialSpec]] = {}
        self.reports: list[tuple[int, int, float]] = []
        self.ended: dict[int, tuple[Outcome, float | None]] = {}
        self.splits: list[tuple[int, str]] = []

    def begin(self, number: int, tune_id: str, picks: Picks, trial: TrialSpec) -> None:
        self.begun[number] = (tune_id, picks, trial)

    def report(self, number: int, result: dict[str, Any]) -> None:
        self.reports.append((number, result["updates"], result["score"]))

    def split(self, number: int, why: str) -> None:
        self.splits.append((number, why))

    def end(self, number: int, result: dict[str, Any] | None, error: bool) -> tuple[Outcome, float | None]:
        assert number not in self.ended, "ended twice"
        told = Outcome.FAILED if error else Outcome((result or {}).get("outcome", "interrupted"))
        self.ended[number] = (told, (result or {}).get("score"))
        return self.ended[number]


def searcher(spec: SweepSpec, asking: Callable[[], bool] = lambda: True, past: Sequence[Past] = ()) -> AskTell:
    return AskTell(spec, Notes(), asking, past)


def finished(score: float, updates: int = 5) -> dict[str, Any]:
    return {"score": score, "updates": updates, "outcome": "finished"}


def quality(picks: Picks) -> float:
    """A score with one good region: plain relu networks of depth 2 with lr near 1e-2."""
    off = abs(math.log10(float(picks["lr"])) + 2)
    return off + (picks["cell"] != "rnn") + (picks.get("activation") != "relu") + abs(int(picks["depth"]) - 2) - 4


def run(ask_tell: AskTell, score: Callable[[Picks], float] = quality) -> list[Picks]:
    """Asks to the end and tells each trial before the next is asked; what was asked."""
    asked: list[Picks] = []
    while True:
        tune_id = f"t{len(asked)}"
        config = ask_tell.suggest(tune_id)
        if config == Searcher.FINISHED:
            return asked
        number = len(asked)
        asked.append(ask_tell.ledger.begun[number][1])  # type: ignore[attr-defined]
        result = finished(score(asked[-1]))
        ask_tell.on_trial_result(tune_id, result)
        ask_tell.on_trial_complete(tune_id, result)
