"""What happens in a night: workers and drivers die, and the sweep goes on with the numbers it would have had."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from commands import Ran, rnnlab
from night import assert_as_undisturbed, begin, kill, until, workers_of, written

from sweeps.home import Home
from sweeps.store import Lab


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
