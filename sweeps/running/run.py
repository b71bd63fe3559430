"""Running a sweep: Ray Tune trains, Optuna picks, the recorder records, the lab database keeps."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlab.errors import PlaceError
from rnnlab.training.loop import load_task
from rnnlab.training.outcome import Outcome
from sweeps.home import STOP_FILE, Home
from sweeps.recording import actor
from sweeps.report.summary import write_summary
from sweeps.running.books import Books
from sweeps.running.progress import NoWatcher, SweepProgress, Watcher
from sweeps.spec import SweepSpec
from sweeps.store import Lab

HEARTBEAT = 2.0
"""Seconds between two renewals of the lease."""

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files for each trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours stops gently
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own restore is not used
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "3600",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # keep large activations between updates: giving them back costs as much as computing them
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
"""What Ray, MLflow and malloc of the driver and its local workers are told, where a person has not."""


@dataclass(frozen=True)
class SweepEnd:
    """How a sweep ended.

    Args:
        sweep_id: its id. status: finished, stopped or failed. folder: its files. progress: every trial.
    """

    sweep_id: str
    status: str
    folder: Path
    progress: SweepProgress


def run_sweep(
    spec: SweepSpec,
    home: Home,
    *,
    workers: int | None = None,
    address: str | None = None,
    watcher: Watcher | None = None,
) -> SweepEnd:
    """Run a sweep to its end, embedded on this machine or on a Ray cluster.

    Ctrl-C once stops after the current updates, with everything recorded; twice at once.

    Args:
        spec: what to run. home: where stores and files lie.
        workers: trials at a time, one CPU each; default: the CPUs that there are.
        address: of a running Ray cluster; None starts a local one.
        watcher: who is shown the progress.

    Raises:
        RnnlabError: bad input or an unusable place, before anything is created.
    """
    lag = _check_data(spec)
    if address is not None:
        _check_address(address)
    home.make()
    with Lab.open(home.lab_url) as lab, _ray(address, workers) as slots:
        plain = spec.model_dump(mode="json", exclude_defaults=True)
        sweep = lab.create_sweep(spec.name, plain, spec.content_hash)
        folder = home.sweep_folder(sweep.id)
        folder.mkdir(parents=True)
        (folder / "sweep.yaml").write_text(spec.to_yaml())
        lab.take_lease(sweep.id, socket.gethostname(), os.getpid())
        recorder = actor.start(
            sweep.id,
            folder,
            tracking_uri=home.mlflow_uri,
            description=spec.description,
            artifact_folder=home.artifacts / sweep.id,
            spec_yaml=spec.to_yaml(),
        )
        books = Books(sweep.id, spec, lab, recorder, watcher or NoWatcher())
        lab.event(sweep.id, "started", f"{spec.trials} trials, {slots} at a time", trials=spec.trials, slots=slots)
        status: str = "failed"
        message: str | None = "an error; see the traceback"
        with _stoppable(books, folder), _beating(books):
            try:
                _tune(spec, books, folder, slots)
                status, message = _ending(books)
            except KeyboardInterrupt:
                status, message = "stopped", "stopped at once by a person"
            finally:
                _close(books, folder, lag, status, message)
        return SweepEnd(sweep.id, status, folder, books.progress)


def _ending(books: Books) -> tuple[str, str | None]:
    """Status and message of a sweep whose trials have all ended."""
    trials = books.progress.trials.values()
    if books.stopping:
        return "stopped", "stopped by a person"
    failed = [trial for trial in trials if trial.outcome is Outcome.FAILED]
    if failed and len(failed) == len(trials):
        return "failed", f"every trial failed; the first: {failed[0].cause}"
    return "finished", f"{len(failed)} of {len(trials)} trials failed" if failed else None


def _check_data(spec: SweepSpec) -> int:
    """The task's lag. Loads the task of one point: a missing or spoilt file is told before anything is made."""
    space = spec.parsed_space
    first = next(space.points(lambda dimension: dimension.corners))
    task = load_task(spec.trial(0, first))
    assert task.validation.x_TNI.shape[0] == task.length
    return task.lag


