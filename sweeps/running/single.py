"""One configuration without Ray and stores: train it here, measure it, draw it."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.errors import PlaceError, SpecError
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import ReplicateResult, TrialResult
from rnnlab.written import read_spec_file, validated
from sweeps.recording.arrays import CurveArchive
from sweeps.running.progress import trial_label

OF_A_SWEEP = ("name", "description", "search", "objective")
"""Keys of a sweep's spec that one configuration has no use for."""


@dataclass(frozen=True)
class Probed:
    """What probing one configuration gave."""

    label: str
    result: TrialResult

    @staticmethod
    def factor(replicate: ReplicateResult) -> float:
        """How much of the gradient is left a step, from the Theil-Sen slope of the last probe."""
        return math.exp(replicate.slope)


def read_single(path: Path, updates: int | None = None) -> TrialSpec:
    """The one configuration in a spec file: a sweep's YAML without `space`.

    Raises:
        SpecError: not a valid configuration, or a space.
    """
    data = {key: value for key, value in read_spec_file(path).items() if key not in OF_A_SWEEP}
    if "space" in data:
        raise SpecError(
            f"{path}: a probe takes one configuration, but this spec has a `space`; write its values under model "
            "and optim instead, or run it: `rnnlab sweep run`"
        )
    if updates is not None:
        budget = data.get("budget")
        data["budget"] = {**(budget if isinstance(budget, dict) else {}), "updates": updates}
    return validated(TrialSpec, data, str(path))


def probe_one(trial: TrialSpec, picture: Path, progress: Callable[[int], None]) -> Probed:
    """Train one configuration to its end (or to Ctrl-C), and draw its curves to `picture`.

    Raises:
        RnnlabError: the data cannot be read, or the picture's folder does not exist.
    """
    if not picture.parent.is_dir():
        raise PlaceError(f"the picture's folder {picture.parent} must exist; make it, or give another --picture")
    stopped: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: stopped.append(True))
    try:
        memory = MemoryRecorder()
        trainer = Trainer(trial, memory, stop=lambda: bool(stopped))
        while not trainer.advance().done:
            progress(trainer.done)
    finally:
        signal.signal(signal.SIGINT, before)
    archive = CurveArchive()
    for curve in memory.curves_seen:
        archive.add(curve.update, [curve])
    from sweeps.report.figures import curves, save

    label = trial_label(trial)
    state = choose(CELLS, trial.model.cell.kind).load().anchor_state
    task = trainer.task
    figure = curves(
        archive.arrays,
        title=label,
        state=state,
        depth=trial.model.depth,
        lag=task.lag,
        objective=task.objective,
    )
    save(figure, picture)
    return Probed(label, trainer.result)
