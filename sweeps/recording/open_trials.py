"""Trials whose run is still being written, on disk: a recorder that starts again knows them, and their curves so far.

A folder a trial, `open/0003`, with how it began and a file for each probe; gone once the trial has ended. One that was
interrupted stays, for whoever resumes the sweep.
"""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.recording.arrays import CurveArchive
from sweeps.recording.lag import UNDRAWN
from sweeps.recording.messages import TrialBegun, UpdateCurves

if TYPE_CHECKING:
    from sweeps.recording.mlflow_writer import OpenRun

BEGUN = "begun.pkl"


class OpenTrials:
    """The folder of open trials.

    Args:
        folder: the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "open"

    def begin(self, begun: TrialBegun) -> None:
        """Keep how a trial began; what is there of it stays."""
        _write(self._of(begun.trial) / BEGUN, begun)

    def add(self, message: UpdateCurves) -> None:
        """Keep one probe. A second one of the same update, of a lane that died there, is kept beside it."""
        home = self._of(message.trial)
        count = len(list(home.glob(f"{message.update:08}-*.pkl")))
        same = (_read(home / f"{message.update:08}-{index}.pkl") for index in range(count))
        if not any(pickle.dumps(one) == pickle.dumps(message) for one in same):
            _write(home / f"{message.update:08}-{count}.pkl", message)

    def found(self, trial: int) -> tuple[TrialBegun, CurveArchive] | None:
        """How a trial began, and all its curves so far; None of one that is not open."""
        home = self.folder / f"{trial:04}"
        if not (home / BEGUN).is_file():
            return None
        archive = CurveArchive()
        for path in sorted(home.glob("[0-9]*.pkl")):
            message: UpdateCurves = _read(path)
            archive.add(message.update, message.curves)
        return _read(home / BEGUN), archive

    def end(self, trial: int) -> None:
        """Forget a trial that has ended."""
        shutil.rmtree(self.folder / f"{trial:04}", ignore_errors=True)

    def _of(self, trial: int) -> Path:
        home = self.folder / f"{trial:04}"
        home.mkdir(parents=True, exist_ok=True)
        return home


class Undrawn:
    """Runs that have ended and wait for their picture, a file each.

    Args:
        folder: the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / UNDRAWN

    def add(self, run: OpenRun) -> None:
        """Keep a run with its curves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / f"{run.begun.trial:04}.pkl", run)

    def first(self) -> OpenRun | None:
        """The one of the lowest number, which stays. A file that a power cut has spoilt is dropped."""
        for path in self._files():
            try:
                run: OpenRun = _read(path)
            except (OSError, MemoryError):
                raise
            except Exception:  # whatever a pickle without its end raises
                path.unlink()
            else:
                return run
        return None

    def found(self, trial: int) -> OpenRun | None:
        """The run of a trial that waits; None of one that does not, or not any more."""
        try:
            run: OpenRun = _read(self.folder / f"{trial:04}.pkl")
        except FileNotFoundError:
            return None
        return run

    def done(self, trial: int) -> None:
        """It has its picture."""
        (self.folder / f"{trial:04}.pkl").unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._files())

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.pkl"))


def _write(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(value))
    os.replace(part, path)


def _read(path: Path) -> Any:
    return pickle.loads(path.read_bytes())
