"""Configurations without Ray and stores: train them here, measure them, draw and keep their curves."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.errors import PlaceError, SpecError
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.theory import theory_of
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import Outcome, ReplicateResult, TrialResult, score_of
from rnnlab.training.step import evaluate
from rnnlab.written import read_spec_file, validated
from sweeps.recording.arrays import Arrays, CurveArchive
from sweeps.running.progress import trial_label

if TYPE_CHECKING:
    from sweeps.report.overlay import Side

OF_A_SWEEP = ("name", "description", "search", "objective", "resources")
"""Keys of a sweep's spec that one configuration has no use for."""


@dataclass(frozen=True)
class Single:
    """One configuration to probe.

    Args:
        name: what pictures and files call it.
        path: its spec.
        trained: False: it is measured at initialisation alone, whatever its budget.
    """

    name: str
    path: Path
    trial: TrialSpec
    trained: bool = True


@dataclass(frozen=True)
class Probed:
    """What probing one configuration gave."""

    single: Single
    side: Side
    result: TrialResult

    @property
    def label(self) -> str:
        """The configuration, as a person calls it."""
        return self.side.label

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C came before its end."""
        return any(replicate.outcome is Outcome.INTERRUPTED for replicate in self.result.replicates)

    @staticmethod
    def factor(replicate: ReplicateResult) -> float:
        """How much of the gradient is left a step, from the Theil-Sen slope of the last probe."""
        return math.exp(replicate.slope)


def read_single(path: Path, updates: int | None = None) -> Single:
    """The one configuration in a spec file: a sweep's YAML without `space`.

    Args:
        updates: train so long instead of the spec's budget; 0 trains nothing.

    Raises:
        SpecError: not a valid configuration, or a space.
    """
    data = {key: value for key, value in read_spec_file(path).items() if key not in OF_A_SWEEP}
    if "space" in data:
        raise SpecError(
            f"{path}: a probe takes one configuration, but this spec has a `space`; write its values under model "
            "and optim instead, or run it: `rnnlab sweep run`"
        )
    if updates:
        budget = data.get("budget")
        data["budget"] = {**(budget if isinstance(budget, dict) else {}), "updates": updates}
    return Single(path.stem, path, validated(TrialSpec, data, str(path)), trained=updates != 0)


def read_pair(first: Path, second: Path, updates: int | None = None) -> list[Single]:
    """Two configurations to lay over each other, their names told apart.

    Raises:
        SpecError: one of them is not valid, or they are the same file.
    """
    if first.resolve() == second.resolve():
        raise SpecError(f"--against takes a second configuration, but got the same file {second}")
    one, other = read_single(first, updates), read_single(second, updates)
    if one.name == other.name:
        other = Single(f"{other.name}-2", other.path, other.trial, other.trained)
    return [one, other]


def check_places(**files: Path) -> None:
    """Refuse files that could not be written, before anything is trained.

    Raises:
        PlaceError: a folder does not exist, two are the same file, or one is a folder.
    """
    for option, path in files.items():
        if not path.parent.is_dir():
            raise PlaceError(f"the {option}'s folder {path.parent} must exist; make it, or give another --{option}")
        if path.is_dir():
            raise PlaceError(f"--{option} takes a file, but {path} is a folder; name a file in it")
    if len({path.resolve() for path in files.values()}) < len(files):
        raise PlaceError(f"{' and '.join(f'--{option}' for option in files)} must be two files, but both are {path}")


def probe_all(singles: Sequence[Single], progress: Callable[[int, int], None]) -> list[Probed]:
    """Train configurations one after another to their ends, or to Ctrl-C: then the rest is only measured.

    A second Ctrl-C breaks off at once: what is not measured by then is left out of what returns.

    Args:
        progress: told a configuration's number and its updates done.

    Raises:
        RnnlabError: the data of one cannot be read; nothing has been trained then.
    """
    stopped: list[bool] = []
    memories = [MemoryRecorder() for _ in singles]
    trainers = [
        Trainer(single.trial, memory, stop=lambda trained=single.trained: bool(stopped) or not trained)  # type: ignore[misc]
        for single, memory in zip(singles, memories, strict=True)
    ]

    def hear(number: int, frame: object) -> None:
        stopped.append(True)
        if len(stopped) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    try:
        for number, (single, trainer) in enumerate(zip(singles, trainers, strict=True)):
            while not trainer.advance().done:
                progress(number, trainer.done)
            if not single.trained and not stopped:
                _finish_untrained(trainer)
            progress(number, trainer.done)
    except KeyboardInterrupt:
        for trainer in trainers:
            trainer.result.end(Outcome.INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, before)
    return [
        Probed(single, _side(single, trainer, memory), trainer.result)
        for single, trainer, memory in zip(singles, trainers, memories, strict=True)
        if memory.curves_seen
    ]


def draw(probed: Sequence[Probed], picture: Path) -> None:
    """A PNG: one configuration in four panels, or two over each other."""
    from sweeps.report.figures import curves, overlay, save

    sides = [one.side for one in probed]
    if len(sides) > 1:
        save(overlay(sides), picture)
        return
    (side,) = sides
    figure = curves(
        side.arrays,
        title=f"{side.label} on {side.task}, T = {side.steps}",
        state=side.state,
        depth=side.depth,
        lag=side.lag,
        objective=side.objective,
        theory=side.theory,
    )
    save(figure, picture)


def keep(probed: Sequence[Probed], npz: Path) -> None:
    """An npz file as `CurveArchive` writes it; of two configurations each array is called NAME/array.

    Raises:
        OSError: the folder is missing or full; nothing is left behind.
    """
    arrays: Arrays = {}
    for one in probed:
        prefix = f"{one.single.name}/" if len(probed) > 1 else ""
        arrays |= {f"{prefix}{name}": values for name, values in one.side.arrays.items()}
    part = npz.with_name(f".{npz.name}.{uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        part.replace(npz)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _side(single: Single, trainer: Trainer, memory: MemoryRecorder) -> Side:
    from sweeps.report.overlay import Side

    archive = CurveArchive()
    for curve in memory.curves_seen:
        archive.add(curve.update, [curve])
    task, model = trainer.task, single.trial.model
    return Side(
        name=single.name,
        label=trial_label(single.trial),
        arrays=archive.arrays,
        state=choose(CELLS, model.cell.kind).load().anchor_state,
        depth=model.depth,
        lag=task.lag,
        objective=task.objective,
        theory=theory_of(model, task.inputs, float(trainer.probe_batch.x_TNI.double().square().mean()), task.length),
        task=single.trial.task.kind,
    )


def _finish_untrained(trainer: Trainer) -> None:
    """What was asked has been done, and not interrupted: the untrained network's score is its own."""
    task = trainer.task
    seen = evaluate(trainer.network, task, task.validation)
    baseline = task.baseline("validation")
    for lane, replicate in enumerate(trainer.result.replicates):
        replicate.outcome = Outcome.FINISHED
        replicate.score = score_of(float(seen.loss_S[lane]), baseline)
        replicate.accuracy = None if seen.accuracy_S is None else float(seen.accuracy_S[lane])
