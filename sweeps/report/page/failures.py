"""Trials that failed and replicates that did not finish."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sweeps.home import ERROR_FILE
from sweeps.report.page.subject import Subject

MOST = 200
"""Rows that are listed."""


@dataclass(frozen=True)
class Failure:
    """One line of the list; None where a failed trial has none."""

    trial: int
    replicate: int | None
    label: str
    outcome: str
    cause: str
    update: int | None


def failures_of(subject: Subject) -> tuple[list[Failure], int]:
    """At most `MOST` of them in trial order, and how many there are."""
    frame = subject.data.frame
    complete = set(frame["trial"])
    ill = frame[frame["outcome"] != "finished"]
    found = [
        Failure(
            trial=int(row["trial"]),
            replicate=int(row["replicate"]),
            label=str(row["label"]),
            outcome=str(row["outcome"]),
            cause="" if pd.isna(row.get("cause")) else str(row["cause"]),
            update=None if pd.isna(row["updates"]) else int(row["updates"]),
        )
        for row in ill.head(MOST).to_dict("records")
    ]
    failed = [path for path in sorted(subject.folder.glob(f"trials/*/{ERROR_FILE}")) if _number(path) not in complete]
    found += [Failure(_number(path), None, "", "failed", _last_line(path), None) for path in failed[:MOST]]
    return sorted(found, key=lambda one: (one.trial, one.replicate or 0))[:MOST], len(ill) + len(failed)


def _number(path: Path) -> int:
    return int(path.parent.name)


def _last_line(path: Path) -> str:
    """Of a traceback: what was raised."""
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
