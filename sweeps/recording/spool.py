"""A queue on disk: what has been taken is kept until it is done, across the death of the process.

Promised: what `put` has taken outlives a `kill -9` of any process. Not promised: a power cut. Files are not synced,
which would cost each message a disk's latency, so that a cut may lose the last seconds or leave a file without its
end. Such a file is set aside as `NUMBER.spoilt`, and the queue goes on.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
from collections import deque
from pathlib import Path

from sweeps.recording.messages import Message

logger = logging.getLogger(__name__)

REFUSED = "refused"
"""Folder, in the spool's, of messages that MLflow would not have."""


class Spool:
    """Messages in order, a file each, `00000001.pkl` and so on, written whole or not at all.

    Safe for one process with several threads. Files that an earlier process left are taken up first. The folder is
    listed once, when this is made: what waits costs no time.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._waiting = deque(sorted(int(path.stem) for path in folder.glob("[0-9]*.pkl")))
        aside = [*folder.glob("*.spoilt"), *(folder / REFUSED).glob("*.pkl")]
        self._next = max([*self._waiting, *(int(path.stem) for path in aside)], default=0) + 1
        self._changed = threading.Condition()
        self.spoilt = len(list(folder.glob("*.spoilt")))
        """Files that could not be read and are set aside."""
        self.refused = len(aside) - self.spoilt
        """Messages that MLflow would not have and that are set aside."""

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
        """The oldest message, which stays; None if none came within `timeout` seconds. Spoilt ones are set aside."""
        while True:
            with self._changed:
                if not self._waiting:
                    self._changed.wait(timeout)
                if not self._waiting:
                    return None
                number = self._waiting[0]
            try:
                message: Message = pickle.loads(self._path(number).read_bytes())
            except (OSError, MemoryError):  # of the disk or the machine: tried again
                raise
            except Exception as error:  # whatever a pickle without its end raises
                logger.warning("%s is spoilt and set aside: %s", self._path(number), error)
                with self._changed:
                    os.replace(self._path(number), self._path(number).with_suffix(".spoilt"))
                    self._waiting.popleft()
                    self.spoilt += 1
            else:
                return message

    def done(self) -> None:
        """The oldest message has been dealt with and is dropped."""
        with self._changed:
            self._path(self._waiting[0]).unlink(missing_ok=True)
            self._waiting.popleft()

    def refuse(self) -> Path:
        """The oldest message is set aside; where."""
        with self._changed:
            path = self._path(self._waiting[0])
            (self.folder / REFUSED).mkdir(exist_ok=True)
            os.replace(path, aside := self.folder / REFUSED / path.name)
            self._waiting.popleft()
            self.refused += 1
            return aside

    def aside(self) -> list[Message]:
        """Messages that were set aside as refused, in order."""
        return [pickle.loads(path.read_bytes()) for path in sorted((self.folder / REFUSED).glob("*.pkl"))]

    def __len__(self) -> int:
        return len(self._waiting)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}.pkl"
