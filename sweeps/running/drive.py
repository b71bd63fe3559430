"""A sweep's driver: Ray Tune trains, Optuna picks, the recorder records, the lab database keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.home import STOP_FILE, Home
from sweeps.recording import actor
from sweeps.report.whole import refreshing
from sweeps.running.beating import beating
from sweeps.running.books import Books
from sweeps.running.closing import close, ending
from sweeps.running.progress import SweepProgress, Watcher
from sweeps.running.stopping import stoppable
from sweeps.running.tuning import tune_trials
from sweeps.search.searcher import Past
from sweeps.spec import SweepSpec
from sweeps.store import Lab


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

    def run(self, watcher: Watcher, past: Sequence[Past]) -> SweepEnd:
        """From the first trial that has not ended to the end."""
        folder = self.home.sweep_folder(self.sweep_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STOP_FILE).unlink(missing_ok=True)
        (folder / "sweep.yaml").write_text(self.spec.to_yaml())
        recorder = actor.start(
            self.sweep_id,
            folder,
            tracking_uri=self.home.mlflow_uri,
            description=self.spec.description,
            artifact_folder=self.home.artifact_folder(self.sweep_id),
            spec_yaml=self.spec.to_yaml(),
        )
        books = Books(self.sweep_id, self.spec, self.lab, recorder, watcher, folder)
        books.take_over(self.lab.trials(self.sweep_id))
        kind, trials = ("resumed", self.spec.trials - books.progress.ended) if past else ("started", self.spec.trials)
        self.lab.event(self.sweep_id, kind, f"{trials} trials, {self.slots} at a time", trials=trials, slots=self.slots)
        status: str = "failed"
        message: str | None = "an error; see the traceback"
        with stoppable(books, folder), beating(books, folder):
            try:
                ended = lambda: books.progress.ended  # noqa: E731 - read again and again
                with refreshing(self.home.lab_url, self.sweep_id, folder, self.lag, ended):
                    tune_trials(books, self.spec, folder, past, slots=self.slots, max_failures=self.max_failures)
                status, message = ending(books)
            except KeyboardInterrupt:
                status, message = "stopped", "stopped at once by a person"
            finally:
                close(books, folder, self.lag, status, message)
        return SweepEnd(self.sweep_id, status, folder, books.progress)
