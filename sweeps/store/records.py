"""What goes into and comes out of the lab database: frozen records, never a row.

A field is None where nothing was measured. Times are aware and in UTC; norms and scores are as SCIENCE.md
and DESIGN.md define them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SweepStatus = Literal["queued", "running", "stopped", "failed", "finished"]
"""Where a sweep is. `stopped` can be resumed; so can `failed`."""
TrialState = Literal["running", "complete", "pruned", "interrupted", "failed"]
"""Where a trial is. `running` and `interrupted` trials are taken up again by a resumed sweep."""
Outcome = Literal["finished", "diverged", "pruned", "interrupted", "failed"]
"""How a replicate ended."""


class Record(BaseModel):
    """A frozen record that refuses extra keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class SweepRecord(Record):
    """A sweep, as it stood when it was read."""

    id: str
    name: str
    status: SweepStatus
    """`stopped` also where the row says running but its driver is dead; then `lost` is true."""
    lost: bool = False
    """The driver died without ending the sweep."""
    spec: dict[str, Any]
    spec_hash: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    driver_host: str | None = None
    driver_pid: int | None = None
    heartbeat_at: datetime | None = None
    stop_requested: bool = False
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None
    message: str | None = None
    """Why it failed or stopped."""
    launched_by: str | None = None
    """Name of the token that launched it; None from a command line or a service without tokens."""
    idempotency_key: str | None = None
    """A launch repeated with this key is this sweep."""
    workers: int | None = None
    """Trials at a time that its launcher asked for."""
    job_id: str | None = None
    """Of the service's last job that ran it."""
    attempts: int = 0
    """Jobs that the service has started for it."""


class BlockRecord(Record):
    """One draw of the nuisance values, shared by all arms."""

    sweep_id: str
    number: int
    seed: int
    nuisance: dict[str, Any]


class TrialResult(Record):
    """What a trial ended with."""

    score: float | None = None
    """Mean score over the replicates, log10 of loss over trivial baseline."""
    score_sd: float | None = None
    test_score: float | None = None
    verdict: str | None = None
    """The last probe's, most frequent over replicates."""
    verdict_init: str | None = None
    """Update 0's."""
    decades: float | None = None
    """D of the last probe, in powers of ten."""
    decades_init: float | None = None
    exploded: int = 0
    """Replicates that exploded."""
    solved: int = 0
    """Replicates that solved the task."""
    healthy: int = 0
    """Replicates that were healthy and did not explode."""
    cause: str | None = None
    """Why it failed or was cut short."""
    seconds: float | None = None
    """Wall time, all attempts together."""
    cpu_seconds: float | None = None
    updates: int = 0
    """Optimiser updates done."""
    worker: str | None = None
    """Host and process that trained it last."""


class TrialRecord(TrialResult):
    """A trial with its result so far, as it stood when it was read."""

    sweep_id: str
    number: int
    """Optuna's number."""
    block: int
    config_hash: str
    label: str
    """A name that people read."""
    params: dict[str, Any]
    """The space's picks."""
    spec: dict[str, Any]
    state: TrialState
    tune_trial_id: str | None = None
    mlflow_run_id: str | None = None
    started_at: datetime
    ended_at: datetime | None = None


class ReplicateRecord(Record):
    """One seed of a trial and how it ended."""

    trial: int
    """The trial's number."""
    number: int
    seed: int
    outcome: Outcome
    cause: str | None = None
    update: int = 0
    """The update it ended at."""
    score: float | None = None
    test_score: float | None = None
    solved: bool = False
    accuracy: float | None = None
    """Share of right answers on the test split; None where the task has no classes."""
    verdict: str | None = None
    verdict_init: str | None = None
    decades: float | None = None
    decades_init: float | None = None
    slope: float | None = None
    """Theil-Sen slope of ln G2 by lag."""
    hump: float | None = None
    """log10 of the largest norm over the norm at the first lag."""
    horizon: int | None = None
    """H_r, in lags; None where the norm never falls that far."""
    underflow: bool = False
    mixed: bool = False
    """The verdicts on h and on c differ."""
    exploded: bool = False
    exploded_at: int | None = None
    """The update of the first explosion."""
    spikes: int = 0
    """Pre-clip norms that passed the threshold while the applied gradient did not."""
    healthy_share: float | None = None
    """Share of probes that were healthy."""
    clip_rate: float | None = None
    """Share of updates at which the clip changed the gradient."""
    solved_at: int | None = None
    """The first evaluation, in updates, at which the task's criterion held on the validation split."""
    features: dict[str, Any] = {}
    """Further scalar features, by name."""


class ReportRecord(Record):
    """What a trial told while it ran; of its probes nothing where an rnnlab before 0004 wrote it."""

    trial: int
    """The trial's number."""
    update: int
    score: float
    verdict: str | None = None
    """The last probe's, most frequent over replicates."""
    decades: float | None = None
    """D of that probe, median over replicates."""
    probed: int | None = None
    """Its update."""
    in_a_row: int | None = None
    """Probes in a row up to it, update 0's left out, at which a majority of the replicates had this verdict."""


class EventRecord(Record):
    """Something that happened to a sweep."""

    id: int
    sweep_id: str
    at: datetime
    kind: str
    message: str
    data: dict[str, Any]
