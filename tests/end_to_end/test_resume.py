"""What happens in a night: workers and drivers die, and the sweep goes on with the numbers it would have had."""

from __future__ import annotations

import json
import os
import random
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
from commands import Ran, once, rnnlab
from mlflow.tracking import MlflowClient

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
budget: {updates: 150, evaluations: 15}
"""
NUMBERS = (
    "trial", "number", "seed", "outcome", "update", "score", "test_score", "solved", "accuracy", "verdict",
    "verdict_init", "decades", "slope", "hump", "horizon", "exploded", "spikes", "healthy_share", "clip_rate",
    "solved_at", "features",
)  # fmt: skip


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The sweep that nothing happened to."""
    spec = tmp_path_factory.mktemp("spec") / "night.yaml"
    spec.write_text(SPEC)
    return once(tmp_path_factory, "undisturbed", "sweep", "run", str(spec), "--workers", "2", "--json")


def results(home: Path) -> list[dict[str, Any]]:
    """Every number of every replicate but times."""
    with Lab.open(Home(home).lab_url) as lab:
        return [one.model_dump(include=set(NUMBERS)) for one in lab.replicates("night")]


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


def assert_as_undisturbed(home: Path, undisturbed: Ran) -> None:
    assert undisturbed.code == 0, undisturbed.err
    assert results(home) == results(undisturbed.home)
    told, expected = points(home), points(undisturbed.home)
    assert set(told) == set(expected)
    for trial, metrics in expected.items():
        assert told[trial] == metrics, f"trial {trial}"
    with Lab.open(Home(home).lab_url) as lab:
        assert {trial.state for trial in lab.trials("night")} == {"complete"}
        assert lab.sweep("night").status == "finished"
    assert not list(home.glob(f"sweeps/night/trials/*/{CHECKPOINT_FILE}"))


def begin(home: Path, *words: str, workers: int = 2) -> subprocess.Popen[bytes]:
    """Start a driver in a session of its own; what it says goes to driver.log beside its home."""
    with (home.parent / "driver.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli.app", "sweep", *words, "--workers", str(workers)],
            env={**os.environ, "RNNLAB_HOME": str(home)}, start_new_session=True, stdout=log, stderr=log,
        )  # fmt: skip


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


def workers_of(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes that train, among those that a driver started."""
    found = psutil.Process(driver.pid).children(recursive=True)
    return [process for process in found if "TrialTrainable" in " ".join(process.cmdline())
            or "ray::ResourceTrainable" in " ".join(process.cmdline())]  # fmt: skip


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


def test_a_worker_and_then_the_driver_are_killed(tmp_path: Path, undisturbed: Ran) -> None:
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path))
    try:
        until(home, lambda lab: any(report.update >= 30 for report in lab.reports("night")))
        workers_of(driver)[0].kill()
        until(home, lambda lab: sum(trial.state == "complete" for trial in lab.trials("night")) >= 3)
        until(home, lambda lab: any(r.trial == 4 and r.update >= 30 for r in lab.reports("night")))
        kill(driver)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    with Lab.open(Home(home).lab_url) as lab:
        ended = {trial.number: trial.ended_at for trial in lab.trials("night") if trial.state == "complete"}
        assert lab.sweep("night").lost
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", "--json", home=home)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)
    with Lab.open(Home(home).lab_url) as lab:
        again = {trial.number: trial.ended_at for trial in lab.trials("night")}
        kinds = [event.kind for event in lab.events("night")]
    assert {number: again[number] for number in ended} == ended  # what had ended was not run again
    assert kinds.count("resumed") == 1
    finished = rnnlab("sweep", "resume", "night", home=home)
    assert finished.code == 2
    assert "has finished" in finished.err


@pytest.mark.slow
def test_stopped_from_elsewhere_and_refused_while_it_runs(tmp_path: Path, undisturbed: Ran) -> None:
    home = tmp_path / "home"
    spec = written(tmp_path)
    driver = begin(home, "run", spec, workers=1)
    try:
        until(home, lambda lab: any(report.update >= 20 for report in lab.reports("night")))
        second = rnnlab("sweep", "resume", "night", home=home)
        assert second.code == 2
        assert "is being run by pid" in second.err
        stopped = rnnlab("sweep", "stop", "night", home=home)
        assert stopped.code == 0, stopped.err
        assert "sweep resume night" in stopped.out
        assert driver.wait(timeout=90) == 130
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    again = rnnlab("sweep", "run", spec, home=home)
    assert again.code == 2
    assert "rnnlab sweep resume night" in again.err
    assert "name:" in again.err
    assert rnnlab("sweep", "stop", "night", home=home).code == 2
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", "--json", home=home)
    assert ran.code == 0, ran.err
    assert len(json.loads(ran.out)) == 6
    assert_as_undisturbed(home, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_driver_is_killed_at_twenty_moments(tmp_path: Path, undisturbed: Ran) -> None:
    home, draw = tmp_path / "home", random.Random(0)
    words = ["run", written(tmp_path)]
    for moment in range(20):
        driver = begin(home, *words)
        try:
            driver.wait(timeout=draw.uniform(0.5, 12))
            if driver.returncode == 0:
                break
            pytest.fail(f"moment {moment}: exit {driver.returncode}: {(tmp_path / 'driver.log').read_text()}")
        except subprocess.TimeoutExpired:
            kill(driver)
        if (home / "lab.db").is_file():
            with Lab.open(Home(home).lab_url) as lab:
                words = ["resume", "night"] if lab.sweeps() else words
    else:
        ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home)
        assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)
