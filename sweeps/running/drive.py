"""A sweep's driver: Ray Tune trains, Optuna picks, the recorder records, the lab database keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rnnlab.errors import PlaceError
from sweeps.home import STOP_FILE, Home, place_behind
from sweeps.recording import actor
from sweeps.report.whole import refreshing
from sweeps.running.beating import beating
from sweeps.running.books import Books
from sweeps.running.closing import close, ending
from sweeps.running.progress import SweepProgress, Watcher
from sweeps.running.stopping import leave, stoppable
from sweeps.running.tuning import tune_trials
from sweeps.search.past import Past
from sweeps.spec import SweepSpec
from sweeps.store import Lab
from sweeps.store.retrying import LeaseLost, Patience


@dataclass(frozen=True)
class SweepEnd:
    """How a sweep ended.

    Args:
        sweep_id: its id. status: finished, stopped or failed. folder: its files. progress: every trial.
    """

    sweep_id: str
    status: str
    folder: Path
    progress: SweepProgress


@dataclass(frozen=True)
class Drive:
    """One driver's run of a sweep whose lease it holds."""

    spec: SweepSpec
    home: Home
    lab: Lab
    sweep_id: str
    slots: int
    max_failures: int
    lag: int
    trainable: Any = None
    """Who trains a trial, a Tune class; None: `TrialTrainable`."""
    recording: Callable[..., Any] = actor.start
    """Starts the recorder."""
    limit: int | None = None
    """Trials at a time that a person set; None: as many as the cluster has room for, as nodes come and go."""

    def run(self, watcher: Watcher, past: Sequence[Past]) -> SweepEnd:
        """From the first trial that has not ended to the end.

        Raises:
            PlaceError: a disk or a database can no longer be used, or another driver took the sweep over. No trial
                has failed by that: `resume` goes on with all that had not ended.
        """
        try:
            return self._run(watcher, past)
        except Exception as error:
            place = place_behind(error)
            if place is None:
                raise
            if isinstance(place, LeaseLost):
                raise place from error
            raise PlaceError(
                f"sweep {self.sweep_id!r} has stopped: {place}. Nothing that was recorded is lost; once that is "
                f"mended, go on with `rnnlab sweep resume {self.sweep_id}`"
            ) from error

    def _run(self, watcher: Watcher, past: Sequence[Past]) -> SweepEnd:
        folder = self.home.sweep_folder(self.sweep_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STOP_FILE).unlink(missing_ok=True)
        _write(folder / "sweep.yaml", self.spec.to_yaml())
        recorder = self.recording(folder, actor.writer_arguments(self.home, self.sweep_id, self.spec))
        books = Books(self.sweep_id, self.spec, self.lab, recorder, watcher, folder)
        self.lab.patience = Patience(self.home.patience, partial(_say_away, books))
        books.take_over(self.lab.trials(self.sweep_id))
        kind, trials = ("resumed", self.spec.trials - books.progress.ended) if past else ("started", self.spec.trials)
        self.lab.event(self.sweep_id, kind, f"{trials} trials, {self.slots} at a time", trials=trials, slots=self.slots)
        with stoppable(books, folder), beating(books, folder):
            try:
                status = self._train(books, folder, past)
            except Exception as error:
                place = place_behind(error)
                if place is not None and not isinstance(place, LeaseLost):  # then all there is, is the other driver's
                    leave(books, folder, str(place))
                raise
        return SweepEnd(self.sweep_id, status, folder, books.progress)

    def _train(self, books: Books, folder: Path, past: Sequence[Past]) -> str:
        """Train what has not ended, and record the end; its status."""
        status: str = "failed"
        message: str | None = "an error; see the traceback"
        try:
            ended = lambda: books.progress.ended  # noqa: E731 - read again and again
            with refreshing(self.home.lab_url, self.sweep_id, folder, self.lag, ended):
                tune_trials(
                    books, self.spec, folder, past, slots=self.slots, limit=self.limit,
                    max_failures=self.max_failures, trainable=self.trainable,
                )  # fmt: skip
            status, message = ending(books)
        except KeyboardInterrupt:
            status, message = "stopped", "stopped at once by a person"
        except Exception as error:
            if place_behind(error) is None:
                close(books, folder, self.lag, status, message, self.home.mlflow_patience)
            raise
        close(books, folder, self.lag, status, message, self.home.mlflow_patience)
        return status


def _say_away(books: Books, away: float) -> None:
    books.progress.notice = f"the lab database is away since {away:.0f} s, trying again" if away else ""
    books.watcher.changed(books.progress)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all: on a full disk an older one stays."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
