"""At the end of a sweep: waiting until MLflow has all that was recorded, and no longer than a person wants to."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

from sweeps.recording.actor import RecorderStatus

LOOK_EVERY = 0.25
"""Seconds between two looks at the recorder."""
STUCK = 600.0
"""Seconds without progress after which a recorder that answers is waited for no more: one that is killed as often as it
is started answers in between."""


def wait_for(
    look: Callable[[], RecorderStatus | None],
    patience: float,
    seen: Callable[[RecorderStatus, str], None],
    *,
    pictures: bool = True,
    stuck: float = STUCK,
) -> bool:
    """Wait until the recorder has nothing left; False where patience, or a person's, ended before.

    Progress, which is less than was ever left, starts patience anew. While recording lags, Ctrl-C ends the wait.

    Args:
        look: the recorder's status; None where it does not answer, as one that is being started again.
        patience: seconds. seen: is told each status and the notice that belongs to it.
        pictures: whether those that are not drawn yet are waited for, too.
        stuck: seconds, if that is longer, of patience with a recorder that answers and tells of no error.
    """
    enough, lags = threading.Event(), threading.Event()
    least, since = None, time.monotonic()
    with _ctrl_c(enough, lags):
        while True:
            status = look()
            left = None if status is None else (status.waiting, status.pictures)
            if left is not None and (least is None or left < least):
                least, since = left, time.monotonic()
            away = status is None or status.error is not None
            (lags.set if away else lags.clear)()
            if status is not None:
                seen(status, _notice(status, patience) if away and not status.settled else "")
                if not status.waiting and not (pictures and status.pictures):
                    return True
            if enough.is_set() or time.monotonic() - since >= (patience if away else max(patience, stuck)):
                return False
            enough.wait(LOOK_EVERY)


def _notice(status: RecorderStatus, patience: float) -> str:
    return f"{status.lag.words()}; waiting up to {patience:.0f} s for MLflow, Ctrl-C ends the wait"


@contextlib.contextmanager
def _ctrl_c(enough: threading.Event, lags: threading.Event) -> Iterator[None]:
    """Ctrl-C ends the wait while recording lags; else whoever heard of it before hears of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        handler = before[signal.Signals(number)]
        if lags.is_set():
            enough.set()
        elif callable(handler):
            handler(number, frame)  # type: ignore[arg-type]

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
