"""Sweeps, trials and what belongs to them go in and come out the same on both databases."""

from __future__ import annotations

import math
from datetime import UTC, timedelta
from typing import Any

import pytest

from rnnlab.errors import SpecError
from sweeps.store import Lab, ReplicateRecord, TrialResult

SPEC = {"name": "first", "space": {"z": [1.5], "a": {"low": 1, "high": 3}}}
RESULT = TrialResult(
    score=-1.25,
    score_sd=0.1,
    test_score=-1.2,
    verdict="healthy",
    verdict_init="vanishing",
    decades=-0.5,
    decades_init=-4.0,
    exploded=1,
    solved=1,
    healthy=1,
    seconds=3.5,
    cpu_seconds=7.0,
    updates=200,
)
GOOD = ReplicateRecord(
    trial=0,
    number=0,
    seed=2**63 - 1,
    outcome="finished",
    update=200,
    score=-2.0,
    test_score=-1.9,
    solved=True,
    accuracy=0.75,
    verdict="healthy",
    verdict_init="vanishing",
    decades=-0.5,
    decades_init=-4.0,
    slope=-0.01,
    hump=1.5,
    horizon=70,
    mixed=True,
    spikes=3,
    healthy_share=0.5,
    clip_rate=0.25,
    features={"slope_late": -0.2},
)
BAD = ReplicateRecord(trial=0, number=1, seed=1, outcome="diverged", cause="loss", exploded=True, exploded_at=7)


def start(lab: Lab, number: int = 0, **changes: Any) -> str:
    """Starts a trial in the newest sweep, made where there is none; returns the sweep's id."""
    sweeps = lab.sweeps()
    id = sweeps[0].id if sweeps else lab.create_sweep("first", SPEC, "abc").id
    lab.add_block(id, 0, seed=2**63 - 1, nuisance={"lr": 0.1})
    given: dict[str, Any] = {"params": {"cell": "rnn"}, "spec": {"model": {"cell": "rnn"}}} | changes
    lab.start_trial(id, number, block=0, config_hash="c0", label="rnn", **given)
    return id


def test_a_sweep_comes_back_as_it_was_written_in_aware_utc(lab: Lab) -> None:
    made = lab.create_sweep("first", SPEC, "abc")
    assert (made.id, made.name, made.status, made.spec_hash) == ("first", "first", "queued", "abc")
    seen = lab.sweep("first")
    assert seen == made
    assert list(seen.spec["space"]) == ["z", "a"]  # the order that the person wrote
    lab.set_mlflow("first", "7", "run7")
    seen = lab.sweep("first")
    assert (seen.mlflow_experiment_id, seen.mlflow_run_id) == ("7", "run7")
    assert seen.created_at.utcoffset() == timedelta(0)
    assert seen.created_at.tzinfo is UTC


def test_ids_are_the_name_then_numbered_and_lists_are_newest_first(lab: Lab) -> None:
    names = ["first", "first", "second", "first", "a name/with signs!", "..", "first-2"]
    made = [lab.create_sweep(name, SPEC, "abc").id for name in names]
    assert made == ["first", "first-2", "second", "first-3", "a-name-with-signs", "sweep", "first-2-2"]
    assert [sweep.id for sweep in lab.sweeps()] == made[::-1]


def test_an_unknown_id_names_the_nearest_in_every_method(lab: Lab) -> None:
    lab.create_sweep("first", SPEC, "abc")
    asks = [lab.sweep, lab.blocks, lab.trials, lab.replicates, lab.reports, lab.events, lab.request_stop]
    writes = [
        lambda id: lab.take_lease(id, "here", 1),
        lambda id: lab.end_sweep(id, "failed"),
        lambda id: lab.set_mlflow(id, "1", None),
        lambda id: lab.add_block(id, 0, 1, {}),
        lambda id: lab.report(id, 0, 1, 0.5),
        lambda id: lab.event(id, "note", "text"),
    ]
    for ask in [*asks, *writes]:
        with pytest.raises(SpecError, match=r"no sweep 'frist'; did you mean 'first'.*rnnlab sweep list"):
            ask("frist")


def test_a_trial_and_its_replicates_come_back_as_they_were_written(lab: Lab) -> None:
    id = start(lab, tune_trial_id="t0")
    (running,) = lab.trials(id)
    assert (running.state, running.block, running.label, running.score) == ("running", 0, "rnn", None)
    lab.set_trial_run(id, 0, "run0")
    lab.end_trial(id, 0, "complete", RESULT, [GOOD, BAD])
    (trial,) = lab.trials(id)
    assert (trial.state, trial.mlflow_run_id, trial.tune_trial_id) == ("complete", "run0", "t0")
    assert trial.model_dump(include=set(TrialResult.model_fields)) == RESULT.model_dump()
    assert trial.started_at.tzinfo is UTC
    assert trial.ended_at is not None
    assert trial.started_at <= trial.ended_at
    assert lab.replicates(id) == [GOOD, BAD]
    (block,) = lab.blocks(id)
    assert (block.seed, block.nuisance) == (2**63 - 1, {"lr": 0.1})
    # a record read may be written back: what it has beside its result is not touched
    lab.end_trial(id, 0, "complete", trial.model_copy(update={"label": "other"}), [GOOD])
    assert (lab.trials(id)[0].label, lab.replicates(id)) == ("rnn", [GOOD])


