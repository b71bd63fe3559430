"""The books of a sweep: whatever happens to a trial goes to the lab database, the recorder and the watcher."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.errors import PlaceError
from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from rnnlab.training.seeding import replicate_seed, seed_of
from sweeps.home import CHECKPOINT_FILE, ENDED_FILE, trial_folder
from sweeps.recording import names
from sweeps.recording.finals import finals_of
from sweeps.recording.messages import TrialBegun, TrialOver
from sweeps.recording.sending import PATIENCE, tell
from sweeps.running.progress import SHOWN, SweepProgress, TrialProgress, Watcher, trial_label
from sweeps.search.past import JUDGED
from sweeps.search.stages import Slot
from sweeps.search.tell import MEANINGS
from sweeps.space.dimensions import Picks, Value
from sweeps.spec import SweepSpec
from sweeps.store import Lab, ReplicateRecord, TrialRecord, TrialResult

FEATURES = ("clip_coefficient", "verdict_by_r", "horizon_by_r", "fit", "power", "signals", "probed", "in_a_row")
"""Fields of a replicate's result without a column of their own: the lab database keeps them as features."""
OUTCOMES = {"complete": Outcome.FINISHED, "pruned": Outcome.PRUNED, "failed": Outcome.FAILED}
"""Outcome of a trial that has ended, by its state in the lab database."""
IN_LABELS = {*names.MITIGATIONS, "optimiser"}
"""Dimensions that `trial_label` names."""


