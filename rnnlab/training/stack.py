"""Training trials side by side: all replicates of all trials are lanes of one network; most often it is one trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlab.architecture import noise
from rnnlab.choices import choose
from rnnlab.clipping import CLIPS
from rnnlab.clipping.base import Clip
from rnnlab.model import Network, build
from rnnlab.probes import PROBES
from rnnlab.probes.context import ProbeContext
from rnnlab.probes.schedule import probe_updates
from rnnlab.recorder import NullRecorder, Recorder
from rnnlab.regularisers import REGULARISERS
from rnnlab.regularisers.base import Regulariser
from rnnlab.spec import TrialSpec
from rnnlab.tasks import TASKS
from rnnlab.tasks.base import Task
from rnnlab.training import OPTIMISERS
from rnnlab.training.explosion import ExplosionWatch
from rnnlab.training.judging import judge_lane, note, told
from rnnlab.training.optimiser import Optimiser
from rnnlab.training.outcome import Outcome, ReplicateResult, TrialResult, score_of
from rnnlab.training.scale import HIGHEST
from rnnlab.training.seeding import generator_for, replicate_seed
from rnnlab.training.shape import shape_of
from rnnlab.training.signals import LossMemory, percents, signals_of
from rnnlab.training.step import Evaluation, Step, evaluate, update

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


class Stack:
    """Trials of one shape in training. `train_on` goes on to the next evaluation, so that a caller can report and stop.

    Everything random comes from the replicates' own generators: a lane's numbers do not depend on the others, nor a
    trial's on those beside it (to rounding, since a product over more lanes may be summed in another order).
    A replicate whose state, loss or gradient goes non-finite in training is frozen as it was before that
    update, one whose optimiser, validation loss or test loss does as it then is; the others go on.

    Args:
        specs: what to train, of one shape (`shape_of`). The lanes of the i-th are `rows(i)`.
        recorders: who is told, one a trial; None: nobody.
        stop: asked before every update; once it says True, the replicates that still run are interrupted.
        device: where parameters, batches and probes are. What is counted and drawn stays on the CPU.

    Raises:
        ValueError: the trials have not one shape.
    """

    def __init__(
        self,
        specs: Sequence[TrialSpec],
        recorders: Sequence[Recorder] | None = None,
        stop: Callable[[], bool] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if len({shape_of(spec) for spec in specs}) != 1:
            raise ValueError("trials side by side must have one shape (rnnlab.training.shape), and there must be one")
        self.specs, self.shared = list(specs), specs[0]
        self.recorders = recorders or [NullRecorder()] * len(specs)
        self.stop = stop or (lambda: False)
        self.device, shared = torch.device(device), self.shared
        self.task = load_task(shared)
        self.results = [
            TrialResult(
                [ReplicateResult(n, replicate_seed(s.seed, s.block, n)) for n in range(s.replicates)], 0, 0.0, 0.0
            )
            for s in specs
        ]
        seeds = [replicate.seed for replicate in self.replicates]
        models = [spec.model for spec in specs for _ in range(shared.replicates)]
        task = self.task
        self.network: Network = build(models, task.inputs, task.outputs, task.length, seeds, self.device)
        self.clip = self._clip()
        regulariser = shared.optim.regulariser
        self.regulariser: Regulariser = choose(REGULARISERS, regulariser.kind).load()(**regulariser.options)
        optimiser = choose(OPTIMISERS, shared.optim.kind).load()
        lr_S = self._by_lane([spec.optim.lr for spec in specs])
        self.optimiser: Optimiser = optimiser(self.network.theta.data, lr_S, **shared.optim.options)
        self.streams = [generator_for("data", seed) for seed in seeds]
        self.alive_S = torch.ones(len(seeds), dtype=torch.bool)
        self._baseline = task.baseline("validation")
        self.watch = ExplosionWatch(len(seeds), shared.probe.exploded)
        self.done = 0
        """Updates done."""
        updates = shared.budget.updates
        self.probe_at = set(probe_updates(shared.probe.schedule, updates))
        self.evaluate_at = {
            -(-updates * part // shared.budget.evaluations) for part in range(1, shared.budget.evaluations + 1)
        }
        self.record_every = max(1, updates // RECORDS)
        self._validation = task.validation.to(self.device)
        self.probe_batch = self._validation.first(shared.probe.batch)
        self._probes_S = np.zeros(len(seeds))
        self._healthy_S = np.zeros(len(seeds))
        self._clipped_S = torch.zeros(len(seeds), dtype=torch.float64)
        self._kept_S = torch.zeros(len(seeds), dtype=torch.float64)
        self.losses = LossMemory()
        self._since = time.perf_counter(), time.process_time()

    def rows(self, trial: int) -> slice:
        """The lanes of one trial."""
        return slice(trial * self.shared.replicates, (trial + 1) * self.shared.replicates)

    @property
    def replicates(self) -> list[ReplicateResult]:
        """The result of every lane."""
        return [replicate for result in self.results for replicate in result.replicates]

    @property
    def running(self) -> list[int]:
        """Which trials have not ended."""
        return [trial for trial, result in enumerate(self.results) if not result.done]

    def train_on(self) -> None:
        """Train to the next evaluation, or to the end."""
        began = self.running
        if self.done == 0 and not self._probes_S.any():  # one that is taken up again has been probed
            self._probe(self.alive_S)
        while self.running:
            if self.stop():
                self._finish(Outcome.INTERRUPTED, self.running)
                break
            self._update()
            if dead := [trial for trial in self.running if not self.alive_S[self.rows(trial)].any()]:
                self._finish(Outcome.DIVERGED, dead)
            if self.done == self.shared.budget.updates:
                self._finish(Outcome.FINISHED, self.running)
            elif self.done in self.evaluate_at:
                break
        self._count_time(began)

    def _count_time(self, trials: Sequence[int]) -> None:
        """Give what has gone by to the trials that were trained: side by side each has a share of it."""
        now = time.perf_counter(), time.process_time()
        for trial in trials:
            result = self.results[trial]
            result.updates = self.done if not result.done else result.updates
            result.seconds += (now[0] - self._since[0]) / len(trials)
            result.cpu_seconds += (now[1] - self._since[1]) / len(trials)
        self._since = now

    def _by_lane(self, values: Sequence[float]) -> Tensor:
        """A value a trial as one a lane, (S,), float64."""
        return torch.tensor(values, dtype=torch.float64).repeat_interleave(self.shared.replicates)

    def _clip(self) -> Clip:
        """The clip; of several trials with the option that a lane may have of its own as (S,)."""
        chosen = self.shared.optim.clip
        line, options = choose(CLIPS, chosen.kind), dict(chosen.options)
        if line.by_lane and len(self.specs) > 1:
            own = [spec.optim.clip.options[line.by_lane] for spec in self.specs]
            options[line.by_lane] = self._by_lane([torch.inf if value is None else value for value in own])
        clip: Clip = line.load()(**options)
        clip.attach(self.network)
        clip.place(self.device)
        return clip

    def _update(self) -> None:
        batches = [self.task.draw(stream, self.shared.optim.batch) for stream in self.streams]
        self.done += 1
        replicates, running = self.replicates, self.running
        seeds = [replicate.seed for replicate in replicates]
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
            checkpointing=self.shared.optim.gradient_checkpointing,
        )
        self.losses.see(step.loss_S.detach().double())
        exploded_S = self.watch.see(step.norm_S, step.applied_S) | step.skipped_S
        # a lane that is frozen counts no more
        self._clipped_S += self.alive_S & (step.kept_S < 1 - 1e-6)
        self._kept_S += torch.where(self.alive_S, step.kept_S, 0.0)
        for replicate, alive, exploded in zip(replicates, self.alive_S.tolist(), exploded_S.tolist(), strict=True):
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
        regular = seen is not None or self.done % self.record_every == 0 or self.done in self.probe_at
        heard = [trial for trial in running if regular or exploded_S[self.rows(trial)].any()]
        if heard:
            self._record(step, seen, heard)

    def _explode(self, replicate: ReplicateResult) -> None:
        replicate.exploded = True
        if replicate.exploded_at is None:
            replicate.exploded_at = self.done

    def _freeze(self, failed: Mapping[str, Tensor]) -> Tensor:
        """Lanes that went non-finite at this update, by cause: now frozen."""
        failed_S = torch.zeros_like(self.alive_S)
        for cause, by_cause_S in failed.items():
            for lane in by_cause_S.nonzero().flatten().tolist():
                replicate = self.replicates[lane]
                replicate.outcome, replicate.cause = Outcome.DIVERGED, cause
                replicate.score = HIGHEST
                self._explode(replicate)
            failed_S |= by_cause_S
        self.alive_S &= ~failed_S
        return failed_S

    def _probe(self, lanes_S: Tensor) -> None:
        """Measure, judge and record the lanes in `lanes_S`; rows of the others are NaN."""
        context = ProbeContext(self.network, self.task, self.probe_batch, self.done)
        measured = [curve for name in self.shared.probe.measure for curve in choose(PROBES, name).load()(context)]
        verdicts, cell = self.shared.probe.verdict, self.network.cell
        replicates = self.replicates
        for lane in lanes_S.nonzero().flatten().tolist():
            verdict = judge_lane(measured, lane, self.task.lag, verdicts, cell)
            note(replicates[lane], verdict, self.done)
            for percent in percents(self.done, self.shared.budget.updates):
                loss = self.losses.score(lane, self._baseline)
                signals = signals_of(measured, lane, self.task.lag, verdict, replicates[lane], loss)
                replicates[lane].signals[str(percent)] = signals
            self._probes_S[lane] += 1
            self._healthy_S[lane] += verdict.name == "healthy"
            replicates[lane].healthy_share = float(self._healthy_S[lane] / self._probes_S[lane])
        hidden_S = ~lanes_S.numpy()
        for trial, recorder in enumerate(self.recorders):
            rows = self.rows(trial)
            if not hidden_S[rows].all():
                recorder.curves(self.done, [told(curve, rows, hidden_S) for curve in measured])

    def _evaluate(self) -> Evaluation:
        """Validation loss of the lanes that are alive: their score."""
        seen = evaluate(self.network, self.task, self._validation)
        replicates = self.replicates
        for lane in self.alive_S.nonzero().flatten().tolist():
            replicate = replicates[lane]
            loss = float(seen.loss_S[lane])
            replicate.score = score_of(loss, self._baseline)
            replicate.accuracy = None if seen.accuracy_S is None else float(seen.accuracy_S[lane])
            if replicate.solved_at is None and self.task.success.met(loss, self._baseline, replicate.accuracy):
                replicate.solved_at = self.done
        return seen

    def _clip_statistics(self) -> None:
        for lane, replicate in enumerate(self.replicates):
            replicate.spikes = int(self.watch.spikes_S[lane])
            updates = max(1, replicate.update)
            replicate.clip_rate = float(self._clipped_S[lane]) / updates
            replicate.clip_coefficient = float(self._kept_S[lane]) / updates

    def _record(self, step: Step, seen: Evaluation | None, trials: Sequence[int]) -> None:
        """Tell these trials' scalars of this update; lanes that are frozen have none."""
        self._clip_statistics()
        results = self.replicates
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
        shown = {name: np.where(alive, value, np.nan) for name, value in values.items()}
        for trial in trials:
            rows = self.rows(trial)
            self.recorders[trial].scalars(self.done, {name: value[rows] for name, value in shown.items()})

    def _finish(self, outcome: Outcome, trials: Sequence[int]) -> None:
        """The end: outcomes, and the test split, once, for those who used the whole budget."""
        self._clip_statistics()
        seen = None
        if outcome is Outcome.FINISHED and trials:
            seen = evaluate(self.network, self.task, self.task.test.to(self.device))
            self._freeze({"loss": self.alive_S & ~seen.loss_S.isfinite()})
        for trial in trials:
            result, first = self.results[trial], self.rows(trial).start
            result.done, result.updates = True, self.done
            result.end(outcome)
            if outcome is not Outcome.INTERRUPTED:
                for lane, replicate in enumerate(result.replicates, first):
                    self._tested(replicate, seen, lane)

    def _tested(self, replicate: ReplicateResult, seen: Evaluation | None, lane: int) -> None:
        """Write what a replicate came to on the test split."""
        if replicate.outcome is Outcome.DIVERGED or seen is None:
            replicate.test_score, replicate.accuracy = HIGHEST, None
            return
        baseline = self.task.baseline("test")
        loss = float(seen.loss_S[lane])
        replicate.test_score = score_of(loss, baseline)
        replicate.accuracy = None if seen.accuracy_S is None else float(seen.accuracy_S[lane])
        replicate.solved = self.task.success.met(loss, baseline, replicate.accuracy)


def _evaluation_scalars(seen: Evaluation) -> dict[str, NDArray[np.float64]]:
    scalars = {"validation_loss": seen.loss_S.numpy()}
    if seen.accuracy_S is not None:
        scalars["accuracy"] = seen.accuracy_S.numpy()
    return scalars
