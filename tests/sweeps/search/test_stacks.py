"""Trials that are trained side by side: which ones, and what becomes of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from asking import DESIGN, SEARCHES, SPACE, TABLE, Notes, Sweeps, finished, searcher, space_of
from ray.tune.search import Searcher

from rnnlab.errors import PlaceError, SpecError
from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from rnnlab.training.shape import shape_of
from sweeps.running.places import Places
from sweeps.running.run import with_resources
from sweeps.search.past import Past
from sweeps.search.searcher import AskTell

STACK = 4


def asked(ask_tell: AskTell, end: Callable[[int], dict[str, Any]] = lambda number: finished(-1.0)) -> list[list[int]]:
    """Asks to the end, and tells each stack before the next is asked; the numbers of every stack."""
    stacks: list[list[int]] = []
    while True:
        tune_id = f"t{len(stacks)}"
        config = ask_tell.suggest(tune_id)
        assert config is not None
        if config == Searcher.FINISHED:
            return stacks
        assert isinstance(config, dict)
        numbers = numbers_in(config)
        stacks.append(numbers)
        ask_tell.on_trial_complete(tune_id, beside([{"number": number, **end(number)} for number in numbers]))


def numbers_in(config: dict[str, Any]) -> list[int]:
    return [member["number"] for member in (config, *config.get("beside", []))]


def beside(parts: list[dict[str, Any]], over: bool = True) -> dict[str, Any]:
    """A worker's result of several trials, as Tune hands it on."""
    parts = [{"over": over, **part} for part in parts]
    return {**parts[0], **({"beside": json.dumps(parts[1:])} if parts[1:] else {})}


def notes(ask_tell: AskTell) -> Notes:
    ledger = ask_tell.ledger
    assert isinstance(ledger, Notes)
    return ledger


@pytest.mark.parametrize("search", [*SEARCHES, DESIGN], ids=lambda search: str(search.get("sampler", "design")))
def test_every_trial_once_in_stacks_of_one_shape(sweep_of: Sweeps, search: dict[str, Any]) -> None:
    spec = sweep_of(space_of(search) if "sampler" in search else SPACE, search=search, resources={"stack": STACK})
    ask_tell = searcher(spec)
    stacks = asked(ask_tell)
    assert sorted(number for stack in stacks for number in stack) == list(range(spec.trials))
    begun = notes(ask_tell).begun
    for stack in stacks:
        assert len(stack) <= STACK
        assert len({shape_of(begun[number][2]) for number in stack}) == 1
    assert max(map(len, stacks)) > 1
    assert ask_tell.unfinished == []
    assert set(notes(ask_tell).ended) == set(range(spec.trials))


def test_a_grid_whose_shapes_alternate_fills_its_stacks(sweep_of: Sweeps) -> None:
    space = {"lr": [0.1, 0.2, 0.3, 0.4], "cell": ["rnn", "gru", "lstm"]}  # the last one varies first
    spec = sweep_of(space, search={"sampler": "grid"}, resources={"stack": STACK})
    assert Counter(map(len, asked(searcher(spec)))) == {4: 3}


def test_alone_there_is_nobody_beside(sweep_of: Sweeps) -> None:
    config = searcher(sweep_of(SPACE)).suggest("t")
    assert isinstance(config, dict)
    assert set(config) == {"number", "spec", "told"}


def test_what_is_asked_is_what_a_worker_gets(sweep_of: Sweeps) -> None:
    spec = sweep_of(TABLE, search={"sampler": "grid"}, resources={"stack": STACK})
    ask_tell = searcher(spec)
    config = ask_tell.suggest("abc")
    assert isinstance(config, dict)
    for member in (config, *config["beside"]):
        tune_id, picks, trial = notes(ask_tell).begun[member["number"]]
        assert tune_id == "abc"
        assert TrialSpec.model_validate_json(member["spec"]) == trial == spec.trial(member["number"], picks)


def one_stack(sweep_of: Sweeps) -> tuple[AskTell, list[int]]:
    ask_tell = searcher(sweep_of({"lr": [0.1, 0.2, 0.3]}, search={"sampler": "grid"}, resources={"stack": 3}))
    config = ask_tell.suggest("t")
    assert isinstance(config, dict)
    return ask_tell, numbers_in(config)


def test_one_that_is_over_ends_and_those_beside_it_go_on(sweep_of: Sweeps) -> None:
    ask_tell, numbers = one_stack(sweep_of)
    assert numbers == [0, 1, 2]
    diverged = {"number": 1, "score": 2.0, "updates": 2, "outcome": "diverged", "over": True}
    goes_on = [{"number": n, "score": 0.1, "updates": 2, "over": False} for n in (0, 2)]
    ask_tell.on_trial_result("t", beside([goes_on[0], diverged, goes_on[1]]))
    assert notes(ask_tell).ended == {1: (Outcome.DIVERGED, 2.0)}
    assert ask_tell.unfinished == [0, 2]
    assert notes(ask_tell).reports == [(0, 2, 0.1), (1, 2, 2.0), (2, 2, 0.1)]
    ask_tell.on_trial_complete("t", beside([{"number": n, **finished(-1.0)} for n in (0, 2)]))
    assert notes(ask_tell).ended[0] == notes(ask_tell).ended[2] == (Outcome.FINISHED, -1.0)
    ask_tell.on_trial_complete("t", None)  # Tune may say so twice
    assert ask_tell.unfinished == []