class Books:
    """Keeps the books on the driver; the only writer of trials, replicates and outcomes.

    Args:
        sweep_id: whose. spec: the sweep. lab: the lab database, its lease held.
        recorder: handle of the recorder actor. watcher: who is shown the progress. folder: the sweep's.
    """

    def __init__(self, sweep_id: str, spec: SweepSpec, lab: Lab, recorder: Any, watcher: Watcher, folder: Path) -> None:
        self.folder = folder
        self.sweep_id, self.spec, self.lab, self.recorder, self.watcher = (
            sweep_id,
            spec,
            lab,
            recorder,
            watcher,
        )
        self.progress = SweepProgress(sweep_id, spec.trials)
        self.causes: dict[int, str] = {}
        """Why the pruner ended a trial, by number."""
        self.how_died: Callable[[int], tuple[Outcome, str]] = lambda _: (Outcome.FAILED, "its worker process died")
        """How a trial ended whose workers died, by number."""
        self.stopping = False
        """A stop was asked for: trials that end without having used their budget are interrupted."""
        self.closing = False
        """Training is over and the end is being recorded."""
        self.patience = PATIENCE
        """Seconds for the recorder to take a message."""
        self.runs: dict[int, str] = {}
        """MLflow's run of every trial, as the lab database knows it."""
        self._lags: dict[str, int] = {}
        self._left: dict[int, TrialRecord] = {}

    def take_over(self, trials: Sequence[TrialRecord]) -> None:
        """Trials of an earlier driver, as rows of the progress; those that have not ended wait to be begun again."""
        self.runs |= {trial.number: trial.mlflow_run_id for trial in trials if trial.mlflow_run_id}
        for trial in trials:
            if trial.state in OUTCOMES:
                row = TrialProgress(trial.number, trial.label, self.spec.budget.updates, trial.updates)
                row.outcome, row.cause, row.worker = OUTCOMES[trial.state], trial.cause, trial.worker or ""
                row.result = None if trial.score is None else {name: getattr(trial, name) for name in SHOWN}
                self.progress.end(row)
            if trial.state == "running":
                self._left[trial.number] = trial

    def leave(self) -> None:
        """Interrupt what a driver that died had begun and this one did not come to: nothing dead stays running."""
        for number, trial in list(self._left.items()):
            spec = self.spec.trial(number, trial.params)
            begun = self.begun(self.spec.stages.slot(number), trial.started_at, trial.label, trial.params, spec)
            tell(self.recorder, begun, self.patience)  # the driver may have died before the recorder had it
            self.progress.begin(TrialProgress(number, trial.label, spec.budget.updates, trial.updates))
            self.end(number, None, error=False)
            del self._left[number]

    def begin(self, number: int, tune_id: str, picks: Picks, trial: TrialSpec) -> None:
        """Trial `number` is about to start."""
        seed = seed_of("block", trial.seed, trial.block)
        # what a block or a refinement picks is no part of an arm's name
        label = trial_label(trial, [name for name in picks if name not in self.spec.search.nuisance])
        slot = self.spec.stages.slot(number)
        self.lab.add_block(self.sweep_id, trial.block, seed, self.spec.stages.nuisance(slot))
        started = self.lab.start_trial(
            self.sweep_id,
            number,
            block=trial.block,
            config_hash=trial.config_hash,
            label=label,
            params=picks,
            spec=trial.model_dump(mode="json"),
            tune_trial_id=tune_id,
        ).started_at
        self._left.pop(number, None)
        self.progress.begin(TrialProgress(number, label, trial.budget.updates))
        # on the recorder's disk before the trial starts: a worker's messages may overtake the driver's
        tell(self.recorder, self.begun(slot, started, label, picks, trial), self.patience)
        self.watcher.changed(self.progress)

    def report(self, number: int, result: dict[str, Any]) -> None:
        """A trial told how far it is."""
        if "failed" in result:
            return
        judged = {name: result.get(name) for name in JUDGED}
        self.lab.report(self.sweep_id, number, result["updates"], result["score"], **judged)
        row = self.progress.trials[number]
        row.updates, row.result = result["updates"], json.loads(result["trial_result"])
        self.watcher.changed(self.progress)

    def split(self, number: int, why: str) -> None:
        """A trial and those beside it go on one by one."""
        self.progress.notice = why
        self.lab.event(self.sweep_id, "stack_split", f"trial {number}: {why}", trial=number)
        self.watcher.changed(self.progress)

    def end(self, number: int, result: dict[str, Any] | None, error: bool) -> tuple[Outcome, float | None]:
        """A trial ended; its outcome, inferred from the updates done, and its score.

        Raises:
            PlaceError: its worker could not write or record: that is no result of the trial, and stops the sweep.
        """
        if result is not None and "place" in result:
            raise PlaceError(result["place"])
        row = self.progress.trials[number]
        if result is not None and "trial_result" in result:
            row.result, row.updates = json.loads(result["trial_result"]), result["updates"]
        row.worker = (result or {}).get("worker", row.worker)
        row.outcome, row.cause = self._outcome(row, result, error)
        if row.outcome is Outcome.FAILED:
            self.lab.event(self.sweep_id, "trial_failed", f"trial {number}: {row.cause}", trial=number)
        if result is not None and "weights_lost" in result:
            said = f"trial {number}: its weights are not kept ({result['weights_lost']})"
            self.lab.event(self.sweep_id, "weights_lost", said, trial=number)
        self._close(row)
        self.progress.end(row)
        self.watcher.changed(self.progress)
        return row.outcome, row.result["score"] if row.result else None

    def _outcome(self, row: TrialProgress, result: dict[str, Any] | None, error: bool) -> tuple[Outcome, str | None]:
        if result is not None and "failed" in result:
            return Outcome.FAILED, result["failed"]
        if error:
            return self.how_died(row.number)
        # not Tune's own `done`: it is set on the last result of a trial that a pruner ended, too
        if row.result is not None and row.result["outcome"] != Outcome.RUNNING:
            return Outcome(row.result["outcome"]), None
        if self.stopping:
            return Outcome.INTERRUPTED, "the sweep was stopped"
        return Outcome.PRUNED, self.causes.get(row.number)

    def _close(self, row: TrialProgress) -> None:
        """Write how a trial ended, to the lab database and to the recorder."""
        result = row.result
        replicates: list[dict[str, Any]] = []
        if result is not None:
            replicates = [
                {**r, "outcome": row.outcome.value} if r["outcome"] == Outcome.RUNNING else r
                for r in result["replicates"]
            ]
            result = row.result = {**result, "replicates": replicates, "outcome": row.outcome.value}
        meaning = MEANINGS[row.outcome]
        known = set(TrialResult.model_fields) & set(result or {})
        self.lab.end_trial(
            self.sweep_id,
            row.number,
            meaning.lab,
            TrialResult(**{name: (result or {})[name] for name in known}, cause=row.cause, worker=row.worker or None),
            [_replicate(row.number, r) for r in replicates],
        )
        tags = {names.OUTCOME: row.outcome.value, **({names.CAUSE: row.cause} if row.cause else {})}
        if result is not None:
            tags[names.VERDICT], tags[names.VERDICT_INIT] = result["verdict"], result["verdict_init"]
            tags[names.EXPLODED] = str(result["exploded"])
        if row.worker:
            tags[names.WORKER] = row.worker
        over = TrialOver(
            row.number,
            meaning.mlflow,
            int(time.time() * 1000),
            row.updates,
            finals_of(result) if result is not None else {},
            tags,
            result or {},
        )
        tell(self.recorder, over, self.patience)
        if row.outcome is not Outcome.INTERRUPTED:
            if self.spec.resources.stack > 1:
                with (self.folder / ENDED_FILE).open("a") as file:
                    file.write(f"{row.number}\n")
            home = trial_folder(self.folder, row.number)
            (home / CHECKPOINT_FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds weights or curves
                home.rmdir()

    def begun(self, slot: Slot, started: datetime, label: str, picks: Picks, trial: TrialSpec) -> TrialBegun:
        """What the recorder is told of a trial's beginning; `started`: of its first attempt, in UTC."""
        seeds = [replicate_seed(trial.seed, trial.block, r) for r in range(trial.replicates)]
        task_key = trial.task.model_dump_json()
        if task_key not in self._lags:
            from rnnlab.training.stack import load_task

            self._lags[task_key] = load_task(trial).lag
        purpose = self._purpose(slot, label, picks)
        block = f", block {slot.block}" if purpose else ""
        return TrialBegun(
            trial=slot.number,
            name=f"{slot.number:03} {label}{block}",
            # of the first attempt: a point that is sent again after a restart is then the same point
            started_ms=int(started.timestamp() * 1000),
            params=params_of(trial),
            tags={
                names.CONFIG_HASH: trial.config_hash,
                names.BLOCK: str(trial.block),
                names.SEEDS: ",".join(map(str, seeds)),
                names.OUTCOME: Outcome.RUNNING.value,
                **purpose,
            },
            spec_yaml=trial.to_yaml(),
            state=choose(CELLS, trial.model.cell.kind).load().anchor_state,
            depth=trial.model.depth,
            lag=self._lags[task_key],
        )

    def _purpose(self, slot: Slot, label: str, picks: Picks) -> dict[str, str]:
        """Tags of a design's trial: its stage, its arm in words, and the nuisance values."""
        if not self.spec.stages.designed:
            return {}
        shown = [d.name for d in self.spec.parsed_space.dimensions if d.name in picks]
        varied = {d.name for d in self.spec.parsed_space.dimensions if d.grid is None} | {*self.spec.search.nuisance}
        others = [f"{name} {picks[name]}" for name in shown if name not in {*IN_LABELS, *varied}]
        drawn = ", ".join(f"{name} {_short(picks[name])}" for name in shown if name in varied)
        tags = {names.STAGE: slot.stage, names.ARM: ", ".join([label, *others])}
        return tags | ({names.NUISANCE: drawn} if drawn else {})


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def params_of(trial: TrialSpec) -> dict[str, Any]:
    """MLflow's params of a trial: every name of `PARAMS` that it has, the task's options, and its size."""
    plain = trial.model_dump(mode="python")
    params: dict[str, Any] = {}
    for name, (section, field) in names.PARAMS.items():
        value = getattr(getattr(trial, section), field, None)
        value = plain[section].get(field) if value is None else value
        quiet = field in getattr(trial, section).quiet and field not in plain[section]
        if value is not None and not quiet:
            params[name] = getattr(value, "label", value)
    params["task"] = trial.task.kind
    params |= {f"task.{name}": value for name, value in trial.task.options.items() if value is not None}
    return params | {"updates": trial.budget.updates, "replicates": trial.replicates, "seed": trial.seed}


def _replicate(trial: int, result: dict[str, Any]) -> ReplicateRecord:
    features = {name: result[name] for name in FEATURES}
    fields = {name: value for name, value in result.items() if name not in FEATURES}
    return ReplicateRecord(trial=trial, features=features, **fields)
