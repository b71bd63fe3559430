"""What a sweep will cost: a few updates of each distinct shape are timed here, on one thread, and multiplied up.

Constants of recording were read from finished sweeps of digits (12 trials by rows, 8 by pixels): the sizes of their
files and of MLflow's SQLite store by number of points, and the processor time of the recorder.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from statistics import median

import torch
from pydantic import BaseModel, ConfigDict

from rnnlab.choices import Choice
from rnnlab.compiled import library
from rnnlab.probes.schedule import probe_updates
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.training.stack import RECORDS
from rnnlab.training.step import evaluate
from sweeps.recording.names import charted, steps

UPDATES = 10
"""Updates that are timed of each shape, and as many again where its regulariser acts at some updates alone."""
LONG = 1.0
"""Seconds of processor time after which no further update of a kind is timed."""
PATIENCE = 20.0
"""Seconds after which no further shape is timed; those left out cost as much as the mean of those timed."""

STARTING = 8.0
"""Seconds of wall time until Ray, its workers and torch run."""
ENDING = 3.0
"""Seconds of wall time for the table, the picture of all gradients and the end of the runs."""
RECORDING = 0.35
"""Seconds of processor time that the recorder needs for a trial: 0.05 for its run and files, else for its picture."""
RECORDING_POINT = 0.1e-3
"""Seconds for one metric point through a server, which shares the machine; a SQLite file takes a fifth of that."""

BY_RECORD, BY_EVALUATION, BY_PROBE, AT_END = 3, 6, 1, 12
"""Metric points of a recorded update (loss, two norms), an evaluation (loss, accuracy, score, two of the clip, who is
alive), a probe (decades), and at the end."""
NPZ_ARRAY = 260
"""Bytes of the header of one array in `curves.npz`."""
PICTURE = 90_000
"""Bytes of a trial's heatmap."""
STORE, STORE_POINT = 960_000, 330
"""Bytes of MLflow's SQLite store without runs, and of one metric point with its index."""
TRIAL_FILES, REPLICATE_FILES = 9_000, 2_500
"""Bytes of a trial's YAML, JSON, params, tags and lab row, and what each replicate adds."""


@dataclass(frozen=True)
class Timing:
    """One shape on one thread, in seconds of processor time.

    Args:
        make: the network and its task. update: one of them, in the mean over the budget.
        probe, evaluation, test: one of each.
        values: numbers in the curves of one probe. arrays: curves of one probe.
        points: metric points that the curves of one probe become.
    """

    make: float
    update: float
    probe: float
    evaluation: float
    test: float
    values: int
    arrays: int
    points: int

    def seconds(self, trial: TrialSpec) -> float:
        """Processor time of a trial that uses its whole budget."""
        updates = trial.budget.updates
        probes = len(probe_updates(trial.probe.schedule, updates))
        evaluations = min(updates, trial.budget.evaluations)
        return self.make + updates * self.update + probes * self.probe + evaluations * self.evaluation + self.test


class ShapeCost(BaseModel):
    """One shape of a sweep and what one trial of it costs."""

    model_config = ConfigDict(frozen=True)

    shape: dict[str, str | int]
    trials: float
    """Trials of this shape, as far as points are drawn alike."""
    measured: bool
    update_seconds: float
    trial_seconds: float


class Cost(BaseModel):
    """What a sweep will cost where every trial uses its whole budget and the machine does nothing else."""

    model_config = ConfigDict(frozen=True)

    cpu_seconds: float
    """Processor time of training."""
    recording_seconds: float
    """Processor time of the recorder, beside."""
    wall_seconds: float
    """With `workers` trials at a time on `cpus` processors."""
    workers: int
    cpus: int
    storage_mb: float
    """Curves, pictures and metric points, in 10^6 bytes."""
    points: int
    """Metric points in MLflow."""
    shapes: list[ShapeCost]
    measuring_seconds: float
    """What this measurement took."""
    compiled: bool = True
    """Whether the recurrences of rnn, lstm and gru ran compiled: there is a C compiler."""