def test_it_is_told_once_that_those_of_a_stack_go_on_one_by_one(sweep_of: Sweeps) -> None:
    ask_tell, _ = one_stack(sweep_of)
    failed = {"number": 1, "score": 2.0, "updates": 0, "over": True, "failed": "x", "split": "3 trials side by side"}
    ask_tell.on_trial_result("t", beside([failed], over=True))
    ask_tell.on_trial_result("t", beside([{"number": 0, "score": 0.1, "updates": 2}], over=False))
    assert notes(ask_tell).splits == [(1, "3 trials side by side")]
    assert [number for number, *_ in notes(ask_tell).reports] == [0]


def test_those_whose_worker_died_for_good_get_one_of_their_own_each(sweep_of: Sweeps) -> None:
    """Nobody knows which of them it was."""
    ask_tell, _ = one_stack(sweep_of)
    ask_tell.on_trial_result("t", beside([{"number": 2, **finished(-1.0)}]))
    ask_tell.on_trial_complete("t", None, error=True)
    assert {number: outcome for number, (outcome, _) in notes(ask_tell).ended.items()} == {2: Outcome.FINISHED}
    assert ask_tell.unfinished == []  # they wait
    for number, guilty in ((0, True), (1, False)):
        config = ask_tell.suggest(f"t{number}")
        assert isinstance(config, dict)
        assert numbers_in(config) == [number]
        ask_tell.on_trial_complete(f"t{number}", None if guilty else finished(-1.0), error=guilty)
    assert ask_tell.suggest("more") == Searcher.FINISHED
    assert [notes(ask_tell).ended[n][0] for n in range(3)] == [Outcome.FAILED, Outcome.FINISHED, Outcome.FINISHED]


def test_what_stopped_before_the_others_of_its_stack_is_not_forgotten(sweep_of: Sweeps) -> None:
    ask_tell, _ = one_stack(sweep_of)
    stopped = {"score": 0.3, "updates": 4, "interrupted": True, "outcome": "interrupted"}
    ask_tell.on_trial_result("t", beside([{"number": 1, **stopped}]))
    ask_tell.on_trial_complete("t", beside([{"number": n, **stopped, "score": 0.4} for n in (0, 2)]))
    assert {number: score for number, (_, score) in notes(ask_tell).ended.items()} == {0: 0.4, 1: 0.3, 2: 0.4}


def test_tpe_asks_for_one_of_another_shape_and_no_more(sweep_of: Sweeps) -> None:
    search = {"sampler": {"tpe": 4}, "trials": 30}
    ask_tell = searcher(sweep_of({"hidden": {"low": 1, "high": 99}}, search=search, resources={"stack": 8}))
    assert isinstance(ask_tell.suggest("t"), dict)
    assert len(ask_tell.study("search").trials) == 2


class Full(Notes):
    """Books whose disk is full."""

    def end(self, number: int, result: dict[str, Any] | None, error: bool) -> tuple[Outcome, float | None]:
        raise PlaceError((result or {}).get("place", "the driver's disk is full"))


@pytest.mark.parametrize("stack", [1, 3])
def test_a_place_that_failed_is_raised_to_whoever_lets_tune_run(sweep_of: Sweeps, stack: int) -> None:
    """Tune makes an error of a searcher a failure of the trial, and goes on: trials would end as pruned."""
    spec = sweep_of({"lr": [0.1, 0.2, 0.3]}, search={"sampler": "grid"}, resources={"stack": stack})
    ask_tell = AskTell(spec, Full(), lambda: True)
    config = ask_tell.suggest("t")
    assert isinstance(config, dict)
    halt = Places(ask_tell)
    halt.on_step_begin(1, [])
    place = {"score": 2.0, "updates": 0, "done": True, "interrupted": True, "place": "the node's disk is full"}
    ask_tell.on_trial_complete("t", place)
    ask_tell.on_trial_complete("t", None, error=True)  # what Tune makes of it
    assert ask_tell.unfinished == numbers_in(config)  # the driver's to end
    with pytest.raises(PlaceError, match="the node's disk is full"):
        halt.on_step_begin(2, [])


def test_a_new_driver_starts_what_was_asked_for_and_never_began(sweep_of: Sweeps) -> None:
    spec = sweep_of(SPACE, resources={"stack": STACK})
    first = searcher(spec)
    config = first.suggest("t0")
    assert isinstance(config, dict)
    begun = sorted(numbers_in(config))
    assert begun != list(range(len(begun))), "the stack has jumped over some, or this tests nothing"
    past = [Past(n, notes(first).begun[n][1], ((2, 0.5),)) for n in begun]
    past[-1] = Past(begun[-1], notes(first).begun[begun[-1]][1], ((2, 0.5),), Outcome.FINISHED, -1.0)
    again = searcher(spec, past=past)
    stacks = asked(again)
    assert stacks[0][: len(begun) - 1] == begun[:-1]  # what was in flight goes first
    assert sorted(number for stack in stacks for number in stack) == [n for n in range(spec.trials) if n != begun[-1]]
    for number, (_, picks, _) in notes(again).begun.items():
        if number in notes(first).begun:
            assert picks == notes(first).begun[number][1]


def test_a_pruner_and_a_stack_refuse_each_other(sweep_of: Sweeps) -> None:
    search = {"sampler": "random", "trials": 4, "pruner": "asha"}
    with pytest.raises(SpecError, match=r"resources.stack is 2, but .* 'asha' would end one alone"):
        sweep_of(SPACE, search=search, resources={"stack": 2})
    alone = sweep_of(SPACE, search=search)
    with pytest.raises(SpecError, match=r"resources.stack is 8"):
        with_resources(alone, {"stack": 8})
    assert with_resources(sweep_of(SPACE), {"stack": 8}).content_hash == sweep_of(SPACE).content_hash
