"""Training a trial: all replicates side by side, probes and evaluations on their schedules."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlab.architecture import noise
from rnnlab.choices import choose
from rnnlab.clipping import CLIPS
from rnnlab.curve import LARGEST, Curve
from rnnlab.model import Network, build
from rnnlab.probes import PROBES
from rnnlab.probes.context import ProbeContext
from rnnlab.probes.schedule import probe_updates
from rnnlab.recorder import NullRecorder, Recorder
from rnnlab.regularisers import REGULARISERS
from rnnlab.spec import TrialSpec
from rnnlab.tasks import TASKS
from rnnlab.tasks.base import Batch, Task
from rnnlab.training import OPTIMISERS
from rnnlab.training.explosion import ExplosionWatch
from rnnlab.training.outcome import Outcome, ReplicateResult, TrialResult, score_of
from rnnlab.training.scale import HIGHEST
from rnnlab.training.seeding import generator_for, replicate_seed
from rnnlab.training.signals import LossMemory, percents, signals_of
from rnnlab.training.step import Evaluation, Step, evaluate, update
from rnnlab.verdict import SENSITIVITY, Verdict, of_layer, worst

if TYPE_CHECKING:
    from rnnlab.clipping.base import Clip
    from rnnlab.regularisers.base import Regulariser
    from rnnlab.training.optimiser import Optimiser

RECORDS = 20
"""Scalars are recorded about so often in a trial, beside every probe and evaluation."""


def load_task(spec: TrialSpec) -> Task:
    """The task that a spec names.

    Raises:
        SpecError, DataError: what the spec asks for cannot be had.
    """
    task: Task = choose(TASKS, spec.task.kind).load()(spec.task)
    assert task.positions, "a task's loss sits somewhere"
    return task


class Trainer:
    """A trial in training. `advance` goes on to the next evaluation, so that a caller can report and stop.

    Everything random comes from the replicates' own generators: a lane's numbers do not depend on the others.
    A replicate whose state, loss or gradient goes non-finite in training is frozen as it was before that
    update, one whose optimiser, validation loss or test loss does as it then is; the others go on.

    Args:
        spec: what to train.
        recorder: who is told.
        stop: asked before every update; once it says True, the replicates that still run are interrupted.
    """

    def __init__(
        self, spec: TrialSpec, recorder: Recorder | None = None, stop: Callable[[], bool] | None = None
    ) -> None:
        self.spec, self.recorder = spec, recorder or NullRecorder()
        self.stop = stop or (lambda: False)
        self.task = load_task(spec)
        seeds = [replicate_seed(spec.seed, spec.block, number) for number in range(spec.replicates)]
        self.network: Network = build(spec.model, self.task.inputs, self.task.outputs, self.task.length, seeds)
        self.clip: Clip = choose(CLIPS, spec.optim.clip.kind).load()(**spec.optim.clip.options)
        self.clip.attach(self.network)
        regulariser = spec.optim.regulariser
        self.regulariser: Regulariser = choose(REGULARISERS, regulariser.kind).load()(**regulariser.options)
        lr_S = torch.full((spec.replicates,), spec.optim.lr, dtype=torch.float64)
        optimiser = choose(OPTIMISERS, spec.optim.kind).load()
        self.optimiser: Optimiser = optimiser(self.network.theta.data, lr_S, **spec.optim.options)
        self.streams = [generator_for("data", seed) for seed in seeds]
        self.alive_S = torch.ones(spec.replicates, dtype=torch.bool)
        self._baseline = self.task.baseline("validation")
        self.watch = ExplosionWatch(spec.replicates, spec.probe.exploded)
        self.done = 0
        """Updates done."""
        self.result = TrialResult([ReplicateResult(number, seed) for number, seed in enumerate(seeds)], 0, 0.0, 0.0)
        updates = spec.budget.updates
        self.probe_at = set(probe_updates(spec.probe.schedule, updates))
        self.evaluate_at = {
            -(-updates * part // spec.budget.evaluations) for part in range(1, spec.budget.evaluations + 1)
        }
        self.record_every = max(1, updates // RECORDS)
        sample = self.task.validation
        self.probe_batch = Batch(sample.x_TNI[:, : spec.probe.batch], sample.y_TN[:, : spec.probe.batch])
        self._probes_S = np.zeros(spec.replicates)
        self._healthy_S = np.zeros(spec.replicates)
        self._clipped_S = torch.zeros(spec.replicates, dtype=torch.float64)
        self._kept_S = torch.zeros(spec.replicates, dtype=torch.float64)
        self.losses = LossMemory()
        self._started = time.perf_counter()
        self._cpu_started = time.process_time()

    def already(self, seconds: float, cpu_seconds: float) -> None:
        """Count time that was spent on this trial before, in another process."""
        self._started = time.perf_counter() - seconds
        self._cpu_started = time.process_time() - cpu_seconds

    def advance(self) -> TrialResult:
        """Train to the next evaluation, or to the end; the result so far."""
        if self.done == 0 and not self._probes_S.any():  # one that is taken up again has been probed
            self._probe(self.alive_S)
        while not self.result.done:
            if self.stop():
                self._finish(Outcome.INTERRUPTED)
                break
            self._update()
            if not self.alive_S.any():
                self._finish(Outcome.DIVERGED)
            elif self.done == self.spec.budget.updates:
                self._finish(Outcome.FINISHED)
            elif self.done in self.evaluate_at:
                break
        self.result.updates = self.done
        self.result.seconds = time.perf_counter() - self._started
        self.result.cpu_seconds = time.process_time() - self._cpu_started
        return self.result

    def _update(self) -> None:
        batches = [self.task.draw(stream, self.spec.optim.batch) for stream in self.streams]
        self.done += 1
        seeds = [replicate.seed for replicate in self.result.replicates]
        step = update(
            self.network,
            self.task,
            self.optimiser,
            self.clip,
            batches,
            self.alive_S,
            regulariser=self.regulariser,
            noise=noise(seeds, self.done) if self.network.architecture.noisy else None,
            number=self.done,
            checkpointing=self.spec.optim.gradient_checkpointing,
        )
        self.losses.see(step.loss_S.detach().double())
        exploded_S = self.watch.see(step.norm_S, step.applied_S) | step.skipped_S
        # a lane that is frozen counts no more
        self._clipped_S += self.alive_S & (step.kept_S < 1 - 1e-6)
        self._kept_S += torch.where(self.alive_S, step.kept_S, 0.0)
        for replicate, alive, exploded in zip(
            self.result.replicates, self.alive_S.tolist(), exploded_S.tolist(), strict=True
        ):
            if alive:
                replicate.update = self.done
            if exploded and alive:
                self._explode(replicate)
        failed_S = self._freeze(step.failed)
        seen = None
        if self.done in self.evaluate_at and self.alive_S.any():
            seen = self._evaluate()
            failed_S |= self._freeze({"loss": self.alive_S & ~seen.loss_S.isfinite()})
        if self.done in self.probe_at:
            self._probe(self.alive_S | failed_S)
        elif failed_S.any():
            self._probe(failed_S)  # the last that a dying lane shows; the schedule may be far off
        regular = self.done % self.record_every == 0 or self.done in self.probe_at
        if seen is not None or regular or exploded_S.any():
            self._record(step, seen)

    def _explode(self, replicate: ReplicateResult) -> None:
        replicate.exploded = True
        if replicate.exploded_at is None:
            replicate.exploded_at = self.done

    def _freeze(self, failed: Mapping[str, Tensor]) -> Tensor:
        """Lanes that went non-finite at this update, by cause: now frozen."""
        failed_S = torch.zeros_like(self.alive_S)
        for cause, by_cause_S in failed.items():
            for lane in by_cause_S.nonzero().flatten().tolist():
                replicate = self.result.replicates[lane]
                replicate.outcome, replicate.cause = Outcome.DIVERGED, cause
                replicate.score = HIGHEST
                self._explode(replicate)
            failed_S |= by_cause_S
        self.alive_S &= ~failed_S
        return failed_S

    def _probe(self, lanes_S: Tensor) -> None:
        """Measure, judge and record the lanes in `lanes_S`; rows of the others are NaN."""
        context = ProbeContext(self.network, self.task, self.probe_batch, self.done)
        measured = [curve for name in self.spec.probe.measure for curve in choose(PROBES, name).load()(context)]
        for replicate, lane in zip(self.result.replicates, lanes_S.tolist(), strict=True):
            if lane:
                self._judge(replicate, measured)
        hidden = ~lanes_S.numpy()
        self.recorder.curves(self.done, [_without(curve, hidden) for curve in measured])

    def _judge(self, replicate: ReplicateResult, measured: list[Curve]) -> None:
        verdict = judge_lane(measured, replicate.number, self.task.lag, self.spec, self.network)
        if self.done == 0:
            replicate.verdict_init, replicate.decades_init = verdict.name, verdict.decades
        else:
            replicate.in_a_row = 1 + (replicate.in_a_row if verdict.name == replicate.verdict else 0)
        replicate.probed = self.done
        replicate.verdict, replicate.decades = verdict.name, verdict.decades
        replicate.slope, replicate.hump, replicate.horizon = verdict.slope, verdict.hump, verdict.horizon
        replicate.underflow, replicate.mixed = verdict.underflow, verdict.mixed
        replicate.verdict_by_r = {f"{r:g}": name for r, name in zip(SENSITIVITY, verdict.names_by_r, strict=False)}
        replicate.horizon_by_r = {f"{r:g}": lag for r, lag in zip(SENSITIVITY, verdict.horizons_by_r, strict=False)}
        replicate.fit, replicate.power = verdict.fit, verdict.power
        number = replicate.number
        for percent in percents(self.done, self.spec.budget.updates):
            loss = self.losses.score(number, self._baseline)
            replicate.signals[str(percent)] = signals_of(measured, number, self.task.lag, verdict, replicate, loss)
        self._probes_S[number] += 1
        self._healthy_S[number] += verdict.name == "healthy"
        replicate.healthy_share = float(self._healthy_S[number] / self._probes_S[number])

    def _evaluate(self) -> Evaluation:
        """Validation loss of the lanes that are alive: their score."""
        seen = evaluate(self.network, self.task, self.task.validation)
        for lane in self.alive_S.nonzero().flatten().tolist():
            replicate = self.result.replicates[lane]
            loss = float(seen.loss_S[lane])
            replicate.score = score_of(loss, self._baseline)
            replicate.accuracy = None if seen.accuracy_S is None else float(seen.accuracy_S[lane])
            if replicate.solved_at is None and self.task.success.met(loss, self._baseline, replicate.accuracy):
                replicate.solved_at = self.done
        return seen

    def _clip_statistics(self) -> None:
        for replicate in self.result.replicates:
            replicate.spikes = int(self.watch.spikes_S[replicate.number])
            updates = max(1, replicate.update)
            replicate.clip_rate = float(self._clipped_S[replicate.number]) / updates
            replicate.clip_coefficient = float(self._kept_S[replicate.number]) / updates

    def _record(self, step: Step, seen: Evaluation | None) -> None:
        """Tell this update's scalars; lanes that are frozen have none."""
        self._clip_statistics()
        results = self.result.replicates
        values = {
            "train_loss": step.loss_S.double().numpy(),
            "gradient_norm": step.norm_S.numpy(),
            "clip_rate": np.array([r.clip_rate for r in results]),
            "clip_coefficient": np.array([r.clip_coefficient for r in results]),
        }
        if step.penalty_S is not None:
            values["regulariser"] = step.penalty_S.numpy()
        if seen is not None:
            values |= _evaluation_scalars(seen)
            values["score"] = np.array([r.score for r in results])
        if self.done in self.probe_at:
            values["decades"] = np.array([r.decades for r in results])
        alive = self.alive_S.numpy()
        self.recorder.scalars(self.done, {name: np.where(alive, value, np.nan) for name, value in values.items()})

    def _finish(self, outcome: Outcome) -> None:
        """The end: outcomes, and the test split, once, for those who used the whole budget."""
        self._clip_statistics()
        self.result.done = True
        if outcome is Outcome.INTERRUPTED:
            self.result.end(outcome)
            return
        baseline = self.task.baseline("test")
        seen = evaluate(self.network, self.task, self.task.test)
        self._freeze({"loss": self.alive_S & ~seen.loss_S.isfinite()})
        self.result.end(outcome)
        for lane, replicate in enumerate(self.result.replicates):
            if replicate.outcome is Outcome.DIVERGED:
                replicate.test_score, replicate.accuracy = HIGHEST, None
                continue
            loss = float(seen.loss_S[lane])
            replicate.test_score = score_of(loss, baseline)
            replicate.accuracy = None if seen.accuracy_S is None else float(seen.accuracy_S[lane])
            replicate.solved = self.task.success.met(loss, baseline, replicate.accuracy)


