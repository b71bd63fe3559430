"""Trials whose run is still being written, on disk: a recorder that starts again knows them, and their curves so far.

A folder a trial, `open/0003`, with how it began and a file for each probe; gone once the trial has ended. One that was
interrupted stays, for whoever resumes the sweep.
"""

from __future__ import annotations

import os
import pickle
import shutil
from itertools import count
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
        home, probe = self._of(message.trial), pickle.dumps(message)
        for index in count():
            path = home / f"{message.update:08}-{index}.pkl"
            try:
                if path.read_bytes() == probe:
                    return
            except FileNotFoundError:
                _put(path, probe)
                return

    def begun(self, trial: int) -> TrialBegun | None:
        """How a trial began; None of one that is not open."""
        path = self.folder / f"{trial:04}" / BEGUN
        return _read(path) if path.is_file() else None

    def curves(self, trial: int) -> CurveArchive:
        """All its curves so far."""
        archive = CurveArchive()
        for path in sorted((self.folder / f"{trial:04}").glob("[0-9]*.pkl")):
            message: UpdateCurves = _read(path)
            archive.add(message.update, message.curves)
        return archive

    def end(self, trial: int) -> None:
        """Forget a trial that has ended."""
        shutil.rmtree(self.folder / f"{trial:04}", ignore_errors=True)

    def _of(self, trial: int) -> Path:
        home = self.folder / f"{trial:04}"
        home.mkdir(parents=True, exist_ok=True)
        return home


class Undrawn:
    """Runs that have ended and wait for their picture, a file each. The folder is listed once, when this is made.

    Args:
        folder: the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / UNDRAWN
        self._waiting = dict.fromkeys(sorted(int(path.stem) for path in self.folder.glob("[0-9]*.pkl")))

    def add(self, run: OpenRun) -> None:
        """Keep a run; its curves lie in its trial's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self._path(run.begun.trial), run)
        self._waiting[run.begun.trial] = None

    def first(self) -> OpenRun | None:
        """The one that waits longest, which stays. A file that a power cut has spoilt is dropped."""
        while (trial := next(iter(self._waiting), None)) is not None:
            try:
                run: OpenRun = _read(self._path(trial))
            except FileNotFoundError:
                self.done(trial)
            except (OSError, MemoryError):
                raise
            except Exception:  # whatever a pickle without its end raises
                self.done(trial)
            else:
                return run
        return None

    def done(self, trial: int) -> None:
        """It has its picture."""
        self._path(trial).unlink(missing_ok=True)
        self._waiting.pop(trial, None)

    def __len__(self) -> int:
        return len(self._waiting)

    def _path(self, trial: int) -> Path:
        return self.folder / f"{trial:04}.pkl"


def _write(path: Path, value: Any) -> None:
    _put(path, pickle.dumps(value))


def _put(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    os.replace(part, path)


def _read(path: Path) -> Any:
    return pickle.loads(path.read_bytes())