def test_reports_are_idempotent_and_survive_a_trial_started_again(lab: Lab) -> None:
    id = start(lab)
    for update, score in [(20, -0.5), (10, -0.25), (20, -0.5)]:
        lab.report(id, 0, update, score)
    lab.end_trial(id, 0, "interrupted", RESULT, [BAD])
    start(lab)
    assert [(told.trial, told.update, told.score) for told in lab.reports(id)] == [
        (0, 10, -0.25),
        (0, 20, -0.5),
    ]
    (trial,) = lab.trials(id)
    assert (trial.state, trial.score, trial.ended_at, lab.replicates(id)) == ("running", None, None, [])
    lab.end_trial(id, 0, "complete", RESULT)
    with pytest.raises(ValueError, match="trial 0 of sweep 'first' is complete and cannot start again"):
        start(lab)


def test_a_block_is_added_once_and_never_changed(lab: Lab) -> None:
    id = lab.create_sweep("first", SPEC, "abc").id
    first = lab.add_block(id, 3, seed=5, nuisance={"lr": 0.1, "pair": (1, 2)})
    assert lab.add_block(id, 3, seed=5, nuisance={"lr": 0.1, "pair": (1, 2)}) == first
    with pytest.raises(ValueError, match="block 3 of sweep 'first' is seed 5"):
        lab.add_block(id, 3, seed=6, nuisance={"lr": 0.1})
    assert lab.blocks(id) == [first]


def test_events_keep_their_order_and_data(lab: Lab) -> None:
    id = lab.create_sweep("first", SPEC, "abc").id
    lab.event(id, "resumed", "by a person", trials=3)
    lab.event(id, "kind", "with any name of data", kind="x", message="y", sweep_id="z")
    one, two = lab.events(id)
    assert (one.kind, one.message, one.data, one.sweep_id) == ("resumed", "by a person", {"trials": 3}, id)
    assert two.data == {"kind": "x", "message": "y", "sweep_id": "z"}
    assert one.at.tzinfo is UTC


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_never_a_nan_in_the_database(lab: Lab, number: float) -> None:
    id = start(lab)
    spoilt = RESULT.model_copy(update={"score": number})
    deep = GOOD.model_copy(update={"features": {"norms": [1.0, number]}})
    for where, write in {
        "reports.score": lambda: lab.report(id, 0, 1, number),
        "trials.score": lambda: lab.end_trial(id, 0, "complete", spoilt),
        r"replicates.features.norms\[1\]": lambda: lab.end_trial(id, 0, "complete", RESULT, [deep]),
        "trials.params.lr": lambda: start(lab, 1, params={"lr": number}),
        "events.data.loss": lambda: lab.event(id, "note", "text", loss=number),
        "blocks.nuisance.lr": lambda: lab.add_block(id, 9, 1, {"lr": number}),
        "sweeps.spec.x": lambda: lab.create_sweep("other", {"x": number}, "abc"),
    }.items():
        with pytest.raises(ValueError, match=f"never a NaN in the database: {where} must be finite"):
            write()
    # the whole transaction is undone
    assert [(trial.number, trial.state) for trial in lab.trials(id)] == [(0, "running")]
    assert (lab.reports(id), lab.replicates(id), lab.events(id), len(lab.sweeps())) == ([], [], [], 1)


def test_bugs_of_a_caller_are_refused(lab: Lab) -> None:
    id = start(lab)
    with pytest.raises(ValueError, match="trial 5 of sweep 'first' must be started first"):
        lab.report(id, 5, 1, 0.0)
    with pytest.raises(ValueError, match="block 8 of sweep 'first' must be added before trial 1"):
        lab.start_trial(id, 1, block=8, config_hash="", label="", params={}, spec={})
    with pytest.raises(ValueError, match=r"replicates of trial 0 must say so, but got some of trials \[4\]"):
        lab.end_trial(id, 0, "complete", RESULT, [GOOD.model_copy(update={"trial": 4})])
    with pytest.raises(ValueError, match=r"a trial ends as .* but got 'running'"):
        lab.end_trial(id, 0, "running")
    with pytest.raises(ValueError, match=r"a sweep ends as .* but got 'running'"):
        lab.end_sweep(id, "running")


def test_a_heartbeat_without_a_lease_does_nothing(lab: Lab) -> None:
    id = start(lab)
    lab.end_sweep(id, "finished")
    before = lab.sweep(id)
    assert not lab.heartbeat(id)
    assert lab.sweep(id).status == before.status == "finished"
