"""Stopping gently: Ctrl-C here, or a stop that another terminal asked for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnlab.errors import RnnlabError
from rnnlab.training.outcome import Outcome
from sweeps.home import STOP_FILE
from sweeps.recording.messages import SweepOver
from sweeps.running.books import Books
from sweeps.running.waiting import wait_for

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a driver to stop."""
AGAIN = 1.0
"""Seconds for a recorder that has not answered to answer once more."""
LEAVING = 10.0
"""Seconds that MLflow gets for what waits, at a stop for want of a disk or a database."""


@contextlib.contextmanager
def stoppable(books: Books, folder: Path) -> Iterator[None]:
    """Ctrl-C (or SIGTERM, or a terminal that closes) asks workers to stop after their current update; again, at once.

    While the end is being recorded further ones are ignored: it takes seconds, and runs would stay open.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if number == signal.SIGHUP:
            _to_nowhere()
        if books.closing:
            books.progress.notice = "recording what is left; this takes a few seconds"
        elif books.stopping:
            books.closing = True  # a third one must not interrupt what the second one began
            raise KeyboardInterrupt
        else:
            request_stop(books, folder)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _to_nowhere() -> None:
    """A terminal that has closed takes no more output, and every word to it would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if os.isatty(stream):
            os.dup2(nowhere, stream)
    os.close(nowhere)


def leave(books: Books, folder: Path, cause: str) -> None:
    """A place cannot be used any more: workers are asked to stop, and what can still be told is told, once.

    What cannot be told is not lost: the sweep's folder has checkpoints and what waits for MLflow, and a driver whose
    process is gone counts as stopped.
    """
    import ray

    books.stopping = books.closing = True
    books.progress.notice = f"stopping: {cause}"
    books.watcher.changed(books.progress)
    books.lab.patience.end()
    with contextlib.suppress(OSError):
        (folder / STOP_FILE).touch()
    books.patience = LEAVING
    for row in books.progress.trials.values():
        if row.outcome is Outcome.RUNNING:
            try:
                books.end(row.number, None, error=False)
            except (RnnlabError, OSError, ray.exceptions.RayError):
                books.patience = AGAIN  # nor will it take the others
    with contextlib.suppress(RnnlabError):
        books.lab.event(books.sweep_id, "stopped", cause)
        books.lab.end_sweep(books.sweep_id, "stopped", cause)
    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(books.recorder.put.remote(SweepOver("KILLED")), timeout=LEAVING)
        wait_for(lambda: ray.get(books.recorder.status.remote(), timeout=LEAVING), LEAVING, lambda *_: None)


def request_stop(books: Books, folder: Path) -> None:
    """Ask all workers to stop after their current update, and start no more trials."""
    books.stopping = True
    books.progress.notice = "stopping after the current updates; Ctrl-C again stops at once"
    with contextlib.suppress(OSError):  # of a disk that cannot be written: then workers hear of that
        (folder / STOP_FILE).touch()
    books.watcher.changed(books.progress)
