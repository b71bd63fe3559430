"""Where everything lies: on one machine two SQLite files, artifacts and a folder for each sweep; or elsewhere."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from rnnlab.errors import PlaceError, RnnlabError

STOP_FILE = "stop"
"""While this file lies in a sweep's folder, its workers stop after their current update."""
ENDED_FILE = "ended"
"""Numbers of the trials that the driver knows to be over, a line each, where several share a worker: one that is
started again leaves these alone."""
CHECKPOINT_FILE = "checkpoint.pt"
"""A trial in the middle of its training, in its folder until it has ended."""
ERROR_FILE = "error.txt"
"""The traceback of a trial that failed, in its folder."""
ROOM = 4 * 2**20
"""Bytes that must be free in a home before a sweep begins: about what its empty stores take."""
PLACE_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.ESTALE,
    errno.ENXIO,
}
"""What a system says of a disk that is full, read-only, gone or another's."""
PATIENCE = 120.0
"""Seconds for which a driver tries again while the lab database is away."""
MLFLOW_PATIENCE = 600.0
"""Seconds without progress after which the end of a sweep waits for MLflow no more: what is left stays on disk."""


@dataclass(frozen=True)
class Home:
    """`RNNLAB_HOME`: `lab.db`, `mlflow.db`, `artifacts/`, `sweeps/ID/`.

    Args:
        path: the folder; on a cluster one that every node sees under this name.
        lab: URL of a lab database elsewhere, `postgresql://user@host/name`; None: `lab.db` here.
        mlflow: address of an MLflow server, `http://host:5000`; None: `mlflow.db` and `artifacts/` here.
        patience: seconds for which a driver tries again while the lab database is away.
        mlflow_patience: seconds without progress for which the end of a sweep waits for an MLflow that is away.
    """

    path: Path
    lab: str | None = None
    mlflow: str | None = None
    patience: float = PATIENCE
    mlflow_patience: float = MLFLOW_PATIENCE

    @property
    def lab_url(self) -> str:
        """The lab database."""
        from sweeps.store import lab_url  # SQLAlchemy, which a worker has no use for

        return self.lab or lab_url(self.path)

    @property
    def mlflow_uri(self) -> str:
        """MLflow's store, or its server."""
        return self.mlflow or f"sqlite:///{self.path.resolve() / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts, a folder a sweep."""
        return self.path.resolve() / "artifacts"

    def artifact_folder(self, sweep_id: str) -> Path | None:
        """Where MLflow keeps a sweep's artifacts; None where a server decides."""
        return None if self.mlflow else self.artifacts / sweep_id

    def sweep_folder(self, sweep_id: str) -> Path:
        """Files of one sweep: its spec, spool, pictures, curves and tables."""
        return self.path.resolve() / "sweeps" / sweep_id

    def make(self) -> None:
        """Make the folder and check that it can be written and has `ROOM`, before anything else is made.

        Raises:
            PlaceError: it cannot be made or written, or its disk is full.
        """
        probe = self.path / f".writable-{os.getpid()}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                with probe.open("wb") as file:  # a quota shows only where it is written
                    file.write(bytes(ROOM))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise PlaceError(
                f"the home folder {self.path} must be one that can be made and written, with {ROOM >> 20} MB free, "
                f"but: {error.strerror}; mend that, or give another with --home or RNNLAB_HOME"
            ) from None

    @property
    def exists(self) -> bool:
        """Whether there is a lab database, or may be one elsewhere."""
        return self.lab is not None or (self.path / "lab.db").is_file()

    def must_exist(self) -> None:
        """Raises:
        PlaceError: no sweep has run here.
        """
        if not self.exists:
            raise PlaceError(
                f"{self.path} holds no lab.db: no sweep has run in this home; run one (`rnnlab sweep run first`), "
                "or name the right folder with --home or RNNLAB_HOME"
            )


def place_behind(error: BaseException) -> PlaceError | None:
    """What is wrong with a disk or a database, where that is behind an error; None of any other error.

    Looks through what raised it, here or on a worker: torch, Ray and Tune each wrap an OSError in one of their own.
    """
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        seen.add(id(one))
        if isinstance(one, PlaceError):
            return one
        if isinstance(one, OSError) and one.errno in PLACE_ERRORS:
            where = f" at {one.filename}" if one.filename else ""
            return PlaceError(f"{one.strerror or os.strerror(one.errno)}{where} on {socket.gethostname()}")
        if isinstance(one, RnnlabError):  # whoever raised it has judged what was behind it
            continue
        # the nearest last, since it is looked at next
        behind = (getattr(one, "cause", None), one.__context__, one.__cause__)
        waiting += [each for each in behind if isinstance(each, BaseException) and id(each) not in seen]
    return None


def trial_folder(sweep_folder: Path, number: int) -> Path:
    """The folder of one trial, made if need be: `trials/0003`."""
    folder = sweep_folder / "trials" / f"{number:04}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
