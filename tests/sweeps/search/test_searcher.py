"""Asking and telling: the searcher driven directly, with books kept in memory."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import HIGHEST, Outcome
from sweeps.search import recent
from sweeps.search import searcher as searcher_module
from sweeps.search.samplers import sampler_for
from sweeps.search.searcher import AskTell, Past
from sweeps.search.spec import SearchSpec
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


def space_of(search: dict[str, Any]) -> dict[str, Any]:
    return TABLE if search["sampler"] == "grid" else SPACE


class Notes:
    """The books in memory. A trial ends as its last result says: `outcome`, and `score`."""

    def __init__(self) -> None:
        self.begun: dict[int, tuple[str, Picks, TrialSpec]] = {}
        self.reports: list[tuple[int, int, float]] = []
        self.ended: dict[int, tuple[Outcome, float | None]] = {}

    def begin(self, number: int, tune_id: str, picks: Picks, trial: TrialSpec) -> None:
        self.begun[number] = (tune_id, picks, trial)

    def report(self, number: int, result: dict[str, Any]) -> None:
        self.reports.append((number, result["updates"], result["score"]))

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


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: str(search["sampler"]))
def test_the_same_spec_and_seed_ask_the_same(sweep_of: Sweeps, search: dict[str, Any]) -> None:
    first, second = (run(searcher(sweep_of(space_of(search), search=search))) for _ in range(2))
    assert first == second
    assert len(first) == sweep_of(space_of(search), search=search).trials


@pytest.mark.parametrize("search", SEARCHES[:2], ids=lambda search: str(search["sampler"]))
def test_another_seed_asks_others(sweep_of: Sweeps, search: dict[str, Any]) -> None:
    asked = [run(searcher(sweep_of(SPACE, search={**search, "seed": seed}))) for seed in (0, 1)]
    assert asked[0] != asked[1]
    # all of them, not a shifted stream
    assert not {str(picks) for picks in asked[0]} & {str(picks) for picks in asked[1]}


@pytest.mark.parametrize("search", SEARCHES[:2], ids=lambda search: str(search["sampler"]))
def test_the_order_in_which_a_space_is_written_changes_nothing(sweep_of: Sweeps, search: dict[str, Any]) -> None:
    turned = dict(reversed(SPACE.items()))
    specs = [sweep_of(space, search=search) for space in (SPACE, turned)]
    assert specs[0].content_hash == specs[1].content_hash
    assert run(searcher(specs[0])) == run(searcher(specs[1]))


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_grid_asks_every_row_once_in_each_block_then_is_finished(sweep_of: Sweeps, blocks: int) -> None:
    spec = sweep_of(TABLE, search={"sampler": "grid", "blocks": blocks})
    ask_tell = searcher(spec)
    asked = run(ask_tell)
    assert asked == spec.stages.arms * blocks
    rows = [str(sorted(row.items())) for row in asked]
    assert len(set(rows)) == len(rows) / blocks == 18
    assert ask_tell.suggest("more") == Searcher.FINISHED
    assert [trial.block for _, _, trial in ask_tell.ledger.begun.values()] == [  # type: ignore[attr-defined]
        block for block in range(blocks) for _ in range(18)
    ]


def test_what_is_asked_is_the_trial_that_a_worker_gets(sweep_of: Sweeps) -> None:
    spec = sweep_of(SPACE)
    ask_tell = searcher(spec)
    config = ask_tell.suggest("abc")
    assert isinstance(config, dict)
    tune_id, picks, trial = ask_tell.ledger.begun[0]  # type: ignore[attr-defined]
    assert (tune_id, config["number"]) == ("abc", 0)
    assert TrialSpec.model_validate_json(config["spec"]) == trial == spec.trial(0, picks)


def test_params_whose_condition_does_not_hold_are_absent(sweep_of: Sweeps) -> None:
    ask_tell = searcher(sweep_of(SPACE, search={"sampler": {"tpe": 4}, "trials": 30}))
    asked = run(ask_tell)
    assert {picks["cell"] for picks in asked} == {"rnn", "lstm"}
    for picks, trial in zip(asked, ask_tell.study("search").trials, strict=True):
        assert ("activation" in picks) == (picks["cell"] == "rnn") == ("activation[cell=rnn]" in trial.params)


def test_an_unwilling_driver_asks_for_no_more(sweep_of: Sweeps) -> None:
    willing = True
    ask_tell = searcher(sweep_of(SPACE), asking=lambda: willing)
    assert isinstance(ask_tell.suggest("a"), dict)
    willing = False
    assert ask_tell.suggest("b") == Searcher.FINISHED
    assert ask_tell.unfinished == [0]
    assert len(ask_tell.study("search").trials) == 1


def test_how_each_ending_is_told(sweep_of: Sweeps) -> None:
    ask_tell = searcher(sweep_of(SPACE))
    endings: list[tuple[dict[str, Any] | None, bool]] = [
        (finished(-1.5), False),
        ({"score": HIGHEST, "updates": 3, "outcome": "diverged"}, False),
        ({"score": -3.0, "updates": 3, "outcome": "pruned"}, False),
        ({"score": -3.5, "updates": 2, "outcome": "interrupted"}, False),
        (None, False),
        (None, True),
    ]
    for number, (result, error) in enumerate(endings):
        assert isinstance(ask_tell.suggest(f"t{number}"), dict)
        for told in [{"score": 0.5, "updates": 1}, result] if result else []:
            ask_tell.on_trial_result(f"t{number}", told)
        assert ask_tell.unfinished == [number]
        ask_tell.on_trial_complete(f"t{number}", result, error)
        ask_tell.on_trial_complete(f"t{number}", result, error)  # Tune may say so twice
    trials = ask_tell.study("search").trials
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL, TrialState.FAIL,
    ]  # fmt: skip
    assert [trial.value for trial in trials[:2]] == [-1.5, HIGHEST]
    assert trials[2].intermediate_values == {1: 0.5, 3: -3.0}
    assert [trial.value for trial in trials[3:]] == [None] * 3
    assert ask_tell.unfinished == []
    assert ask_tell.ledger.reports[:2] == [(0, 1, 0.5), (0, 5, -1.5)]  # type: ignore[attr-defined]
    # the score of a smaller budget is never the best
    assert ask_tell.study("search").best_trial.number == 0


def test_a_result_between_evaluations_is_no_report(sweep_of: Sweeps) -> None:
    ask_tell = searcher(sweep_of(SPACE))
    ask_tell.suggest("a")
    ask_tell.on_trial_result("a", {"score": 0.5, "updates": 2})
    stopped = {"score": 0.5, "updates": 3, "outcome": "interrupted", "interrupted": True}
    ask_tell.on_trial_complete("a", stopped)
    assert ask_tell.ledger.reports == [(0, 2, 0.5)]  # type: ignore[attr-defined]
    assert ask_tell.study("search").trials[0].intermediate_values == {2: 0.5}


def test_nothing_stays_running(sweep_of: Sweeps) -> None:
    ask_tell = searcher(sweep_of(SPACE, search={"sampler": {"tpe": 4}, "trials": 12}))
    for number in range(12):  # four at a time, told in another order
        assert isinstance(ask_tell.suggest(f"t{number}"), dict)
        if number % 4 == 3:
            for other in (number - 1, number, number - 3, number - 2):
                ask_tell.on_trial_complete(f"t{other}", finished(-1.0), error=other % 3 == 0)
    assert ask_tell.unfinished == []
    assert {trial.state for trial in ask_tell.study("search").trials} == {TrialState.COMPLETE, TrialState.FAIL}


def test_a_sampler_is_seeded_anew_for_every_number() -> None:
    search = SearchSpec(trials=9)

    def first_draw(number: int, seed: int = 0) -> float:
        study = optuna.create_study(sampler=sampler_for(search.model_copy(update={"seed": seed}), number))
        return study.ask().suggest_float("x", 0, 1)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    draws = [first_draw(number) for number in range(50)]
    assert len(set(draws)) == 50
    assert draws == [first_draw(number) for number in range(50)]
    assert not set(draws) & {first_draw(number, seed=1) for number in range(50)}


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


def test_what_a_stage_is_made_of_is_found_once(sweep_of: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = sweep_of({"cell": ["rnn", "lstm", "gru"], "lr": SPACE["lr"]}, search=DESIGN)
    found: list[str] = []
    points = spec.stages.points
    monkeypatch.setattr(spec.stages, "points", lambda stage, told: found.append(stage) or points(stage, told))
    run(searcher(spec), lambda picks: float(picks["lr"]))
    assert found == ["refine", "confirm"]


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


def test_tpe_finds_a_better_region_than_random_draws(sweep_of: Sweeps) -> None:
    better = 0
    for seed in range(5):
        later: dict[str, float] = {}
        for sampler in ("tpe", "random"):
            spec = sweep_of(SPACE, search={"sampler": sampler, "trials": 40, "seed": seed})
            later[sampler] = sum(map(quality, run(searcher(spec))[20:])) / 20
        better += later["tpe"] < later["random"] - 0.5
    assert better >= 4


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: str(search["sampler"]))
def test_nobody_is_warned(sweep_of: Sweeps, search: dict[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run(searcher(sweep_of(space_of(search), search=search)))
    assert [str(warning.message) for warning in seen] == []


DESIGN: dict[str, Any] = {
    "design": "screen+refine", "blocks": 2, "trials": 3, "winners": 1, "confirm": 2, "nuisance": ["lr"],
}  # fmt: skip


def test_a_design_asks_stage_by_stage_and_tunes_each_arm_by_itself(sweep_of: Sweeps) -> None:
    spec = sweep_of({"cell": ["rnn", "lstm", "gru"], "lr": SPACE["lr"]}, search=DESIGN)
    ask_tell = searcher(spec)
    # the second of a pair is asked before the first has ended, as two workers do
    waiting: list[str] = []
    asked: list[Picks] = []
    waited = 0
    while True:
        tune_id = f"t{len(asked)}"
        config = ask_tell.suggest(tune_id)
        if config == Searcher.FINISHED:
            break
        if config is None:
            waited += 1
            assert waiting, "nobody runs, and nobody may start"
        else:
            asked.append(ask_tell.ledger.begun[len(asked)][1])  # type: ignore[attr-defined]
            waiting.append(tune_id)
        if len(waiting) == 2 or config is None:
            first = waiting.pop(0)
            picks = ask_tell.ledger.begun[ask_tell.numbers[first]][1]  # type: ignore[attr-defined]
            ask_tell.on_trial_complete(first, finished(quality({**picks, "depth": 2}) - 2 * (picks["cell"] == "gru")))
    for tune_id in waiting:
        ask_tell.on_trial_complete(tune_id, finished(0.0))
    assert waited
    cells = [picks["cell"] for picks in asked]
    assert sorted(cells[:6]) == sorted(["rnn", "lstm", "gru"] * 2)
    assert cells[6:] == ["rnn", "gru"] * 5  # the baseline and the winner: three rounds of tuning, two to confirm
    assert len({picks["lr"] for picks in asked[6:12]}) == 6
    confirmed = {picks["cell"]: picks["lr"] for picks in asked[12:]}
    for cell, lr in confirmed.items():
        tried = [picks for picks in asked[6:12] if picks["cell"] == cell]
        assert lr == min(tried, key=lambda picks: quality({**picks, "depth": 2}))["lr"]
    studies = ask_tell.studies
    assert set(studies) == {"screen", "0", "1", "confirm"}
    assert [len(studies[name].trials) for name in ("screen", "0", "1", "confirm")] == [6, 3, 3, 4]
    assert all(trial.state is TrialState.COMPLETE for study in studies.values() for trial in study.trials)
    assert all(set(trial.params) == {"lr"} for trial in studies["0"].trials)


def test_what_a_block_draws_is_told_to_all_its_arms(sweep_of: Sweeps) -> None:
    spec = sweep_of(
        {"cell": ["rnn", "lstm"], "lr": SPACE["lr"]}, search={"design": "screen", "blocks": 3, "nuisance": ["lr"]}
    )
    asked = run(searcher(spec), lambda picks: 0.0)
    assert [asked[number]["lr"] for number in (0, 2, 4)] == [asked[number]["lr"] for number in (1, 3, 5)]
    assert {picks["cell"] for picks in asked[:2]} == {"rnn", "lstm"}