def shape_of(trial: TrialSpec) -> dict[str, str | int]:
    """What decides a trial's time and size: cell, activation, depth, width, batch and the task's own options; and what
    only few trials have, such as a regulariser, truncation or dilation."""
    model, optim, task = trial.model, trial.optim, trial.task
    further = {name: getattr(model, name) for name in model.quiet} | {"regulariser": optim.regulariser}
    usual = {name: type(of).model_fields[name].get_default() for of in (model, optim) for name in of.quiet}
    options = (f"{name} {value}" for name, value in task.options.items() if value is not None)
    return {
        "cell": model.cell.label,
        **({"activation": model.activation.label} if model.activation else {}),
        "depth": model.depth,
        "hidden": model.hidden,
        "batch": optim.batch,
        **{name: said(value) for name, value in further.items() if value != usual[name]},
        "task": ", ".join([task.kind, *options]),
    }


def said(value: Choice | BaseModel | float) -> str:
    """A value of a shape in few words."""
    if isinstance(value, Choice):
        return value.label
    if isinstance(value, BaseModel):
        return " ".join(f"{name}={part}" for name, part in value)
    return f"{value:g}"


def cost_of(trials: Sequence[tuple[TrialSpec, float]], workers: int | None = None) -> Cost:
    """The cost of a sweep, from its trials or a sample of them, each with the number of trials that it stands for.

    Raises:
        SpecError, DataError: the task's data cannot be had.
    """
    began = time.perf_counter()
    groups: dict[tuple[tuple[str, str | int], ...], list[tuple[TrialSpec, float]]] = {}
    for trial, weight in trials:
        groups.setdefault(tuple(shape_of(trial).items()), []).append((trial, weight))
    timings = _timings({shape: members[0][0] for shape, members in groups.items()})
    shapes, seconds, longest, bytes_, points = [], 0.0, 0.0, float(STORE), 0.0
    for shape, members in groups.items():
        known = timings.get(shape) or _mean(timings.values())
        trial, count = members[0][0], sum(weight for _, weight in members)
        each = known.seconds(trial)
        seconds, longest = seconds + count * each, max(longest, each)
        bytes_ += count * _bytes(known, trial)
        points += count * _points(known, trial)
        shapes.append(
            ShapeCost(
                shape=dict(shape), trials=round(count, 1), measured=shape in timings, update_seconds=known.update,
                trial_seconds=each,
            )
        )  # fmt: skip
    number = sum(weight for _, weight in trials)
    recording = number * RECORDING + points * RECORDING_POINT
    cpus = os.cpu_count() or 1
    workers = workers or cpus
    return Cost(
        cpu_seconds=seconds, recording_seconds=recording,
        wall_seconds=wall_of(seconds, recording, longest, number, workers, cpus), workers=workers, cpus=cpus,
        storage_mb=bytes_ / 1e6, points=round(points), shapes=shapes, measuring_seconds=time.perf_counter() - began,
        compiled=library(torch.float32) is not None,
    )  # fmt: skip


def wall_of(training: float, recording: float, longest: float, trials: float, workers: int, cpus: int) -> float:
    """Wall time of a sweep: trials share the processors with the recorder, which is one process; on average half of
    the workers wait while the last trials end.

    Args:
        training, recording: processor time. longest: of one trial.
    """
    busy = max(1.0, min(workers, cpus, trials))
    trained = max(longest, training / busy + longest * (busy - 1) / (2 * busy))
    return STARTING + max(trained, (training + recording) / cpus, recording) + ENDING


def _timings(
    shapes: Mapping[tuple[tuple[str, str | int], ...], TrialSpec],
) -> dict[tuple[tuple[str, str | int], ...], Timing]:
    """Timings of shapes in an order drawn once, until `PATIENCE` is over; at least one."""
    order = list(shapes)
    random.Random(0).shuffle(order)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        began = time.perf_counter()
        timing(shapes[order[0]])  # what is loaded and made once in a process
        found: dict[tuple[tuple[str, str | int], ...], Timing] = {}
        for shape in order:
            if not found or time.perf_counter() - began < PATIENCE:
                found[shape] = timing(shapes[shape])
        return found
    finally:
        torch.set_num_threads(threads)


