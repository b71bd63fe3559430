"""A launched sweep that stopped though nobody asked for it, as where its cluster had no node, is queued again."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import pytest
from jobs import SPEC, NoJobs

from rnnlab.written import load_yaml
from services.jobs import foreman
from services.jobs.foreman import MOST_ATTEMPTS, Foreman
from sweeps.store.queue import Queue


def stopped(queue: Queue, engine: NoJobs, state: str = "failed") -> str:
    """A launched sweep whose driver found no node to run on."""
    sweep, _ = queue.launch("tiny", load_yaml(SPEC), "abc", key="a", launched_by="ann")
    Foreman(queue, engine, most=1).round()
    _find_no_node(queue, engine, sweep.id, state)
    return sweep.id


def _find_no_node(queue: Queue, engine: NoJobs, id: str, state: str = "failed") -> None:
    queue.take_lease(id, socket.gethostname(), os.getpid())
    queue.end_sweep(id, "stopped", "no node has room")
    engine.states[engine.submitted[-1]] = state  # type: ignore[assignment]


def test_it_is_queued_again_after_a_rest(queue: Queue, engine: NoJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    id = stopped(queue, engine)
    Foreman(queue, engine, most=1).round()
    assert len(engine.submitted) == 1, "nodes need a while to come back"
    monkeypatch.setattr(foreman, "RESTS", timedelta(0))
    Foreman(queue, engine, most=1).round()
    assert engine.submitted[1:] == [f"rnnlab-{id}-2"]
    assert "nobody asked it to stop (no node has room): queued again" in [event.message for event in queue.events(id)]


def test_not_where_a_person_stopped_it(queue: Queue, engine: NoJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreman, "RESTS", timedelta(0))
    id = stopped(queue, engine)
    queue.request_stop(id)
    Foreman(queue, engine, most=1).round()
    assert len(engine.submitted) == 1


def test_not_where_its_job_was_stopped(queue: Queue, engine: NoJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreman, "RESTS", timedelta(0))
    stopped(queue, engine, "stopped")
    Foreman(queue, engine, most=1).round()
    assert len(engine.submitted) == 1


def test_not_for_ever(queue: Queue, engine: NoJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreman, "RESTS", timedelta(0))
    id = stopped(queue, engine)
    one = Foreman(queue, engine, most=1)
    for _ in range(MOST_ATTEMPTS + 2):
        one.round()
        if queue.sweep(id).status == "failed":
            break
        _find_no_node(queue, engine, id)
    assert queue.sweep(id).status == "failed"
    assert len(engine.submitted) <= MOST_ATTEMPTS + 1
