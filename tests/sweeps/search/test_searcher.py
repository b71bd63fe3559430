"""Asking and telling: the searcher driven directly."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from asking import DESIGN, SEARCHES, SPACE, TABLE, Sweeps, finished, quality, run, searcher, space_of
from optuna.trial import TrialState
from ray.tune.search import Searcher

from rnnlab.spec import TrialSpec
from rnnlab.training.scale import HIGHEST
from sweeps.search.samplers import sampler_for
from sweeps.search.spec import SearchSpec
from sweeps.space.dimensions import Picks


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


def test_what_a_stage_is_made_of_is_found_once(sweep_of: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = sweep_of({"cell": ["rnn", "lstm", "gru"], "lr": SPACE["lr"]}, search=DESIGN)
    found: list[str] = []
    points = spec.stages.points
    monkeypatch.setattr(spec.stages, "points", lambda stage, told: found.append(stage) or points(stage, told))
    run(searcher(spec), lambda picks: float(picks["lr"]))
    assert found == ["refine", "confirm"]


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
            picks = ask_tell.ledger.begun[ask_tell.numbers[first][0]][1]  # type: ignore[attr-defined]
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
