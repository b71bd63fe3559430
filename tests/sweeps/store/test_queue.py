"""The queue of launched sweeps, and tokens, on SQLite and PostgreSQL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from rnnlab.errors import PlaceError, SpecError
from sweeps.store.queue import Queue
from sweeps.store.tokens import Tokens

SPEC = {"name": "night"}


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    with Queue.open(url) as queue:
        yield queue


def launch(queue: Queue, key: str, **options: object) -> str:
    given = {"launched_by": "ann", **options}
    sweep, _ = queue.launch("night", SPEC, "abc", key=key, **given)  # type: ignore[arg-type]
    return sweep.id


def test_a_launch_repeated_with_its_key_is_one_sweep(queue: Queue) -> None:
    assert [launch(queue, "one"), launch(queue, "two"), launch(queue, "one")] == ["night", "night-2", "night"]
    with pytest.raises(SpecError, match="another launch"):
        launch(queue, "one", launched_by="bob")
    with pytest.raises(SpecError, match="another launch"):
        queue.launch("night", SPEC, "other", key="two", launched_by="ann")
    assert [sweep.id for sweep in queue.waiting()] == ["night", "night-2"]


def test_many_launches_of_one_key_at_once_are_one_sweep(queue: Queue) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(launch(queue, "one"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["night"] * 8
    assert len(queue.sweeps()) == 1


def test_the_quota_counts_what_has_not_ended(queue: Queue) -> None:
    launch(queue, "one", most=2)
    launch(queue, "two", most=2)
    with pytest.raises(PlaceError, match="ann may have 2 sweeps"):
        launch(queue, "three", most=2)
    launch(queue, "bob's", launched_by="bob", most=1)
    assert launch(queue, "one", most=2) == "night"  # no new one
    assert queue.stop_waiting("night")
    launch(queue, "three", most=2)


def test_a_sweep_that_a_command_line_runs_waits_for_no_job(queue: Queue) -> None:
    queue.create_sweep("night", SPEC, "abc")
    assert queue.waiting() == []


def test_a_sweep_gets_one_job_and_goes_back_into_the_queue(queue: Queue) -> None:
    id = launch(queue, "one")
    assert queue.give_job(id, "job-1")
    assert queue.give_job(id, "job-1")  # the answer was lost: the same job
    assert not queue.give_job(id, "job-2")
    assert queue.waiting() == []
    assert [(sweep.id, sweep.job_id, sweep.attempts) for sweep in queue.on_a_job()] == [(id, "job-1", 1)]
    queue.take_lease(id, "elsewhere", 1)
    with pytest.raises(PlaceError, match="is being run by pid 1"):
        queue.take_job(id, "again")
    with pytest.raises(PlaceError, match="stop it first"):
        queue.delete(id)
    queue.end_sweep(id, "stopped")
    assert queue.on_a_job() == []
    queue.take_job(id, "resumed by ann")
    assert [sweep.id for sweep in queue.waiting()] == [id]
    assert queue.give_job(id, "job-2")
    queue.take_lease(id, socket.gethostname(), 1)
    queue.end_sweep(id, "finished")
    with pytest.raises(PlaceError, match="has finished"):
        queue.take_job(id, "again")
    queue.delete(id)
    assert queue.sweeps() == []


def test_a_deleted_sweep_takes_its_trials_with_it(queue: Queue) -> None:
    id = launch(queue, "one")
    queue.take_lease(id, "here", 1)
    queue.add_block(id, 0, 7, {})
    queue.start_trial(id, 0, block=0, config_hash="abc", label="rnn", params={}, spec={})
    queue.report(id, 0, 5, 0.5)
    queue.end_sweep(id, "stopped")
    queue.delete(id)
    assert launch(queue, "two") == id
    assert queue.trials(id) == []
    assert len(queue.events(id)) == 1  # its own launch


def test_a_token_opens_until_it_is_revoked_or_expires(url: str, queue: Queue) -> None:
    tokens = Tokens(queue.engine)
    secret = tokens.make("ann", "launcher", most_sweeps=3)
    holder = tokens.holder(secret)
    assert holder is not None
    assert (holder.name, holder.role, holder.most_sweeps) == ("ann", "launcher", 3)
    assert tokens.holder(secret[:-1]) is None
    assert tokens.holder("") is None
    assert tokens.holder(tokens.make("old", "admin", days=0)) is None
    with pytest.raises(SpecError, match="already"):
        tokens.make("ann", "viewer")
    tokens.revoke("ann")
    assert tokens.holder(secret) is None
    assert [token.name for token in tokens.all()] == ["ann", "old"]
    with pytest.raises(SpecError, match="did you mean 'ann'"):
        tokens.revoke("anna")
    assert secret not in str(tokens.all())
