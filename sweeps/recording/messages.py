"""What the recorder is told, in order: a trial begins, scalars and curves of updates, a trial ends; training and the
sweep end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlab.curve import Curve


@dataclass(frozen=True)
class TrialBegun:
    """A trial's run may be created.

    Args:
        trial: number within the sweep.
        name: readable name of the run.
        started_ms: Unix time, milliseconds; every point's timestamp is made from it.
        params: param -> value, as strings or numbers. tags: tag -> value.
        spec_yaml: the trial's spec.
        state: state that verdicts read, `h` or `c`. depth: layers. lag: K.
    """

    trial: int
    name: str
    started_ms: int
    params: dict[str, Any]
    tags: dict[str, str]
    spec_yaml: str
    state: str
    depth: int
    lag: int


@dataclass(frozen=True)
class UpdateScalars:
    """Scalars of one update by rnnlab's names, each (S,), NaN for lanes that have none."""

    trial: int
    update: int
    values: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class UpdateCurves:
    """All curves of one probe."""

    trial: int
    update: int
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class TrialOver:
    """A trial ended; its run gets finals, tags, artifacts and an end state.

    Args:
        status: MLflow's: FINISHED, FAILED or KILLED.
        finals: metric -> value. tags: tag -> value. result: everything, for `result.json`.
    """

    trial: int
    status: str
    ended_ms: int
    update: int
    finals: dict[str, float]
    tags: dict[str, str]
    result: dict[str, Any]


@dataclass(frozen=True)
class TrainingOver:
    """All trials have ended: the best network may be logged, while the driver analyses."""


@dataclass(frozen=True)
class SweepOver:
    """All trials have ended; the parent run gets what the sweep has as a whole, and an end state.

    Args:
        status: MLflow's: FINISHED, FAILED or KILLED.
        files: paths that become artifacts. description: Markdown, the findings.
        tables: artifact (`arms.json`) -> its rows, each column -> value.
    """

    status: str
    files: tuple[str, ...] = ()
    description: str = ""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


TrialMessage = TrialBegun | UpdateScalars | UpdateCurves | TrialOver
Message = TrialMessage | TrainingOver | SweepOver
