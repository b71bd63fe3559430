"""A queue on disk: what has been taken is kept until it is done, across a crash of the process."""

from __future__ import annotations

import os
import pickle
import threading
from collections import deque
from pathlib import Path

from sweeps.recording.messages import Message


class Spool:
    """Messages in order, a file each, `00000001.pkl` and so on, written whole or not at all.

    Safe for one process with several threads. Files that an earlier process left are taken up first.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._waiting = deque(sorted(int(path.stem) for path in folder.glob("[0-9]*.pkl")))
        self._next = self._waiting[-1] + 1 if self._waiting else 1
        self._changed = threading.Condition()

    def put(self, message: Message) -> None:
        """Take a message: on return it is on disk."""
        with self._changed:
            number, self._next = self._next, self._next + 1
            half_written = self.folder / f"{number:08}.part"
            half_written.write_bytes(pickle.dumps(message))
            os.replace(half_written, self._path(number))
            self._waiting.append(number)
            self._changed.notify_all()

    def peek(self, timeout: float) -> Message | None:
        """The oldest message, which stays; None if none came within `timeout` seconds."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout)
            if not self._waiting:
                return None
            number = self._waiting[0]
        message: Message = pickle.loads(self._path(number).read_bytes())
        return message

    def done(self) -> None:
        """The oldest message has been dealt with and is dropped."""
        with self._changed:
            self._path(self._waiting.popleft()).unlink()

    def __len__(self) -> int:
        return len(self._waiting)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}.pkl"
