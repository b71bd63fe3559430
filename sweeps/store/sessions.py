"""Engines: SQLite in WAL mode on one machine, PostgreSQL through psycopg 3 in the cluster."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from rnnlab.errors import PlaceError

BUSY_SECONDS = 30
"""How long a writer of SQLite waits for another one."""
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
    """The one message for a database that cannot be used; it shows no password."""
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()
    hint = (
        "check that its folder exists and can be written"
        if url.get_backend_name() == "sqlite"
        else "check that the server runs, and the name and password in the URL"
    )
    reason = cause[0] if cause else type(error).__name__
    return PlaceError(f"the lab database {_shown(url)} cannot be used: {reason}; {hint}")


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _open_sqlite(place: URL) -> Engine:
    file = Path(str(place.database)).absolute()
    engine = create_engine(place, connect_args={"timeout": BUSY_SECONDS})

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

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # the change to WAL does not wait for others as a transaction does, and must be outside of one
        with FileLock(f"{file}.lock", timeout=2 * BUSY_SECONDS), engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            (mode,) = driver.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise OSError("SQLite refuses WAL mode there, which needs a local disk")
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        engine.dispose()
        raise place_error(place, error) from None
    return engine


def _open_postgresql(place: URL) -> Engine:
    # a server made under the C locale is SQL_ASCII, from which psycopg returns bytes unless told otherwise
    engine = create_engine(place, pool_pre_ping=True, connect_args={"connect_timeout": 10, "client_encoding": "utf8"})
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        engine.dispose()
        raise place_error(place, error) from None
    return engine
