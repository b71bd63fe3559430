"""The lab database: the only truth about sweeps, trials, replicates, blocks, outcomes, events and leases.

Rows stay in this room; what comes out are frozen records. Importing it loads neither torch, ray, mlflow,
optuna nor alembic.
"""

from sweeps.store.lab import Lab
from sweeps.store.records import (
    BlockRecord,
    EventRecord,
    Outcome,
    ReplicateRecord,
    ReportRecord,
    SweepRecord,
    SweepStatus,
    TrialRecord,
    TrialResult,
    TrialState,
)
from sweeps.store.sessions import lab_url, open_engine

__all__ = [
    "BlockRecord",
    "EventRecord",
    "Lab",
    "Outcome",
    "ReplicateRecord",
    "ReportRecord",
    "SweepRecord",
    "SweepStatus",
    "TrialRecord",
    "TrialResult",
    "TrialState",
    "lab_url",
    "open_engine",
]
