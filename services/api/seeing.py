"""Records of the lab database as the API and the pages show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from services.api.models import EventSeen, SweepSeen, TrialSeen
from services.api.service import Service
from sweeps.store import EventRecord, SweepRecord, TrialRecord
from sweeps.store.paging import Counts, Paging


def sweeps_seen(service: Service, sweeps: Sequence[SweepRecord]) -> list[SweepSeen]:
    """Sweeps with their counts."""
    pages = Paging(service.queue.engine)
    counts, now = pages.counts_of([sweep.id for sweep in sweeps]), pages.now()
    return [_sweep(service, sweep, counts[sweep.id], now.timestamp()) for sweep in sweeps]


def sweep_seen(service: Service, id: str) -> SweepSeen:
    """One sweep with its counts.

    Raises:
        SpecError: there is none of that id.
    """
    return sweeps_seen(service, [service.queue.sweep(id)])[0]


def trial_seen(service: Service, sweep: SweepRecord, trial: TrialRecord) -> TrialSeen:
    """A trial with a link to its run."""
    run = trial.mlflow_run_id and sweep.mlflow_experiment_id
    link = f"{_dashboard(service)}/#/experiments/{sweep.mlflow_experiment_id}/runs/{trial.mlflow_run_id}"
    fields = set(TrialSeen.model_fields) - {"mlflow"}
    return TrialSeen(**trial.model_dump(include=fields), mlflow=link if run else None)


def event_seen(event: EventRecord) -> EventSeen:
    """An event."""
    return EventSeen(**event.model_dump(exclude={"sweep_id"}))


def _sweep(service: Service, sweep: SweepRecord, counts: Counts, now: float) -> SweepSeen:
    trials = _trials(sweep.id, sweep.spec_hash, json.dumps(sweep.spec))
    ends = sweep.ended_at.timestamp() if sweep.ended_at else now if sweep.status == "running" else None
    if ends is None and sweep.heartbeat_at is not None:
        ends = sweep.heartbeat_at.timestamp()
    seconds = None if sweep.started_at is None or ends is None else max(0.0, ends - sweep.started_at.timestamp())
    eta = None
    if sweep.status == "running" and counts.ended and seconds is not None:
        eta = seconds / counts.ended * (trials - counts.ended)
    link = f"{_dashboard(service)}/#/experiments/{sweep.mlflow_experiment_id}"
    return SweepSeen(
        id=sweep.id,
        name=sweep.name,
        description=str(sweep.spec.get("description", "")),
        status=sweep.status,
        lost=sweep.lost,
        launched_by=sweep.launched_by,
        trials=trials,
        ended=counts.ended,
        running=counts.by_state.get("running", 0) if sweep.status == "running" else 0,
        by_verdict=counts.by_verdict,
        by_state=counts.by_state,
        best_score=counts.best,
        created_at=sweep.created_at,
        started_at=sweep.started_at,
        ended_at=sweep.ended_at,
        seconds=seconds,
        eta_seconds=eta,
        stop_requested=sweep.stop_requested,
        message=sweep.message,
        recording=None,
        mlflow=link if sweep.mlflow_experiment_id else None,
        workers=sweep.workers,
        attempts=sweep.attempts,
    )


def _dashboard(service: Service) -> str:
    return (service.settings.mlflow_public or "/mlflow").rstrip("/")


@lru_cache(maxsize=1000)
def _trials(id: str, spec_hash: str, spec: str) -> int:
    """Trials that a sweep will have; kept, since a design's table takes a while to make."""
    from sweeps.spec import SweepSpec

    return SweepSpec.model_validate_json(spec).trials
