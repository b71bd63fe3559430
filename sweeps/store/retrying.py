"""What happens while the lab database is away: a transaction is tried again, for as long as its Lab has patience.

A server that was restarted, a lock that another process holds, a deadlock and a serialization failure pass; they raise
DatabaseAway. A full disk, a wrong password and a missing table do not, and raise PlaceError at once.
"""

from __future__ import annotations

import functools
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError

from rnnlab.errors import PlaceError

if TYPE_CHECKING:
    from sweeps.store.queries import Queries

PATIENCE = 5.0
"""Seconds for which a transaction is tried again; a sweep's driver has more."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds before the second try, and between any two; doubled from one to the next, times 0.5 to 1 at random."""
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
"""SQLite's codes of a database that another process holds."""
PASSING = ("08", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03", "57P05")
"""PostgreSQL's states, or how they begin, that pass: connections lost, conflicts, shutdown and start."""
LASTING = ("authentication failed", "does not exist", "no password", "pg_hba.conf", "could not translate host name")
"""What PostgreSQL says of a connection that it will refuse the next time, too; such a refusal has no state."""

P = ParamSpec("P")
R = TypeVar("R")
Q = TypeVar("Q", bound="Queries")


class DatabaseAway(PlaceError):
    """The lab database cannot be used now; it may be in a while."""


class LeaseLost(PlaceError):
    """Another driver has taken the sweep over from this one."""


def passes(error: DBAPIError) -> bool:
    """Whether a database's error may be gone at the next try."""
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in BUSY
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return str(state).startswith(PASSING)
    return not any(words in str(cause) for words in LASTING)


class Patience:
    """For how long the transactions of a Lab are tried again while its database is away; threads may share it.

    Args:
        seconds: from when the database was first missed, by whichever thread.
        said: told how long that is ago before every wait, and 0 once the database is back.
    """

    def __init__(self, seconds: float = PATIENCE, said: Callable[[float], None] = lambda away: None) -> None:
        self.seconds, self.said = seconds, said
        self._since: float | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()

    def end(self) -> None:
        """From now on every transaction is tried once; those that wait are tried a last time."""
        self._over.set()

    def __call__(self, transaction: Callable[[], R]) -> R:
        """The answer of a transaction that may be done twice.

        Raises:
            DatabaseAway: patience ended.
        """
        wait = FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                answer = transaction()
            except DatabaseAway as error:
                away = time.monotonic() - self._missed(began)
                if self._over.is_set() or away >= self.seconds:
                    raise DatabaseAway(f"{error} (tried for {away:.0f} s)") from error
                self.said(away)
                self._over.wait(min(wait * random.uniform(0.5, 1), self.seconds - away))
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                self._answered()
                return answer

    def _missed(self, began: float) -> float:
        with self._lock:
            self._since = began if self._since is None else min(self._since, began)
            return self._since

    def _answered(self) -> None:
        with self._lock:
            was_away, self._since = self._since is not None, None
        if was_away:
            self.said(0.0)


def patient(method: Callable[Concatenate[Q, P], R]) -> Callable[Concatenate[Q, P], R]:
    """A method that is one transaction, and which changes nothing when it is done again: tried while the Lab has
    patience.

    A commit whose answer was lost may have been done, so each method must bear being done twice.
    """

    @functools.wraps(method)
    def tried(self: Q, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.patience(lambda: method(self, *args, **kwargs))

    return tried
