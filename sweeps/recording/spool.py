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
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sweeps.recording.messages import Message, SweepOver, TrainingOver

logger = logging.getLogger(__name__)

REFUSED = "refused"
"""Folder, in the spool's, of what MLflow would not have."""


@dataclass(frozen=True)
class Waiting:
    """What was put at once, of one trial or of the sweep, and waits.

    Args:
        number: its place in the queue. messages: in order. since: when this process first saw it, monotonic seconds.
    """

    number: int
    messages: tuple[Message, ...]
    since: float

    @property
    def trial(self) -> int | None:
        """Whose it is; None: the sweep's."""
        first = self.messages[0]
        return None if isinstance(first, (SweepOver, TrainingOver)) else first.trial


class Spool:
    """Messages in order, a file for each `put`, `00000001.pkl` and so on, written whole or not at all.

    Safe for one process with several threads. Files that an earlier process left are taken up first. The folder is
    listed once, when this is made: what waits costs no time.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        left = sorted(int(path.stem) for path in folder.glob("[0-9]*.pkl"))
        self._waiting: OrderedDict[int, Waiting | None] = OrderedDict.fromkeys(left)
        """Number -> what waits there; None: not read yet."""
        aside = [*folder.glob("*.spoilt"), *(folder / REFUSED).glob("*.pkl")]
        self._next = max([*left, *(int(path.stem) for path in aside)], default=0) + 1
        self._changed = threading.Condition()
        self.spoilt = len(list(folder.glob("*.spoilt")))
        """Files that could not be read and are set aside."""
        self.refused = len(aside) - self.spoilt
        """Files that MLflow would not have and that are set aside."""

    def put(self, *messages: Message) -> None:
        """Take messages of one trial, or one of the sweep: on return they are on disk, all or none."""
        with self._changed:
            number, self._next = self._next, self._next + 1
            half_written = self.folder / f"{number:08}.part"
            half_written.write_bytes(pickle.dumps(messages))
            os.replace(half_written, self._path(number))
            self._waiting[number] = None
            self._changed.notify_all()

    def look(self, most: int) -> list[Waiting]:
        """The oldest `most` that wait, which stay. Spoilt ones are set aside."""
        while True:
            with self._changed:
                numbers = list(islice(self._waiting, most))
            found = [one for number in numbers if (one := self._read(number)) is not None]
            if found or not numbers:
                return found

    def wait(self, timeout: float) -> None:
        """Return when something is put, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait(timeout)

    def _read(self, number: int) -> Waiting | None:
        known = self._waiting.get(number)
        if known is not None:
            return known
        try:
            messages = _messages(self._path(number))
        except (OSError, MemoryError):  # of the disk or the machine: tried again
            raise
        except Exception as error:  # whatever a pickle without its end raises
            logger.warning("%s is spoilt and set aside: %s", self._path(number), error)
            with self._changed:
                os.replace(self._path(number), self._path(number).with_suffix(".spoilt"))
                del self._waiting[number]
                self.spoilt += 1
            return None
        self._waiting[number] = found = Waiting(number, messages, time.monotonic())
        return found

    def done(self, those: Iterable[Waiting]) -> None:
        """They have been dealt with and are dropped, the oldest first."""
        for one in those:
            with self._changed:
                self._path(one.number).unlink(missing_ok=True)
                del self._waiting[one.number]

    def refuse(self, one: Waiting) -> Path:
        """It is set aside; where."""
        with self._changed:
            (self.folder / REFUSED).mkdir(exist_ok=True)
            os.replace(self._path(one.number), aside := self.folder / REFUSED / self._path(one.number).name)
            del self._waiting[one.number]
            self.refused += 1
            return aside

    def aside(self) -> list[Message]:
        """Messages that were set aside as refused, in order."""
        files = sorted((self.folder / REFUSED).glob("*.pkl"))
        return [message for path in files for message in _messages(path)]

    def __len__(self) -> int:
        return len(self._waiting)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}.pkl"


def _messages(path: Path) -> tuple[Message, ...]:
    found = pickle.loads(path.read_bytes())
    return found if isinstance(found, tuple) else (found,)  # a message alone: left by an earlier version
