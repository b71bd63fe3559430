"""The end of a driver's run: every trial and run gets an end state, and the findings are written."""

from __future__ import annotations

import shutil
import traceback
from pathlib import Path
from typing import Any

from rnnlab.training.outcome import Outcome
from sweeps.home import ENDED_FILE, MLFLOW_PATIENCE, STOP_FILE
from sweeps.recording.actor import RecorderStatus
from sweeps.recording.lag import waiting_in
from sweeps.recording.messages import SweepOver, TrainingOver
from sweeps.running.beating import store_runs
from sweeps.running.books import Books
from sweeps.running.waiting import wait_for
from sweeps.store import Lab

MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
"""MLflow's word for how a sweep ended."""
GONE = 30.0
"""Seconds after which a recorder that does not answer counts as gone."""


def ending(books: Books) -> tuple[str, str | None]:
    """Status and message of a sweep whose trials have all ended."""
    trials = books.progress.trials.values()
    if books.stopping:
        return "stopped", "stopped by a person"
    left = [trial for trial in trials if trial.outcome is Outcome.INTERRUPTED]
    if left:
        return "stopped", f"{len(left)} of {len(trials)} trials could not be ended; the first: {left[0].cause}"
    failed = [trial for trial in trials if trial.outcome is Outcome.FAILED]
    if failed and len(failed) == len(trials):
        return "failed", f"every trial failed; the first: {failed[0].cause}"
    return "finished", f"{len(failed)} of {len(trials)} trials failed" if failed else None


def close(
    books: Books, folder: Path, lag: int, status: str, message: str | None, patience: float = MLFLOW_PATIENCE
) -> None:
    """Whatever happened: every trial and run gets an end state, the findings are written, the lease goes back.

    Args:
        patience: seconds to wait for an MLflow that is away; what is left then stays on disk.
    """
    import ray

    books.stopping = books.closing = True  # what has not ended by now is interrupted, not pruned
    for row in books.progress.trials.values():
        if row.outcome is Outcome.RUNNING:
            books.end(row.number, None, error=False)
    books.leave()
    # the report needs what is recorded, not the pictures nor the model: the recorder makes them beside it
    complete = _recorded(books, patience, "recording what is left", pictures=False)
    if complete:
        books.recorder.put.remote(TrainingOver())
    books.progress.notice = "analysing"
    books.watcher.changed(books.progress)
    files, description, tables, lost = reported(books.lab, books.sweep_id, folder, lag)
    message = "; ".join(part for part in (message, lost) if part) or None
    try:
        ray.get(books.recorder.put.remote(SweepOver(MLFLOW_STATUS[status], files, description, tables)), timeout=GONE)
        if complete:
            _recorded(books, patience, "ending the runs")
    except ray.exceptions.RayError as error:  # what it was to write is on disk, and `rnnlab sweep record` goes on there
        books.lab.event(books.sweep_id, "recorder_gone", f"the recorder does not answer: {type(error).__name__}")
    if (waiting := waiting_in(folder)) or (books.progress.recording and books.progress.recording.lag.lost):
        books.lab.event(books.sweep_id, "recording_lags", what_waits(books.sweep_id, books.progress.recording, waiting))
    books.lab.event(books.sweep_id, status, message or f"{books.progress.ended} trials ended")
    books.lab.end_sweep(books.sweep_id, status, message)  # type: ignore[arg-type]
    shutil.rmtree(folder / "tune", ignore_errors=True)
    for name in (STOP_FILE, ENDED_FILE):
        (folder / name).unlink(missing_ok=True)


def _recorded(books: Books, patience: float, notice: str, *, pictures: bool = True) -> bool:
    """Wait until the recorder has nothing left, `pictures` included or not; whether it has."""
    import ray

    def look() -> RecorderStatus | None:
        try:
            status: RecorderStatus = ray.get(books.recorder.status.remote(), timeout=GONE)
        except ray.exceptions.RayError:
            return None
        return status

    def seen(status: RecorderStatus, away: str) -> None:
        store_runs(books, status)
        books.progress.notice = away or notice
        books.watcher.changed(books.progress)

    books.progress.notice = notice
    books.watcher.changed(books.progress)
    return wait_for(look, patience, seen, pictures=pictures)


def what_waits(sweep_id: str, status: RecorderStatus | None, waiting: int) -> str:
    """What of a sweep that has ended is not in MLflow, and what to do."""
    parts = list(status.lag.lost) if status else []
    if waiting:
        parts.insert(0, f"recording lags: {waiting} messages wait; `rnnlab sweep record {sweep_id}` sends them")
    return "; ".join(parts)


Reported = tuple[tuple[str, ...], str, dict[str, list[dict[str, Any]]], str | None]
"""Files of a report, its findings in Markdown, its tables, and what went wrong with it."""


def reported(lab: Lab, sweep_id: str, folder: Path, lag: int) -> Reported:
    """Write a sweep's summary and report; what is measured is worth more than what is said of it."""
    from sweeps.report.summary import write_summary
    from sweeps.report.whole import arm_rows, words, write_whole

    files = write_summary(lab, sweep_id, lag, folder)
    try:
        analysis, reports = write_whole(lab, sweep_id, folder, lag)
    except Exception as error:
        (folder / "report-error.txt").write_text(traceback.format_exc())
        said = f"no report: {type(error).__name__}: {error}; see report-error.txt, then `rnnlab sweep report`"
        lab.event(sweep_id, "report_failed", said)
        return tuple(map(str, files)), "", {}, said
    return tuple(map(str, [*reports, *files])), words(analysis), {"arms.json": arm_rows(analysis)}, None
