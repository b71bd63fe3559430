"""The port that training writes to, with a version that forgets, one that keeps, and one that fans out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rnnlab.curve import Curve

Scalars = Mapping[str, NDArray[np.float64]]
"""Values of one update by name, each (S,), NaN for a lane that has none; names are those of `SCALARS`."""

SCALARS = (
    "train_loss", "validation_loss", "accuracy", "score", "gradient_norm", "clip_rate", "clip_coefficient",
    "decades", "regulariser",
)  # fmt: skip
"""Every scalar that training records, by update.

train_loss, validation_loss, accuracy, score: of the task; gradient_norm: the global norm before clipping, at
the last update; clip_rate: share of all updates so far whose gradient the clip changed; clip_coefficient:
mean norm after over norm before clipping in those updates; decades: D of the worst layer's G2 curve; regulariser: its
value at the last update, with its weight, where it acts.
"""


class Recorder(Protocol):
    """What training tells while it runs. Calls return at once; nothing that is told is changed afterwards."""

    def scalars(self, update: int, values: Scalars) -> None:
        """Numbers of one update, by lane."""

    def curves(self, update: int, curves: Sequence[Curve]) -> None:
        """All curves of one probe; rows of lanes that had diverged before are NaN."""


class NullRecorder:
    """Forgets everything."""

    def scalars(self, update: int, values: Scalars) -> None:
        pass

    def curves(self, update: int, curves: Sequence[Curve]) -> None:
        pass


class MemoryRecorder:
    """Keeps everything, in order."""

    def __init__(self) -> None:
        self.scalars_seen: list[tuple[int, Scalars]] = []
        self.curves_seen: list[Curve] = []

    def scalars(self, update: int, values: Scalars) -> None:
        self.scalars_seen.append((update, values))

    def curves(self, update: int, curves: Sequence[Curve]) -> None:
        self.curves_seen.extend(curves)


class FanOutRecorder:
    """Tells several recorders, in order."""

    def __init__(self, *recorders: Recorder) -> None:
        self.recorders = recorders

    def scalars(self, update: int, values: Scalars) -> None:
        for recorder in self.recorders:
            recorder.scalars(update, values)

    def curves(self, update: int, curves: Sequence[Curve]) -> None:
        for recorder in self.recorders:
            recorder.curves(update, curves)
