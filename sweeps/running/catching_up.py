"""Sending to MLflow what a sweep that has ended left on disk, without Ray."""

from __future__ import annotations

from collections.abc import Callable

from filelock import FileLock, Timeout

from rnnlab.errors import PlaceError
from rnnlab.training.stack import load_task
from sweeps.home import Home
from sweeps.recording.actor import RECORDING_LOCK, RecorderProcess, RecorderStatus, writer_arguments
from sweeps.recording.lag import waiting_in
from sweeps.running.closing import MLFLOW_STATUS, reported
from sweeps.running.waiting import wait_for
from sweeps.spec import SweepSpec
from sweeps.store import Lab


def record_sweep(sweep_id: str, home: Home, seen: Callable[[RecorderStatus, str], None]) -> RecorderStatus | None:
    """Send what waits, write the report with the curves that are there now, and end the sweep's runs in MLflow.

    Args:
        home: its `mlflow_patience` is how long it waits without progress; what is left then stays on disk.
        seen: is told how far it is, and a notice.

    Returns:
        The last status; None where nothing waited.

    Raises:
        SpecError: no such sweep.
        PlaceError: its driver lives and records itself, or it died and must be resumed, or another one records.
    """
    home.must_exist()
    folder = home.sweep_folder(sweep_id)
    with Lab.open(home.lab_url) as lab:
        sweep = lab.sweep(sweep_id)
        if sweep.status not in MLFLOW_STATUS:
            hint = f"its driver died; `rnnlab sweep resume {sweep_id}` goes on" if sweep.lost else "its driver records"
            raise PlaceError(f"sweep {sweep_id!r} must have ended, but it is {sweep.status}: {hint}")
        if not waiting_in(folder):
            return None
        spec = SweepSpec.model_validate(sweep.spec)
        try:
            with FileLock(folder / RECORDING_LOCK, timeout=0):
                recorder = RecorderProcess(str(folder), writer_arguments(home, sweep_id, spec))
                if not wait_for(recorder.status, home.mlflow_patience, seen):
                    return recorder.status()
                recorder.finish()
                lag = load_task(spec.trial(0, next(spec.parsed_space.points(lambda dimension: dimension.corners)))).lag
                files, description, tables, _ = reported(lab, sweep_id, folder, lag)
                last = recorder.close(MLFLOW_STATUS[sweep.status], files, description, tables)
        except Timeout:
            raise PlaceError(f"another `rnnlab sweep record {sweep_id}` is at it; wait for that one") from None
        unknown = {trial.number for trial in lab.trials(sweep_id) if not trial.mlflow_run_id}
        lab.set_mlflow(sweep_id, str(last.experiment_id), last.parent_id)
        for number, run_id in last.run_ids.items():
            if number in unknown:
                lab.set_trial_run(sweep_id, number, run_id)
        lab.event(sweep_id, "recorded", f"{last.points} points sent; {'; '.join(last.lag.lost) or 'nothing is left'}")
        return last
