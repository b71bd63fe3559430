"""A sweep's driver: Ray Tune trains, Optuna picks, the recorder records, the lab database keeps."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlab.training.outcome import Outcome
from sweeps.home import STOP_FILE, Home
from sweeps.recording import actor
from sweeps.report.summary import write_summary
from sweeps.report.whole import arm_rows, refreshing, words, write_whole
from sweeps.running.books import Books
from sweeps.running.progress import SweepProgress, Watcher
from sweeps.search.searcher import Past
from sweeps.spec import SweepSpec
from sweeps.store import Lab

HEARTBEAT = 2.0
"""Seconds between two renewals of the lease."""


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
            artifact_folder=self.home.artifacts / self.sweep_id,
            spec_yaml=self.spec.to_yaml(),
        )
        books = Books(self.sweep_id, self.spec, self.lab, recorder, watcher, folder)
        books.take_over(self.lab.trials(self.sweep_id))
        kind, trials = ("resumed", self.spec.trials - books.progress.ended) if past else ("started", self.spec.trials)
        self.lab.event(self.sweep_id, kind, f"{trials} trials, {self.slots} at a time", trials=trials, slots=self.slots)
        status: str = "failed"
        message: str | None = "an error; see the traceback"
        with _stoppable(books, folder), _beating(books, folder):
            try:
                ended = lambda: books.progress.ended  # noqa: E731 - read again and again
                with refreshing(self.home.lab_url, self.sweep_id, folder, self.lag, ended):
                    self._tune(books, folder, past)
                status, message = _ending(books)
            except KeyboardInterrupt:
                status, message = "stopped", "stopped at once by a person"
            finally:
                _close(books, folder, self.lag, status, message)
        return SweepEnd(self.sweep_id, status, folder, books.progress)

    def _tune(self, books: Books, folder: Path, past: Sequence[Past]) -> None:
        """Let Ray Tune run all trials that have not ended."""
        from ray import tune

        from sweeps.running.trainable import TrialTrainable
        from sweeps.search.pruners import scheduler_for
        from sweeps.search.searcher import AskTell

        searcher = AskTell(self.spec, books, asking=lambda: not books.stopping, past=past)
        # a trial's failure is an event and a row of the table; Tune would print its traceback over them
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.slots)  # with a searcher it would be 1
        tune.run(
            tune.with_resources(TrialTrainable, {"cpu": 1}),
            name="tune",
            storage_path=str(folder),
            config={"sweep_id": books.sweep_id, "folder": str(folder)},
            search_alg=searcher,
            scheduler=scheduler_for(self.spec, past),
            num_samples=self.spec.trials - sum(one.outcome is not None for one in past),
            max_concurrent_trials=self.slots,
            max_failures=self.max_failures,
            reuse_actors=True,
            raise_on_failed_trial=False,
            verbose=0,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        )
        for number in searcher.unfinished:
            books.end(number, None, error=False)


def _ending(books: Books) -> tuple[str, str | None]:
    """Status and message of a sweep whose trials have all ended."""
    trials = books.progress.trials.values()
    if books.stopping:
        return "stopped", "stopped by a person"
    failed = [trial for trial in trials if trial.outcome is Outcome.FAILED]
    if failed and len(failed) == len(trials):
        return "failed", f"every trial failed; the first: {failed[0].cause}"
    return "finished", f"{len(failed)} of {len(trials)} trials failed" if failed else None


def _close(books: Books, folder: Path, lag: int, status: str, message: str | None) -> None:
    """Whatever happened: every trial and run gets an end state, the findings are written, the lease goes back."""
    import ray

    books.stopping = books.closing = True  # what has not ended by now is interrupted, not pruned
    for row in books.progress.trials.values():
        if row.outcome is Outcome.RUNNING:
            books.end(row.number, None, error=False)
    books.progress.notice = "recording what is left"
    books.watcher.changed(books.progress)
    mlflow_status = {"finished": "FINISHED", "stopped": "KILLED"}.get(status, "FAILED")
    last = ray.get(books.recorder.finish.remote())
    _store_runs(books, last)
    files = write_summary(books.lab, books.sweep_id, lag, folder)
    description, tables = "", {}
    try:
        books.progress.notice = "analysing"
        books.watcher.changed(books.progress)
        analysis, reports = write_whole(books.lab, books.sweep_id, folder, lag)
        description, tables, files = words(analysis), {"arms.json": arm_rows(analysis)}, [*reports, *files]
    except Exception as error:  # what was measured is worth more than what is said of it
        (folder / "report-error.txt").write_text(traceback.format_exc())
        said = f"no report: {type(error).__name__}: {error}; see report-error.txt, then `rnnlab sweep report`"
        books.lab.event(books.sweep_id, "report_failed", said)
        message = said if message is None else f"{message}; {said}"
    ray.get(books.recorder.close.remote(mlflow_status, [str(path) for path in files], description, tables))
    books.lab.event(books.sweep_id, status, message or f"{books.progress.ended} trials ended")
    books.lab.end_sweep(books.sweep_id, status, message)  # type: ignore[arg-type]
    shutil.rmtree(folder / "tune", ignore_errors=True)
    (folder / STOP_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _stoppable(books: Books, folder: Path) -> Iterator[None]:
    """Ctrl-C (or SIGTERM) asks workers to stop after their current update; again, it stops at once.

    While the end is being recorded the second one is ignored: it takes seconds, and runs would stay open.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if books.closing:
            books.progress.notice = "recording what is left; this takes a few seconds"
        elif books.stopping:
            raise KeyboardInterrupt
        else:
            request_stop(books, folder)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def request_stop(books: Books, folder: Path) -> None:
    """Ask all workers to stop after their current update, and start no more trials."""
    books.stopping = True
    books.progress.notice = "stopping after the current updates; Ctrl-C again stops at once"
    (folder / STOP_FILE).touch()
    books.watcher.changed(books.progress)


@contextlib.contextmanager
def _beating(books: Books, folder: Path) -> Iterator[None]:
    """Renew the lease, hear of a stop that somebody else asked for, and look at the recorder, in a thread."""
    over = threading.Event()

    def beat() -> None:
        import ray

        while not over.wait(HEARTBEAT):
            if books.lab.heartbeat(books.sweep_id) and not books.stopping and not books.closing:
                request_stop(books, folder)
            with contextlib.suppress(ray.exceptions.GetTimeoutError):
                _store_runs(books, ray.get(books.recorder.status.remote(), timeout=HEARTBEAT))
            books.watcher.changed(books.progress)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _store_runs(books: Books, status: actor.RecorderStatus) -> None:
    """Keep in the lab database where MLflow has the sweep and its trials."""
    before = books.progress.recording
    known = before.run_ids if before else {}
    if status.experiment_id and (before is None or before.experiment_id is None):
        books.lab.set_mlflow(books.sweep_id, status.experiment_id, status.parent_id)
    for number, run_id in status.run_ids.items():
        if number not in known:
            books.lab.set_trial_run(books.sweep_id, number, run_id)
    books.progress.recording = status
