"""A person, another terminal or the machine stops a sweep: nothing is lost, nothing hangs, and `resume` ends as it would.

Ctrl-C and a terminal that closes reach the driver and all that Ray has started; each driver here leads a process group
of its own, as under a shell.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from commands import Ran, here, rnnlab
from mlflow.tracking import MlflowClient
from night import assert_as_undisturbed, assert_clean, begin, kill, until, workers_of, written

from sweeps.home import Home
from sweeps.store import Lab

PATIENCE = 600
"""Seconds for a driver to end: the machine may be doing much else."""


@dataclass(frozen=True)
class Stop:
    """How a driver is told to stop.

    Args:
        signal: what is sent. times: how often, `pause` seconds apart. group: to its whole process group.
        code: the driver's exit code. gentle: it records the end itself.
    """

    signal: signal.Signals
    times: int = 1
    pause: float = 0.05
    group: bool = True
    code: tuple[int, ...] = (130,)
    gentle: bool = True

    def send(self, driver: subprocess.Popen[bytes]) -> None:
        for _ in range(self.times):
            try:
                (os.killpg if self.group else os.kill)(driver.pid, self.signal)
            except ProcessLookupError:
                return
            time.sleep(self.pause)


STOPS = {
    "Ctrl-C once": Stop(signal.SIGINT),
    "Ctrl-C twice": Stop(signal.SIGINT, 2),
    "Ctrl-C twice, a second apart": Stop(signal.SIGINT, 2, 1.0),
    "Ctrl-C ten times": Stop(signal.SIGINT, 10, 0.2),
    "SIGTERM to the driver": Stop(signal.SIGTERM, group=False),
    "the terminal closes": Stop(signal.SIGHUP),
    # Ray's daemons end with it, and its core then ends the driver, at times before all is recorded
    "SIGTERM to all": Stop(signal.SIGTERM, code=(130, 1, -signal.SIGTERM, 143), gentle=False),
}


def reported(update: int) -> Callable[[Lab], bool]:
    """Whether some trial has told that it is so far."""
    return lambda lab: any(report.update >= update for report in lab.reports("night"))


def stopped(home: Path, driver: subprocess.Popen[bytes], how: Stop) -> None:
    """Stop a driver, and hold what holds of every stop."""
    family = psutil.Process(driver.pid).children(recursive=True)
    try:
        how.send(driver)
        driver.wait(timeout=PATIENCE)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
    said = (home.parent / "driver.log").read_text()
    assert driver.returncode in how.code, said
    assert "Traceback" not in said, said
    _, left = psutil.wait_procs(family, timeout=60)
    assert not left, [" ".join(process.cmdline()) for process in left]


def assert_stopped(home: Path, how: Stop) -> None:
    """The lab database and MLflow say that nothing runs; what was told is kept."""
    (sweep,) = json.loads(rnnlab("sweep", "list", "--json", home=home).out)
    assert sweep["status"] == "stopped"
    if not how.gentle:
        return
    with Lab.open(Home(home).lab_url) as lab:
        trials = lab.trials("night")
        told = {report.trial for report in lab.reports("night")}
        assert not lab.sweep("night").lost
    assert {trial.state for trial in trials} <= {"interrupted", "complete"}
    client = MlflowClient(Home(home).mlflow_uri)
    experiment = client.get_experiment_by_name("night")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == len(trials) + 1
    assert {run.info.status for run in runs} <= {"KILLED", "FINISHED"}
    assert next(run for run in runs if run.data.tags["trial"] == "all").info.status == "KILLED"
    assert told <= {int(run.data.tags["trial"]) for run in runs if "score" in run.data.metrics}
    assert_clean(home)


def resumed(home: Path) -> Ran:
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home, timeout=2400)
    assert ran.code == 0, ran.err
    return ran


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_worker_is_killed_a_person_stops_it_and_the_driver_is_killed(tmp_path: Path, undisturbed: Ran) -> None:
    """All in one night: each start of a driver costs more than its six trials."""
    home, how = tmp_path / "home", STOPS["Ctrl-C once"]
    driver = begin(home, "run", written(tmp_path))
    try:
        until(home, reported(30), PATIENCE)
        workers_of(driver)[0].kill()
        until(home, lambda lab: any(trial.state == "complete" for trial in lab.trials("night")), PATIENCE)
    except BaseException:
        kill(driver)
        raise
    stopped(home, driver, how)
    assert_stopped(home, how)
    driver = begin(home, "resume", "night")
    try:
        until(home, lambda lab: any(one.trial == 4 and one.update >= 30 for one in lab.reports("night")), PATIENCE)
    finally:
        kill(driver)
    with Lab.open(Home(home).lab_url) as lab:
        ended = {trial.number: trial.ended_at for trial in lab.trials("night") if trial.state == "complete"}
        assert lab.sweep("night").lost
    resumed(home)
    assert_as_undisturbed(home, undisturbed)
    with Lab.open(Home(home).lab_url) as lab:
        again = {trial.number: trial.ended_at for trial in lab.trials("night")}
        kinds = [event.kind for event in lab.events("night")]
    assert ended
    assert {number: again[number] for number in ended} == ended  # what had ended was not run again
    assert kinds.count("resumed") == 2
    finished = here("sweep", "resume", "night", home=home, cwd=tmp_path)
    assert finished.code == 2
    assert "has finished" in finished.err


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STOPS)
def test_stopped_in_training_and_resumed(tmp_path: Path, undisturbed: Ran, name: str) -> None:
    home, how = tmp_path / "home", STOPS[name]
    driver = begin(home, "run", written(tmp_path))
    until(home, reported(30), PATIENCE)
    stopped(home, driver, how)
    assert_stopped(home, how)
    resumed(home)
    assert_as_undisturbed(home, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", [STOPS["Ctrl-C once"], STOPS["Ctrl-C ten times"]], ids=["once", "ten times"])
@pytest.mark.parametrize("said", ["starting Ray", "recording what is left", "analysing"])
def test_stopped_at_a_bad_moment(tmp_path: Path, undisturbed: Ran, said: str, how: Stop) -> None:
    """Before the first trial, and while the end is recorded: then it goes on to its end, which takes seconds."""
    home = tmp_path / "home"
    spec = written(tmp_path)
    driver = begin(home, "run", spec)
    deadline = time.monotonic() + 3 * PATIENCE
    while said not in (tmp_path / "driver.log").read_text():
        assert driver.poll() is None, (tmp_path / "driver.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stopped(home, driver, Stop(how.signal, how.times, how.pause, code=(0, 130)))
    with Lab.open(Home(home).lab_url) as lab:
        sweeps = lab.sweeps()
    if not sweeps:  # it had not begun
        assert rnnlab("sweep", "run", spec, "--workers", "2", home=home, timeout=2400).code == 0
    elif sweeps[0].status != "finished":
        assert sweeps[0].status == "stopped"
        resumed(home)
    assert_as_undisturbed(home, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0])
def test_stopped_in_the_first_seconds(tmp_path: Path, seconds: float) -> None:
    """Whatever is there by then: one line, no traceback, and a home that the next command can use."""
    home = tmp_path / "home"
    spec = written(tmp_path)
    driver = begin(home, "run", spec)
    time.sleep(seconds)
    # within its first tenths Python itself has no handler yet and says so in its own words
    how = Stop(signal.SIGINT, code=(130, -signal.SIGINT))
    how.send(driver)
    assert driver.wait(timeout=PATIENCE) in how.code
    if seconds >= 1.0:
        assert "Traceback" not in (tmp_path / "driver.log").read_text()
    if (home / "lab.db").is_file():
        with Lab.open(Home(home).lab_url) as lab:
            assert {sweep.status for sweep in lab.sweeps()} <= {"stopped", "queued"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_stopped_from_another_terminal(tmp_path: Path, undisturbed: Ran) -> None:
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path))
    until(home, reported(30), PATIENCE)
    said = rnnlab("sweep", "stop", "night", home=home)
    assert said.code == 0, said.err
    stopped(home, driver, Stop(signal.SIGINT, 0))
    assert_stopped(home, STOPS["Ctrl-C once"])
    resumed(home)
    assert_as_undisturbed(home, undisturbed)
