"""Engines: SQLite in WAL mode on one machine, PostgreSQL through psycopg 3 in the cluster."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from rnnlab.errors import PlaceError
from sweeps.store.retrying import DatabaseAway, passes

BUSY_SECONDS = 5
"""How long one try of a writer of SQLite waits for another one; `retrying` says how often it tries."""
OPENING_SECONDS = 60
"""How long opening a SQLite file waits for others that do so."""
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""Seconds, tries and milliseconds after which a server that says nothing at all counts as gone: 25 to 30 s."""
HINTS = {
    sqlite3.SQLITE_FULL: "make space there",
    sqlite3.SQLITE_READONLY: "make it one that can be written",
    sqlite3.SQLITE_BUSY: "see which process holds it",
    sqlite3.SQLITE_LOCKED: "see which process holds it",
}
"""What to do by SQLite's code."""
WRITES = {"rnnlab_writes": True}
"""Execution options of a connection that will write."""


def lab_url(home: Path) -> str:
    """The URL of the lab database in a home folder, good from any working folder."""
    return f"sqlite:///{home.expanduser().absolute() / 'lab.db'}"


def open_engine(url: str) -> Engine:
    """An engine that has been connected to once; a SQLite file and its folder are made where missing.

    Raises:
        PlaceError: the URL is of no kind we keep, or its database cannot be opened.
    """
    try:
        place = make_url(url)
    except ArgumentError:
        raise PlaceError(
            f"a database URL is sqlite:////folder/lab.db or postgresql://user@host/name, but got {url!r}"
        ) from None
    kind = place.get_backend_name()
    if kind == "sqlite" and place.database not in (None, "", ":memory:"):
        return _open_sqlite(place)
    if place.drivername in ("postgresql", "postgresql+psycopg"):
        return _open_postgresql(place.set(drivername="postgresql+psycopg"))
    raise PlaceError(
        f"the lab database is a SQLite file or PostgreSQL through psycopg 3, but got {_shown(place)}; "
        "write sqlite:////folder/lab.db or postgresql://user@host/name"
    )


def place_error(url: URL, error: Exception) -> PlaceError:
    """The one message for a database that cannot be used, a DatabaseAway where that may pass; it shows no password."""
    orig = getattr(error, "orig", None) or error
    cause = str(orig).strip().splitlines()
    hint = (
        HINTS.get(_code(orig), "check that its folder exists and can be written")
        if url.get_backend_name() == "sqlite"
        else "check that the server runs, and the name and password in the URL"
    )
    reason = cause[0] if cause else type(error).__name__
    kind = DatabaseAway if isinstance(error, DBAPIError) and passes(error) else PlaceError
    return kind(f"the lab database {_shown(url)} cannot be used: {reason}; {hint}")


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _code(error: object) -> int:
    """SQLite's primary code of an error; 0 of anything else."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _open_sqlite(place: URL) -> Engine:
    file = Path(str(place.database)).absolute()
    engine = _sqlite(place, timeout=BUSY_SECONDS)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # the change to WAL does not wait for others as a transaction does, and must be outside of one
        with FileLock(f"{file}.lock", timeout=OPENING_SECONDS), engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            (mode,) = driver.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise OSError("SQLite refuses WAL mode there, which needs a local disk")
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        engine.dispose()
        readable = _open_for_reading(place, file) if file.is_file() else None
        if readable is None:
            raise place_error(place, error) from None
        return readable
    return engine


def _open_for_reading(place: URL, file: Path) -> Engine | None:
    """An engine on a file whose folder cannot be written, as on a full disk; None where nothing reads it."""
    ways = ["mode=ro", "mode=ro&readonly_shm=1"]
    log = file.with_name(f"{file.name}-wal")
    if not log.exists() or not log.stat().st_size:  # nobody writes it, and all is in the file itself
        ways.append("immutable=1")
    for way in ways:
        uri = f"file:{quote(str(file))}?{way}"
        engine = _sqlite(place, creator=partial(sqlite3.connect, uri, 1, uri=True, check_same_thread=False))
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
            return engine
        except SQLAlchemyError:
            engine.dispose()
    return None


def _sqlite(place: URL, creator: Any = None, **arguments: Any) -> Engine:
    engine = create_engine(place, creator=creator) if creator else create_engine(place, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # sqlite3 then leaves BEGIN to _begin below
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # a transaction that reads first and writes later fails at once, without waiting, where another
        # one wrote in between; so those that will write say so at their start
        writes = connection.get_execution_options().get("rnnlab_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _open_postgresql(place: URL) -> Engine:
    # a server made under the C locale is SQL_ASCII, from which psycopg returns bytes unless told otherwise
    arguments = {"connect_timeout": 10, "client_encoding": "utf8", **KEEPALIVE}
    engine = create_engine(place, pool_pre_ping=True, connect_args=arguments)
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        engine.dispose()
        raise place_error(place, error) from None
    return engine
