"""A lab database that is away for a while: what is tried again, for how long, and that nothing is done twice."""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, make_url
from sqlalchemy.exc import OperationalError

from rnnlab.errors import DataError, PlaceError
from sweeps.home import Home, place_behind
from sweeps.store import Lab, TrialResult, lab_url
from sweeps.store import sessions as sessions_of
from sweeps.store.retrying import DatabaseAway, Patience, passes


@pytest.fixture
def held(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's lock on the lab database of `tmp_path`."""
    with Lab.open(lab_url(tmp_path)):
        pass
    other = sqlite3.connect(tmp_path / "lab.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One try waits 0.05 s for a lock."""
    monkeypatch.setattr(sessions_of, "BUSY_SECONDS", 0.05)


@pytest.mark.usefixtures("hurried")
def test_a_lock_that_another_process_holds_is_waited_for_and_told(held: sqlite3.Connection, tmp_path: Path) -> None:
    told: list[float] = []
    with Lab.open(lab_url(tmp_path)) as lab:
        lab.patience = Patience(60, told.append)
        threading.Timer(1.0, lambda: held.execute("COMMIT")).start()
        assert lab.create_sweep("late", {}, "abc").id == "late"
        assert [sweep.id for sweep in lab.sweeps()] == ["late"]
    assert len(told) > 2
    assert told[-1] == 0
    assert told[:-1] == sorted(told[:-1])
    assert 0.5 < told[-2] < 10


@pytest.mark.usefixtures("hurried")
def test_patience_ends_with_the_cause(held: sqlite3.Connection, tmp_path: Path) -> None:
    with Lab.open(lab_url(tmp_path)) as lab:
        lab.patience = Patience(0.5)
        began = time.monotonic()
        with pytest.raises(DatabaseAway, match=r"database is locked; see which process holds it \(tried for \d+ s\)"):
            lab.create_sweep("never", {}, "abc")
        assert 0.4 < time.monotonic() - began < 5
        assert lab.sweeps() == []  # readers do not wait for a writer
        # a driver that leaves waits no more, whoever is in the middle of waiting
        lab.patience = Patience(60)
        threading.Timer(0.5, lab.patience.end).start()
        began = time.monotonic()
        with pytest.raises(DatabaseAway):
            lab.create_sweep("never", {}, "abc")
        assert time.monotonic() - began < 10


class Clock:
    """Fails so many times, then answers."""

    def __init__(self, failures: int) -> None:
        self.left, self.tries = failures, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.left:
            raise DatabaseAway("away")
        return "back"


def test_waits_double_to_a_longest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    patience = Patience(1000)
    monkeypatch.setattr(patience._over, "wait", waits.append)
    assert patience(Clock(12)) == "back"
    assert all(0.05 * 2**n <= wait <= 0.1 * 2**n for n, wait in enumerate(waits[:6]))
    assert all(2.5 <= wait <= 5 for wait in waits[6:])
    assert len({round(wait / 0.1 / 2**n, 3) for n, wait in enumerate(waits[:6])}) > 3  # by chance


def test_what_does_not_pass_is_not_tried_again() -> None:
    def full() -> None:
        tries.append(1)
        raise PlaceError("full")

    tries: list[int] = []
    with pytest.raises(PlaceError, match="full"):
        Patience(60)(full)
    assert len(tries) == 1
    no_patience = Clock(1)
    with pytest.raises(DatabaseAway):
        Patience(0)(no_patience)
    assert no_patience.tries == 1


def test_which_errors_pass() -> None:
    def wrapped(error: BaseException) -> OperationalError:
        return OperationalError("SELECT 1", {}, error)

    for state in ("AdminShutdown", "CannotConnectNow", "SerializationFailure", "DeadlockDetected", "CrashShutdown",
                  "TooManyConnections", "ConnectionFailure", "LockNotAvailable"):  # fmt: skip
        assert passes(wrapped(getattr(psycopg.errors, state)("x"))), state
    for state in ("DiskFull", "UndefinedTable", "InsufficientPrivilege", "InvalidPassword"):
        assert not passes(wrapped(getattr(psycopg.errors, state)("x"))), state
    for said, expected in (
        ("connection refused", True),
        ("FATAL:  the database system is starting up", True),
        ("server closed the connection unexpectedly", True),
        ('FATAL:  password authentication failed for user "me"', False),
        ('FATAL:  database "nowhere" does not exist', False),
    ):
        assert passes(wrapped(psycopg.OperationalError(said))) is expected, said


def commits_unanswered(lab: Lab, times: int) -> Callable[[], int]:
    """The next commits of writers are done, but the connection is lost before their answer; how many were."""
    lost = 0

    @event.listens_for(lab.engine, "commit")
    def _lose(connection: Any) -> None:
        nonlocal lost
        if connection.get_execution_options().get("rnnlab_writes") and lost < times:
            lost += 1
            connection.connection.dbapi_connection.commit()
            if connection.dialect.name == "postgresql":
                gone = psycopg.errors.AdminShutdown("terminating connection due to administrator command")
                raise OperationalError("COMMIT", {}, gone)
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise OperationalError("COMMIT", {}, error)

    return lambda: lost


def test_a_commit_whose_answer_was_lost_is_done_once(lab: Lab) -> None:
    def twice(method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        lost = commits_unanswered(lab, 1)
        answer = method(*arguments, **named)
        assert lost() == 1, method
        return answer

    assert twice(lab.create_sweep, "one", {"a": 1}, "abc").id == "one"
    assert [sweep.id for sweep in lab.sweeps()] == ["one"]
    assert lab.create_sweep("one", {"a": 1}, "abc").id == "one-2"  # asked for twice, it is two sweeps
    twice(lab.event, "one", "greeting", "hello", x=1)
    lab.event("one", "greeting", "hello", x=1)
    assert [(one.kind, one.data) for one in lab.events("one")] == [("greeting", {"x": 1})] * 2
    lab.request_stop("one")
    assert twice(lab.take_lease, "one", "host", 7).stop_requested  # asked for before it first ran
    assert twice(lab.heartbeat, "one") is True
    twice(lab.add_block, "one", 0, 7, {})
    started = twice(lab.start_trial, "one", 0, block=0, config_hash="c", label="l", params={}, spec={})
    twice(lab.report, "one", 0, 10, 0.5)
    twice(lab.set_trial_run, "one", 0, "run")
    twice(lab.set_mlflow, "one", "1", "run")
    twice(lab.end_trial, "one", 0, "complete", TrialResult(score=0.5))
    (trial,) = lab.trials("one")
    assert (trial.score, trial.started_at, trial.mlflow_run_id) == (0.5, started.started_at, "run")
    assert len(lab.reports("one")) == 1
    twice(lab.end_sweep, "one", "finished")
    assert lab.sweep("one").status == "finished"


def test_a_folder_that_cannot_be_written_can_be_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Lab.open(lab_url(home)) as lab:
        lab.create_sweep("there", {}, "abc")
    # opened as on a read-only disk: this user may write anywhere
    engine = sessions_of._open_for_reading(make_url(lab_url(home)), home / "lab.db")
    assert engine is not None
    with Lab(engine) as lab:
        assert [sweep.id for sweep in lab.sweeps()] == ["there"]
        began = time.monotonic()
        with pytest.raises(PlaceError, match="readonly database; make it one that can be written"):
            lab.event("there", "x", "y")
        assert time.monotonic() - began < 2  # it does not pass, so it is not tried again


def test_what_is_behind_an_error() -> None:
    def raised(*chain: BaseException) -> BaseException:
        first, *others = chain
        for after in others:
            after.__context__ = first
            first = after
        return first

    full = OSError(errno.ENOSPC, "No space left on device", "/home/x")
    found = place_behind(raised(full, RuntimeError("of torch"), ValueError("of Tune")))
    assert found is not None
    assert "No space left on device at /home/x on " in str(found)
    away = DatabaseAway("away")
    assert place_behind(raised(away, RuntimeError("of Tune"))) is away
    for harmless in (ValueError("x"), FileNotFoundError(errno.ENOENT, "no file"), raised(full, DataError("spoilt"))):
        assert place_behind(harmless) is None
    looping = ValueError("x")
    looping.__context__ = RuntimeError("y")
    looping.__context__.__context__ = looping
    assert place_behind(looping) is None


def test_a_home_needs_room(tmp_path: Path) -> None:
    Home(tmp_path / "home").make()
    assert not list((tmp_path / "home").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(PlaceError, match="made and written, with 4 MB free, but: Not a directory; mend that"):
        Home(tmp_path / "file" / "home").make()
