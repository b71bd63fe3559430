"""Where everything lies: on one machine two SQLite files, artifacts and a folder for each sweep; or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rnnlab.errors import PlaceError
from sweeps.store import lab_url

STOP_FILE = "stop"
"""While this file lies in a sweep's folder, its workers stop after their current update."""
CHECKPOINT_FILE = "checkpoint.pt"
"""A trial in the middle of its training, in its folder until it has ended."""
ERROR_FILE = "error.txt"
"""The traceback of a trial that failed, in its folder."""


@dataclass(frozen=True)
class Home:
    """`RNNLAB_HOME`: `lab.db`, `mlflow.db`, `artifacts/`, `sweeps/ID/`.

    Args:
        path: the folder; on a cluster one that every node sees under this name.
        lab: URL of a lab database elsewhere, `postgresql://user@host/name`; None: `lab.db` here.
        mlflow: address of an MLflow server, `http://host:5000`; None: `mlflow.db` and `artifacts/` here.
    """

    path: Path
    lab: str | None = None
    mlflow: str | None = None

    @property
    def lab_url(self) -> str:
        """The lab database."""
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
        """Make the folder and check that it can be written, before anything else is made.

        Raises:
            PlaceError: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise PlaceError(
                f"the home folder {self.path} must be one that can be made and written, but: {error.strerror}; "
                "give another with --home or RNNLAB_HOME"
            ) from None

    def must_exist(self) -> None:
        """Raises:
        PlaceError: no sweep has run here.
        """
        if self.lab is None and not (self.path / "lab.db").is_file():
            raise PlaceError(
                f"{self.path} holds no lab.db: no sweep has run in this home; run one (`rnnlab sweep run first`), "
                "or name the right folder with --home or RNNLAB_HOME"
            )


def trial_folder(sweep_folder: Path, number: int) -> Path:
    """The folder of one trial, made if need be: `trials/0003`."""
    folder = sweep_folder / "trials" / f"{number:04}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