def timing(trial: TrialSpec) -> Timing:
    """Time one shape: the probe of update 0, some updates, and both splits once.

    Of the updates at which the regulariser acts the first `UPDATES` are timed, or what `LONG` has room for, and so of
    those at which it does not; the median of each kind counts as often as the budget has that kind.
    """
    updates = trial.budget.updates
    spec = trial.model_copy(
        update={
            # one more, so that none of those that are timed is the last, which evaluates
            "budget": trial.budget.model_copy(update={"updates": updates + 1, "evaluations": 1}),
            "probe": trial.probe.model_copy(update={"schedule": []}),
        }
    )
    ticks: list[float] = []
    seen: dict[bool, list[float]] = {True: [], False: []}

    def enough() -> bool:
        ticks.append(time.process_time())
        if len(ticks) > 1:
            seen[acts[trainer.done - 1]].append(ticks[-1] - ticks[-2])
        while order and sum(seen[acts[order[0] - 1]]) > LONG:
            order.pop(0)
        if order:
            trainer.done = order.pop(0) - 1  # so the next update has that number
            return False
        return True

    recorder = MemoryRecorder()
    began = time.process_time()
    trainer = Trainer(spec, recorder, enough)
    acts = [trainer.regulariser.acts(number) for number in range(1, updates + 1)]
    order = [number for kind in seen for number in islice(_numbers(acts, kind), UPDATES)]
    made = time.process_time()
    trainer.advance()  # probes at update 0, then asks `enough` before every update
    # where all lanes die, a kind may not have been seen
    all_seen = [*seen[True], *seen[False]] or [time.process_time() - ticks[-1]]
    whole = sum(acts.count(kind) * median(of_kind or all_seen) for kind, of_kind in seen.items())
    splits = []
    for split in (trainer.task.validation, trainer.task.test):
        before = time.process_time()
        evaluate(trainer.network, trainer.task, split)
        splits.append(time.process_time() - before)
    first = [curve for curve in recorder.curves_seen if curve.update == 0]
    shown = charted(trial.model.depth, trainer.network.cell.anchor_state)
    return Timing(
        make=made - began,
        update=whole / updates,
        probe=ticks[0] - made,
        evaluation=splits[0],
        test=splits[1],
        values=sum(curve.values_SK.size for curve in first),
        arrays=len(first),
        points=sum(len(steps(curve.name, curve.values_SK.shape[1])) for curve in first if curve.name in shown),
    )


def _numbers(acts: Sequence[bool], kind: bool) -> Iterable[int]:
    """Of the updates, from 1, those at which the regulariser acts, or the others."""
    return (number for number, acting in enumerate(acts, 1) if acting is kind)


def _mean(timings: Iterable[Timing]) -> Timing:
    """What a shape that was not timed is taken to cost."""
    known = list(timings)
    mean = {field.name: sum(getattr(one, field.name) for one in known) / len(known) for field in fields(Timing)}
    whole = {name: round(mean.pop(name)) for name in ("values", "arrays", "points")}
    return Timing(**mean, **whole)


def _points(timing: Timing, trial: TrialSpec) -> int:
    """Metric points of a trial in MLflow."""
    updates, parts = trial.budget.updates, trial.budget.evaluations
    probes = set(probe_updates(trial.probe.schedule, updates))
    evaluations = {-(-updates * part // parts) for part in range(1, parts + 1)}
    recorded = (probes - {0}) | evaluations | set(range(0, updates + 1, max(1, updates // RECORDS))) - {0}
    by_update = len(recorded) * BY_RECORD + len(evaluations) * BY_EVALUATION + (len(probes) - 1) * BY_PROBE
    return by_update + AT_END + 3 * timing.points


def _bytes(timing: Timing, trial: TrialSpec) -> float:
    """Bytes of a trial: curves and picture lie in the sweep's folder and among MLflow's artifacts."""
    probes = len(probe_updates(trial.probe.schedule, trial.budget.updates))
    curves = 8 * timing.values * probes + NPZ_ARRAY * (timing.arrays + 1)
    files = TRIAL_FILES + REPLICATE_FILES * trial.replicates
    return 2 * (curves + PICTURE) + files + STORE_POINT * _points(timing, trial)
