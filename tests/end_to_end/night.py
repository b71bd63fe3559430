"""A small sweep that things happen to, and what is asked of it afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import Ran
from mlflow.tracking import MlflowClient

from sweeps.checking.check import check_sweep
from sweeps.home import CHECKPOINT_FILE, Home
from sweeps.store import Lab

SPEC = """
name: night
task: {kind: temporal_order, length: 24}
model: {hidden: 24}
optim: {batch: 16}
space:
  cell: [rnn, gru]
  lr: {low: 1.0e-3, high: 1.0e-2, log: true}
search: {design: screen, blocks: 3, nuisance: [lr]}
replicates: 2
budget: {updates: 600, evaluations: 15}
"""
NUMBERS = (
    "trial", "number", "seed", "outcome", "update", "score", "test_score", "solved", "accuracy", "verdict",
    "verdict_init", "decades", "slope", "hump", "horizon", "exploded", "spikes", "healthy_share", "clip_rate",
    "solved_at", "features",
)  # fmt: skip


def results(home: Path, database: str | None = None) -> list[dict[str, Any]]:
    """Every number of every replicate but times; `database`: of a lab that is not in its home."""
    with Lab.open(Home(home, database).lab_url) as lab:
        return [one.model_dump(include=set(NUMBERS)) for one in lab.replicates("night")]


def reports(home: Path, database: str | None = None) -> list[tuple[int, int, float]]:
    """What every trial told at its evaluations."""
    with Lab.open(Home(home, database).lab_url) as lab:
        return [(one.trial, one.update, one.score) for one in lab.reports("night")]


def points(home: Path) -> dict[str, dict[str, Counter[tuple[int, float]]]]:
    """Run name -> metric -> how often each (step, value) stands there; times left out."""
    client = MlflowClient(Home(home).mlflow_uri)
    experiment = client.get_experiment_by_name("night")
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        keys = [key for key in run.data.metrics if "seconds" not in key]
        name = run.data.tags["trial"]
        assert name not in found, f"two runs of trial {name}"
        found[name] = {
            key: Counter((point.step, point.value) for point in client.get_metric_history(run.info.run_id, key))
            for key in keys
        }
    return found


def assert_clean(home: Path, sweep: str = "night", database: str | None = None, mlflow: str | None = None) -> None:
    """`rnnlab sweep check --everything` finds nothing; `database`, `mlflow`: of stores that are not in the home."""
    place = Home(home, database, mlflow)
    with Lab.open(place.lab_url) as lab:
        found = check_sweep(lab, place, sweep, everything=True)
    assert [finding.as_dict() for finding in found.findings] == []


def assert_as_undisturbed(home: Path, undisturbed: Ran, database: str | None = None, mlflow: str | None = None) -> None:
    """The numbers, reports and points of the sweep that nothing happened to; the stores agree; nothing is left."""
    assert undisturbed.code == 0, undisturbed.err
    assert results(home, database) == results(undisturbed.home)
    assert reports(home, database) == reports(undisturbed.home)
    told, expected = points(home), points(undisturbed.home)
    assert set(told) == set(expected)
    for trial, metrics in expected.items():
        assert told[trial] == metrics, f"trial {trial}"
    with Lab.open(Home(home, database).lab_url) as lab:
        assert {trial.state for trial in lab.trials("night")} == {"complete"}
        assert lab.sweep("night").status == "finished"
    assert not list(home.glob(f"sweeps/night/trials/*/{CHECKPOINT_FILE}"))
    assert_clean(home, database=database, mlflow=mlflow)


def begin(home: Path, *words: str, workers: int | None = 2) -> subprocess.Popen[bytes]:
    """Start a driver in a session of its own; what it says goes to driver.log beside its home."""
    with (home.parent / "driver.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli.app", "sweep", *words, *_workers(workers)],
            env={**os.environ, "RNNLAB_HOME": str(home)}, start_new_session=True, stdout=log, stderr=log,
        )  # fmt: skip


def _workers(count: int | None) -> list[str]:
    return [] if count is None else ["--workers", str(count)]


def wait_for(ready: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def until(home: Path, ready: Callable[[Lab], bool], seconds: float = 120) -> None:
    """Wait until the lab database says so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (home / "lab.db").is_file():
            with Lab.open(Home(home).lab_url) as lab:
                if lab.sweeps() and ready(lab):
                    return
        time.sleep(0.1)
    pytest.fail("the sweep did not get there")


def workers_of(driver: subprocess.Popen[bytes] | psutil.Process) -> list[psutil.Process]:
    """Processes that train, among those that a process started: a driver, or whoever has made its cluster."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
            command = " ".join(process.cmdline())
            if "TrialTrainable" in command or "ray::ResourceTrainable" in command:
                found.append(process)
    return found


def kill(driver: subprocess.Popen[bytes]) -> None:
    """Kill a driver as the kernel does, and wait until what Ray had started is gone too."""
    family = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    psutil.wait_procs(family, timeout=30)
    for process in family:
        if process.is_running():
            process.kill()


def written(tmp_path: Path) -> str:
    (tmp_path / "night.yaml").write_text(SPEC)
    return str(tmp_path / "night.yaml")
