"""What MLflow must say of a trial, from the lab database alone: for those who compare it and those who write it."""

from __future__ import annotations

from typing import Any

from rnnlab.probes.schedule import probe_updates
from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from rnnlab.training.stack import RECORDS
from sweeps.checking.sides import LabSide
from sweeps.recording import names
from sweeps.recording.finals import finals_of
from sweeps.recording.messages import TrialOver
from sweeps.search.tell import MEANINGS
from sweeps.store import TrialResult

STATUS: dict[str, str] = {"running": "RUNNING", **{meaning.lab: meaning.mlflow for meaning in MEANINGS.values()}}
"""MLflow's status of a run, by its trial's state."""
PARENT = {"running": "RUNNING", "finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
"""MLflow's status of the parent run, by the sweep's."""
NO_RESULT = {"cause", "worker"}
"""Fields of the lab database's `TrialResult` that a trial's result does not have."""


def result_of(lab: LabSide, number: int) -> dict[str, Any]:
    """A trial's result as its `result.json` has it; nothing of one that has none."""
    replicates = lab.replicates.get(number, ())
    if not replicates:
        return {}
    plain = lab.trials[number].model_dump(include=set(TrialResult.model_fields) - NO_RESULT)
    parts = [{**one.model_dump(exclude={"trial", "features"}), **one.features} for one in replicates]
    return {**plain, "outcome": outcome_of(lab, number), "replicates": parts}


def outcome_of(lab: LabSide, number: int) -> str:
    """A trial's outcome, which tells `finished` from `diverged`."""
    state = lab.trials[number].state
    if state != "complete":
        return state
    outcomes = {replicate.outcome for replicate in lab.replicates.get(number, ())}
    return Outcome.DIVERGED if outcomes == {"diverged"} else Outcome.FINISHED


def tags_of(lab: LabSide, number: int) -> dict[str, str | None]:
    """Tags of a trial's run as it stands; None: it has none of that name."""
    trial = lab.trials[number]
    tags: dict[str, str | None] = {
        names.SWEEP_ID: lab.sweep.id,
        names.TRIAL: str(number),
        names.CONFIG_HASH: trial.config_hash,
        names.BLOCK: str(trial.block),
        names.OUTCOME: str(outcome_of(lab, number)),
        names.CAUSE: trial.cause or None,
    }
    if trial.worker:
        tags[names.WORKER] = trial.worker
    if lab.replicates.get(number):
        tags |= {names.VERDICT: trial.verdict, names.VERDICT_INIT: trial.verdict_init}
        tags[names.EXPLODED] = str(trial.exploded)
    return tags


def finals_in(lab: LabSide, number: int) -> dict[str, float]:
    """Final metrics of a trial; none of one that has not ended, or may be resumed."""
    if lab.trials[number].state in ("running", "interrupted"):
        return {}
    result = result_of(lab, number)
    return finals_of(result) if result else {}


def over_of(lab: LabSide, number: int, finals: dict[str, float]) -> TrialOver:
    """The message that ends a trial, as its driver sent it.

    Args:
        finals: those that MLflow lacks; one that it has would stand there twice.
    """
    trial = lab.trials[number]
    ended = trial.ended_at or trial.started_at
    tags = {name: value for name, value in tags_of(lab, number).items() if value is not None}
    milliseconds = int(ended.timestamp() * 1000)
    return TrialOver(number, STATUS[trial.state], milliseconds, trial.updates, finals, tags, result_of(lab, number))


def known_until(lab: LabSide, number: int) -> int:
    """The last update of which everything was on the recorder's disk: that of the last report."""
    return max((report.update for report in lab.reports.get(number, ())), default=0)


def died(lab: LabSide, number: int) -> bool:
    """Whether a replicate diverged at the trial's very last update: then that one has not all its numbers."""
    last = known_until(lab, number)
    return any(one.outcome == "diverged" and one.update >= last for one in lab.replicates.get(number, ()))


def recorded(spec: TrialSpec, until: int) -> set[int]:
    """Updates up to `until` whose scalars a trial records for certain: see `Trainer`."""
    updates = spec.budget.updates
    every = max(1, updates // RECORDS)
    marks = {*range(every, updates + 1, every), *probe_updates(spec.probe.schedule, updates)}
    marks |= evaluated(spec)
    return {mark for mark in marks if 0 < mark <= until}


def evaluated(spec: TrialSpec) -> set[int]:
    """Updates at which a trial is evaluated: see `Trainer`."""
    updates, parts = spec.budget.updates, spec.budget.evaluations
    return {-(-updates * part // parts) for part in range(1, parts + 1)}


def probed(spec: TrialSpec, until: int) -> set[int]:
    """Updates up to `until` at which a trial's curves are measured for certain."""
    return {0} | {mark for mark in probe_updates(spec.probe.schedule, spec.budget.updates) if mark <= until}
