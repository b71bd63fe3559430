"""The end of a driver's run: every trial and run gets an end state, and the findings are written."""

from __future__ import annotations

import shutil
import traceback
from pathlib import Path

from rnnlab.training.outcome import Outcome
from sweeps.home import STOP_FILE
from sweeps.report.summary import write_summary
from sweeps.report.whole import arm_rows, words, write_whole
from sweeps.running.beating import store_runs
from sweeps.running.books import Books


def ending(books: Books) -> tuple[str, str | None]:
    """Status and message of a sweep whose trials have all ended."""
    trials = books.progress.trials.values()
    if books.stopping:
        return "stopped", "stopped by a person"
    failed = [trial for trial in trials if trial.outcome is Outcome.FAILED]
    if failed and len(failed) == len(trials):
        return "failed", f"every trial failed; the first: {failed[0].cause}"
    return "finished", f"{len(failed)} of {len(trials)} trials failed" if failed else None


def close(books: Books, folder: Path, lag: int, status: str, message: str | None) -> None:
    """Whatever happened: every trial and run gets an end state, the findings are written, the lease goes back."""
    import ray

    books.stopping = books.closing = True  # what has not ended by now is interrupted, not pruned
    for row in books.progress.trials.values():
        if row.outcome is Outcome.RUNNING:
            books.end(row.number, None, error=False)
    books.progress.notice = "recording what is left"
    books.watcher.changed(books.progress)
    mlflow_status = {"finished": "FINISHED", "stopped": "KILLED"}.get(status, "FAILED")
    last = ray.get(books.recorder.finish.remote())
    store_runs(books, last)
    files = write_summary(books.lab, books.sweep_id, lag, folder)
    description, tables = "", {}
    try:
        books.progress.notice = "analysing"
        books.watcher.changed(books.progress)
        analysis, reports = write_whole(books.lab, books.sweep_id, folder, lag)
        description, tables, files = words(analysis), {"arms.json": arm_rows(analysis)}, [*reports, *files]
    except Exception as error:  # what was measured is worth more than what is said of it
        (folder / "report-error.txt").write_text(traceback.format_exc())
        said = f"no report: {type(error).__name__}: {error}; see report-error.txt, then `rnnlab sweep report`"
        books.lab.event(books.sweep_id, "report_failed", said)
        message = said if message is None else f"{message}; {said}"
    ray.get(books.recorder.close.remote(mlflow_status, [str(path) for path in files], description, tables))
    books.lab.event(books.sweep_id, status, message or f"{books.progress.ended} trials ended")
    books.lab.end_sweep(books.sweep_id, status, message)  # type: ignore[arg-type]
    shutil.rmtree(folder / "tune", ignore_errors=True)
    (folder / STOP_FILE).unlink(missing_ok=True)
