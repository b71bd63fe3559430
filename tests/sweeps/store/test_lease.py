"""One live driver holds a sweep; a dead one is seen to be dead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from rnnlab.errors import PlaceError
from sweeps.store import Lab
from sweeps.store.tables import SweepRow

HERE = socket.gethostname()


@pytest.fixture
def other(url: str) -> Iterator[Lab]:
    """Another process's view of the lab."""
    with Lab.open(url) as lab:
        yield lab


@pytest.fixture
def id(lab: Lab) -> str:
    """A queued sweep."""
    return lab.create_sweep("first", {}, "abc").id


@pytest.fixture
def dead_pid() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def silence(lab: Lab, id: str, seconds: float) -> None:
    """Lets the last heartbeat be that long ago."""
    heard = lab.sweep(id).heartbeat_at
    assert heard is not None
    with lab.engine.begin() as connection:
        connection.execute(update(SweepRow).values(heartbeat_at=heard - timedelta(seconds=seconds)))


def test_a_driver_takes_the_lease_runs_and_ends(lab: Lab, id: str) -> None:
    taken = lab.take_lease(id, HERE, os.getpid())
    assert (taken.status, taken.driver_host, taken.driver_pid) == ("running", HERE, os.getpid())
    assert taken.started_at == taken.heartbeat_at
    assert lab.heartbeat(id) is False
    later = lab.sweep(id)
    assert later.heartbeat_at is not None
    assert taken.heartbeat_at is not None
    assert later.heartbeat_at > taken.heartbeat_at
    lab.end_sweep(id, "failed", "the disk is full")
    ended = lab.sweep(id)
    assert (ended.status, ended.message, ended.lost) == ("failed", "the disk is full", False)
    assert ended.ended_at is not None
    # resumed: the same start, no end, no message
    again = lab.take_lease(id, HERE, os.getpid())
    assert (again.status, again.started_at, again.ended_at, again.message) == (
        "running",
        taken.started_at,
        None,
        None,
    )


def test_what_has_finished_is_taken_to_mend_it_alone(lab: Lab, id: str) -> None:
    lab.take_lease(id, HERE, os.getpid())
    lab.end_sweep(id, "finished")
    ended = lab.sweep(id)
    with pytest.raises(PlaceError, match=f"has finished; `rnnlab sweep show {id}` shows it"):
        lab.take_lease(id, HERE, os.getpid())
    assert lab.sweep(id) == ended
    assert lab.take_lease(id, HERE, os.getpid(), to_mend=True).status == "running"


def test_a_live_driver_is_not_disturbed(lab: Lab, other: Lab, id: str) -> None:
    lab.take_lease(id, HERE, os.getpid())
    with pytest.raises(PlaceError, match=f"is being run by pid {os.getpid()} on {HERE}.*sweep stop first"):
        other.take_lease(id, "elsewhere", 1)
    with pytest.raises(PlaceError, match="is being run by"):
        other.end_sweep(id, "failed")
    assert lab.sweep(id).status == "running"


def test_a_stop_is_heard_at_the_next_heartbeat_and_over_after_it(lab: Lab, other: Lab, id: str) -> None:
    lab.take_lease(id, HERE, os.getpid())
    assert other.request_stop(id).stop_requested
    assert lab.heartbeat(id) is True
    lab.end_sweep(id, "stopped")
    lab.take_lease(id, HERE, os.getpid())
    assert lab.heartbeat(id) is False


def test_a_stop_asked_while_queued_stands(lab: Lab, id: str) -> None:
    assert lab.request_stop(id).status == "queued"
    lab.take_lease(id, HERE, os.getpid())
    assert lab.heartbeat(id) is True


def test_a_silent_driver_is_dead_and_another_takes_over(lab: Lab, other: Lab, id: str) -> None:
    lab.take_lease(id, "elsewhere", 1)
    silence(lab, id, 25)
    assert other.sweep(id).status == "running"
    silence(lab, id, 10)
    assert (other.sweep(id).status, other.sweep(id).lost) == ("stopped", True)
    assert [sweep.status for sweep in other.sweeps()] == ["stopped"]
    other.take_lease(id, "third", 2)
    # the first one wakes: nothing that it writes may count any more
    for write in (
        lambda: lab.heartbeat(id),
        lambda: lab.end_sweep(id, "failed"),
        lambda: lab.add_block(id, 0, 1, {}),
    ):
        with pytest.raises(PlaceError, match="taken over by pid 2 on third"):
            write()
    assert other.sweep(id).status == "running"


def test_a_driver_of_this_host_whose_process_is_gone_is_dead_at_once(lab: Lab, id: str, dead_pid: int) -> None:
    assert lab.take_lease(id, HERE, dead_pid).status == "stopped"
    assert (lab.sweep(id).status, lab.sweep(id).lost) == ("stopped", True)
    # the same number on another host says nothing about it
    assert lab.take_lease(id, "elsewhere", dead_pid).status == "running"


def test_of_many_drivers_at_once_one_gets_the_lease(lab: Lab, other: Lab, id: str) -> None:
    def attempt(pid: int) -> bool:
        try:
            (lab, other)[pid % 2].take_lease(id, "elsewhere", pid)
        except PlaceError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(1, 17))) == 1