def train(spec: TrialSpec, recorder: Recorder | None = None, stop: Callable[[], bool] | None = None) -> TrialResult:
    """Train a trial to its end: every replicate's outcome, score and verdict.

    Args:
        spec: what to train. recorder: who is told. stop: asked before every update whether to stop early.
    """
    trainer = Trainer(spec, recorder, stop)
    while not trainer.advance().done:
        pass
    return trainer.result


def judge_lane(measured: list[Curve], lane: int, lag: int, spec: TrialSpec, network: Network) -> Verdict:
    """The verdict of one lane at one probe: its worst layer's; in a layer, the state that verdicts read."""
    by_layer: dict[int, dict[str, Verdict]] = {}
    judged = network.cell.judged or ("h", network.cell.anchor_state)
    for curve in measured:
        if curve.kind == "anchor" and curve.state in judged:
            assert curve.layer is not None
            assert curve.state is not None
            verdict = curve.verdict(lag, lane, spec.probe.verdict)
            by_layer.setdefault(curve.layer, {})[curve.state] = verdict
    return worst(of_layer(by_state, network.cell.anchor_state) for by_state in by_layer.values())


def _without(curve: Curve, hidden_S: NDArray[np.bool_]) -> Curve:
    finite_SK = np.nan_to_num(curve.values_SK, nan=LARGEST, posinf=LARGEST)
    values = np.where(hidden_S[:, None], np.nan, finite_SK)
    exact = curve.exact_log10_SK
    if exact is not None:
        exact = np.where(hidden_S[:, None], np.nan, exact)
    return replace(curve, values_SK=values, exact_log10_SK=exact)


def _evaluation_scalars(seen: Evaluation) -> dict[str, NDArray[np.float64]]:
    scalars = {"validation_loss": seen.loss_S.numpy()}
    if seen.accuracy_S is not None:
        scalars["accuracy"] = seen.accuracy_S.numpy()
    return scalars