def _tune(spec: SweepSpec, books: Books, folder: Path, slots: int) -> None:
    """Let Ray Tune run all trials."""
    from ray import tune

    from sweeps.running.trainable import TrialTrainable
    from sweeps.search.pruners import scheduler_for
    from sweeps.search.searcher import AskTell

    searcher = AskTell(spec, books, asking=lambda: not books.stopping)
    # a trial's failure is an event and a row of the table; Tune would print its traceback over them
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)  # with a searcher it would be 1
    tune.run(
        tune.with_resources(TrialTrainable, {"cpu": 1}),
        name="tune",
        storage_path=str(folder),
        config={"sweep_id": books.sweep_id, "folder": str(folder)},
        search_alg=searcher,
        scheduler=scheduler_for(spec),
        num_samples=spec.trials,
        max_concurrent_trials=slots,
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
    )
    for number in searcher.unfinished:
        books.end(number, None, error=False)


def _close(books: Books, folder: Path, lag: int, status: str, message: str | None) -> None:
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
    _store_runs(books, last)
    files = write_summary(books.lab, books.sweep_id, lag, folder)
    ray.get(books.recorder.close.remote(mlflow_status, [str(path) for path in files]))
    books.lab.event(books.sweep_id, status, message or f"{books.progress.ended} trials ended")
    books.lab.end_sweep(books.sweep_id, status, message)  # type: ignore[arg-type]
    shutil.rmtree(folder / "tune", ignore_errors=True)
    (folder / STOP_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _stoppable(books: Books, folder: Path) -> Iterator[None]:
    """Ctrl-C (or SIGTERM) asks workers to stop after their current update; again, it stops at once.

    While the end is being recorded the second one is ignored: it takes seconds, and runs would stay open.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if books.closing:
            books.progress.notice = "recording what is left; this takes a few seconds"
        elif books.stopping:
            raise KeyboardInterrupt
        else:
            request_stop(books, folder)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def request_stop(books: Books, folder: Path) -> None:
    """Ask all workers to stop after their current update, and start no more trials."""
    books.stopping = True
    books.progress.notice = "stopping after the current updates; Ctrl-C again stops at once"
    (folder / STOP_FILE).touch()
    books.watcher.changed(books.progress)


@contextlib.contextmanager
def _beating(books: Books) -> Iterator[None]:
    """Renew the lease and look at the recorder, in a thread."""
    over = threading.Event()

    def beat() -> None:
        import ray

        while not over.wait(HEARTBEAT):
            books.lab.heartbeat(books.sweep_id)
            with contextlib.suppress(ray.exceptions.GetTimeoutError):
                _store_runs(books, ray.get(books.recorder.status.remote(), timeout=HEARTBEAT))
            books.watcher.changed(books.progress)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _store_runs(books: Books, status: actor.RecorderStatus) -> None:
    """Keep in the lab database where MLflow has the sweep and its trials."""
    before = books.progress.recording
    known = before.run_ids if before else {}
    if status.experiment_id and (before is None or before.experiment_id is None):
        books.lab.set_mlflow(books.sweep_id, status.experiment_id, status.parent_id)
    for number, run_id in status.run_ids.items():
        if number not in known:
            books.lab.set_trial_run(books.sweep_id, number, run_id)
    books.progress.recording = status


def _check_address(address: str) -> None:
    """Raises:
    PlaceError: nothing listens at HOST:PORT. Ray itself would try again for minutes.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # `auto`, or a name that Ray resolves
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise PlaceError(
            f"no Ray cluster answers at {address!r} ({error}); start one (`ray start --head`), or leave --address out"
        ) from None


@contextlib.contextmanager
def _ray(address: str | None, workers: int | None) -> Iterator[int]:
    """A Ray cluster, started here or joined; trials that may run at a time."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Ray, about its own defaults
        try:
            ray.init(
                address=address or "local",
                num_cpus=None if address else workers,
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
        except ConnectionError as error:
            raise PlaceError(
                f"no Ray cluster answers at {address!r} ({error}); start one, or leave --address out"
            ) from None
    try:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        yield min(workers or cpus, cpus)
    finally:
        ray.shutdown()
