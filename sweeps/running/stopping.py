"""Stopping gently: Ctrl-C here, or a stop that another terminal asked for."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweeps.home import STOP_FILE
from sweeps.running.books import Books


@contextlib.contextmanager
def stoppable(books: Books, folder: Path) -> Iterator[None]:
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
