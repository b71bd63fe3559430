"""The foreman: oldest first, at most so many, and what became of a job decides what becomes of its sweep."""

from __future__ import annotations

import os
import socket

import pytest
from jobs import SPEC, NoJobs

from rnnlab.written import load_yaml
from services.jobs.engine import EngineAway
from services.jobs.foreman import MOST_ATTEMPTS, Foreman
from sweeps.store.queue import Queue


def launch(queue: Queue, key: str) -> str:
    sweep, _ = queue.launch("tiny", load_yaml(SPEC), "abc", key=key, launched_by="ann")
    return sweep.id


def test_the_oldest_first_and_no_more_than_may_run(queue: Queue, engine: NoJobs) -> None:
    ids = [launch(queue, key) for key in "abcd"]
    foreman = Foreman(queue, engine, most=2)
    foreman.round()
    foreman.round()
    assert engine.submitted == [f"rnnlab-{id}-1" for id in ids[:2]]
    for id in ids[:2]:
        queue.take_lease(id, socket.gethostname(), os.getpid())
        engine.states[f"rnnlab-{id}-1"] = "running"
    foreman.round()
    assert len(engine.submitted) == 2
    queue.end_sweep(ids[0], "finished")
    engine.states[f"rnnlab-{ids[0]}-1"] = "succeeded"
    foreman.round()
    assert engine.submitted[2:] == [f"rnnlab-{ids[2]}-1"]


def test_a_sweep_whose_job_is_gone_is_resumed_by_another(queue: Queue, engine: NoJobs) -> None:
    id = launch(queue, "a")
    foreman = Foreman(queue, engine, most=1)
    foreman.round()
    dead = 2**22 + 1  # above the kernel's highest pid: no such process
    queue.take_lease(id, socket.gethostname(), dead)
    engine.states.clear()  # the head forgot
    foreman.round()
    assert engine.submitted == [f"rnnlab-{id}-1", f"rnnlab-{id}-2"]
    assert "is gone: queued again" in [event.message for event in queue.events(id)][-1]
    assert queue.sweep(id).attempts == 2


def test_a_driver_that_outlives_its_job_is_left_alone(queue: Queue, engine: NoJobs) -> None:
    id = launch(queue, "a")
    foreman = Foreman(queue, engine, most=1)
    foreman.round()
    queue.take_lease(id, socket.gethostname(), os.getpid())
    engine.states.clear()
    foreman.round()
    assert engine.submitted == [f"rnnlab-{id}-1"]


def test_a_service_that_died_between_noting_and_submitting_submits_once(queue: Queue, engine: NoJobs) -> None:
    id = launch(queue, "a")
    assert queue.give_job(id, f"rnnlab-{id}-1")
    Foreman(queue, engine, most=1).round()
    assert engine.submitted == [f"rnnlab-{id}-1"]
    assert queue.sweep(id).attempts == 1


def test_a_job_that_fails_before_its_sweep_begins_fails_it_with_its_words(queue: Queue, engine: NoJobs) -> None:
    id = launch(queue, "a")
    foreman = Foreman(queue, engine, most=1)
    foreman.round()
    engine.states[f"rnnlab-{id}-1"] = "failed"
    foreman.round()
    sweep = queue.sweep(id)
    assert (sweep.status, sweep.message) == ("failed", "error: the lab is on fire")
    assert len(engine.submitted) == 1


def test_a_job_that_is_lost_before_its_sweep_begins_is_tried_again(queue: Queue, engine: NoJobs) -> None:
    """As where the database was away for longer than the driver's patience."""
    id = launch(queue, "a")
    foreman = Foreman(queue, engine, most=1)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        foreman.round()
        assert engine.submitted[-1] == f"rnnlab-{id}-{attempt}"
        assert queue.sweep(id).status == "queued"
        engine.states[f"rnnlab-{id}-{attempt}"] = "lost"
    foreman.round()
    assert queue.sweep(id).status == "failed"
    assert len(engine.submitted) == MOST_ATTEMPTS
    assert f"its job rnnlab-{id}-1 was lost: queued again" in [event.message for event in queue.events(id)]


def test_a_sweep_that_gets_nowhere_is_failed_in_the_end(queue: Queue, engine: NoJobs) -> None:
    id = launch(queue, "a")
    foreman = Foreman(queue, engine, most=1)
    for attempt in range(1, MOST_ATTEMPTS + 3):
        foreman.round()
        if queue.sweep(id).status == "failed":
            break
        queue.take_lease(id, socket.gethostname(), 2**22 + 1)
        engine.states[f"rnnlab-{id}-{attempt}"] = "failed"
        foreman.round()
    assert queue.sweep(id).status == "failed"
    assert len(engine.submitted) == MOST_ATTEMPTS
    assert "5 jobs in a row" in (queue.sweep(id).message or "")


def test_a_stop_before_the_driver_starts_ends_the_job(queue: Queue, engine: NoJobs) -> None:
    id = launch(queue, "a")
    foreman = Foreman(queue, engine, most=1)
    foreman.round()
    assert not queue.stop_waiting(id)
    queue.request_stop(id)
    foreman.round()
    assert engine.stopped == [f"rnnlab-{id}-1"]
    foreman.round()
    assert queue.sweep(id).status == "stopped"
    assert len(engine.submitted) == 1


def test_while_the_engine_is_away_nothing_is_given_up(queue: Queue, engine: NoJobs) -> None:
    id = launch(queue, "a")
    foreman = Foreman(queue, engine, most=1)
    engine.away = True
    with pytest.raises(EngineAway):
        foreman.round()
    engine.away = False
    foreman.round()
    assert engine.submitted == [f"rnnlab-{id}-1"]
    assert queue.sweep(id).status == "queued"
