"""A new SQLite store for MLflow, whole or not there.

MLflow makes its tables in dozens of steps, each committed; it cannot open a store that was left between two of them by
a kill or a full disk, and a sweep could then never be recorded.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

PREFIX = "sqlite:///"


def make_store(tracking_uri: str) -> None:
    """Make the file of a SQLite store that is not there yet; another process may do so, too.

    Raises:
        OSError, SQLAlchemyError: it cannot be written.
    """
    path = Path(tracking_uri.removeprefix(PREFIX))
    if not tracking_uri.startswith(PREFIX) or path.exists():
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    _remove(part)  # of a process of this number that was killed
    try:
        store = SqlAlchemyStore(f"{PREFIX}{part}", "./mlruns")  # type: ignore[no-untyped-call]
        store.engine.dispose()
        try:
            os.link(part, path)  # unlike a rename, it leaves what another process has made meanwhile
        except FileExistsError:
            return
        except OSError:  # a file system without links
            part.replace(path)
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    for file in (part, part.with_name(f"{part.name}-journal")):
        with contextlib.suppress(OSError):
            file.unlink()
