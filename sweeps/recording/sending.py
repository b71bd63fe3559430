"""What driver and workers send to the recorder, and how long they wait for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnlab.curve import Curve
from rnnlab.errors import PlaceError
from rnnlab.recorder import Scalars
from sweeps.recording.messages import Message, UpdateCurves, UpdateScalars

PATIENCE = 300.0
"""Seconds for a recorder to take a message: one that died is started again in a few."""
HOLD = 2.0
"""Seconds that a worker holds what it records before it sends it; an evaluation sends at once."""


def tell(recorder: Any, message: Message, patience: float = PATIENCE) -> None:
    """Send from the driver, and wait until it is on the recorder's disk.

    Ray sends what a dead recorder had not acknowledged again, in any order and now and then twice.

    Raises:
        PlaceError: it has not been taken within `patience` seconds.
    """
    sent = recorder.put.remote(message)
    if sent is not None:  # a recorder that is no actor
        taken([sent], patience)


def taken(sent: Sequence[Any], patience: float = PATIENCE) -> None:
    """Wait until messages that were sent are on the recorder's disk.

    Raises:
        PlaceError: they are not within `patience` seconds: a recorder that Ray kills as often as it starts it, as on
            a node without memory, would be waited for without end.
    """
    import ray

    if not sent:
        return
    try:
        ray.get(list(sent), timeout=patience)
    except ray.exceptions.GetTimeoutError:
        raise PlaceError(
            f"the recorder has taken nothing for {patience:g} s; see whether the driver's node has memory and a disk "
            "that answers"
        ) from None


class ActorRecorder:
    """The port that training writes to, on a worker's side: sends to the recorder and does not wait.

    Args:
        actor: handle of the recorder. trial: number within the sweep.
    """

    def __init__(self, actor: Any, trial: int) -> None:
        self.actor, self.trial = actor, trial
        self._held: list[Message] = []
        self._sent: list[Any] = []
        self._sent_at = time.monotonic()

    def scalars(self, update: int, values: Scalars) -> None:
        plain = {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}
        self._hold(UpdateScalars(self.trial, update, plain))

    def curves(self, update: int, curves: Sequence[Curve]) -> None:
        self._hold(UpdateCurves(self.trial, update, tuple(curves)))

    def flush(self) -> None:
        """Wait until all that was recorded is on the recorder's disk.

        Raises:
            PlaceError: it is not within `PATIENCE`.
        """
        self.send()
        taken(self._sent)
        self._sent.clear()

    def _hold(self, message: Message) -> None:
        self._held.append(message)
        if time.monotonic() - self._sent_at >= HOLD:
            self.send()

    def send(self) -> None:
        """Send what is held, and do not wait: `flush` does."""
        if self._held:
            sent = self.actor.put.remote(*self._held)
            self._sent += [] if sent is None else [sent]  # a recorder that is no actor
            self._held.clear()
        self._sent_at = time.monotonic()
