"""The heartbeat of a driver: it renews the lease, hears of stops, and looks at the recorder."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from rnnlab.errors import RnnlabError
from sweeps.recording import actor
from sweeps.running.books import Books
from sweeps.running.stopping import request_stop
from sweeps.store.retrying import LeaseLost

HEARTBEAT = 2.0
"""Seconds between two renewals of the lease."""


@contextlib.contextmanager
def beating(books: Books, folder: Path) -> Iterator[None]:
    """Renew the lease, hear of a stop that somebody else asked for, and look at the recorder, in a thread.

    It goes on while the lab database or the recorder is away. Once another driver has the lease no more trials are
    started; the next write to the lab database then ends this driver.
    """
    over = threading.Event()

    def beat() -> None:
        import ray

        while not over.wait(HEARTBEAT):
            try:
                if books.lab.heartbeat(books.sweep_id) and not books.stopping and not books.closing:
                    request_stop(books, folder)
                store_runs(books, ray.get(books.recorder.status.remote(), timeout=HEARTBEAT))
            except LeaseLost:
                books.stopping = True  # not by the stop file: the workers of the other driver look for it, too
                return
            except (RnnlabError, ray.exceptions.RayError):
                pass  # tried again; whoever needs the answer hears what is wrong
            books.watcher.changed(books.progress)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def store_runs(books: Books, status: actor.RecorderStatus) -> None:
    """Keep in the lab database where MLflow has the sweep and its trials."""
    before = books.progress.recording
    if status.experiment_id and (before is None or before.experiment_id is None):
        books.lab.set_mlflow(books.sweep_id, status.experiment_id, status.parent_id)
    for number, run_id in status.run_ids.items():
        # also of trials that ended under an earlier driver, which may have died before it heard of their runs
        if number in books.progress.trials and books.runs.get(number) != run_id:
            books.lab.set_trial_run(books.sweep_id, number, run_id)
            books.runs[number] = run_id
    books.progress.recording = status
