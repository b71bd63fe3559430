"""Workers that are killed and trials that want too much: they fail with their cause, and the sweep goes on."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from commands import rnnlab
from night import assert_clean, begin, kill, until, workers_of, written
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

from sweeps.home import Home
from sweeps.store import Lab, TrialRecord

GREEDY = """
name: greedy
task: {kind: adding, length: 8}
model: {cell: gru}
optim: {batch: 8}
space: {hidden: [8, 3000, 12]}
search: {design: screen, blocks: 1}
replicates: 2
budget: {updates: 20, evaluations: 2}
resources: {memory: 512MB}
"""


FILLING = (
    GREEDY.replace("3000", "4096").replace("cell: gru", "cell: gru, depth: 2").replace("resources: {memory: 512MB}", "")
)
ROOM = 3 * 2**30
"""Bytes above what is used now: an idle sweep takes 2 GB, its large trial 5 more."""


def trials_of(home: Path, sweep: str = "night") -> list[TrialRecord]:
    with Lab.open(Home(home).lab_url) as lab:
        return lab.trials(sweep)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("failures", "times"), [(0, "once"), (2, "3 times")])
def test_a_worker_that_is_killed_too_often_fails_its_trial_alone(tmp_path: Path, failures: int, times: str) -> None:
    home, killed = tmp_path / "home", set[int]()
    driver = begin(home, "run", written(tmp_path), "--max-failures", str(failures), workers=1)
    try:
        until(home, lambda lab: any(report.update >= 10 for report in lab.reports("night")), seconds=400)
        deadline = time.monotonic() + 600
        while trials_of(home)[0].state == "running" and time.monotonic() < deadline:
            for worker in workers_of(driver):
                if worker.pid not in killed and len(killed) <= failures:
                    worker.kill()
                    killed.add(worker.pid)
            time.sleep(0.1)
        assert driver.wait(timeout=600) == 0
    finally:
        if driver.poll() is None:
            kill(driver)
    first, *others = trials_of(home)
    assert len(killed) == failures + 1
    assert first.state == "failed"
    assert first.cause == f"its worker process was killed or crashed {times}"
    assert {trial.state for trial in others} == {"complete"}
    with Lab.open(Home(home).lab_url) as lab:
        assert (lab.sweep("night").status, lab.sweep("night").message) == ("finished", "1 of 6 trials failed")
    assert_clean(home)


@pytest.mark.slow
def test_a_trial_that_asks_for_too_much_memory_fails_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "greedy.yaml").write_text(GREEDY)
    ran = rnnlab("sweep", "run", str(tmp_path / "greedy.yaml"), "--workers", "1", "--json", home=home, timeout=600)
    assert ran.code == 0, ran.err
    trials = trials_of(home, "greedy")
    assert sorted(trial.state for trial in trials) == ["complete", "complete", "failed"]
    failed = next(trial for trial in trials if trial.state == "failed")
    assert failed.params["hidden"] == 3000
    assert failed.cause == "ran out of memory: asked for more than 512 MB (resources.memory)"
    # the process is usable for the next trial
    assert len({trial.worker for trial in trials}) == 1
    assert "MemoryError" in (
        error := (home / "sweeps/greedy/trials" / f"{failed.number:04}" / "error.txt").read_text()
    ) or ("allocate memory" in error)
    with Lab.open(Home(home).lab_url) as lab:
        assert lab.sweep("greedy").message == "1 of 3 trials failed"
    assert_clean(home, "greedy")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ray_kills_the_worker_of_a_trial_that_fills_its_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A threshold that small trials stay below: Ray's memory monitor kills the large one, the last that began."""
    share = (get_used_memory() + ROOM) / get_system_memory()
    if share > 0.8:
        pytest.skip("the machine has not the memory that this test fills")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{share:.4f}")
    home = tmp_path / "home"
    (tmp_path / "greedy.yaml").write_text(FILLING)
    driver = begin(home, "run", str(tmp_path / "greedy.yaml"), "--max-failures", "1", workers=1)
    try:
        assert driver.wait(timeout=900) == 0, (tmp_path / "driver.log").read_text()
    finally:
        if driver.poll() is None:
            kill(driver)
    trials = trials_of(home, "greedy")
    assert sorted(trial.state for trial in trials) == ["complete", "complete", "failed"]
    failed = next(trial for trial in trials if trial.state == "failed")
    assert failed.params["hidden"] == 4096
    assert (
        failed.cause == "ran out of memory: Ray's memory monitor killed its worker, since its node had none left, twice"
    )
    assert_clean(home, "greedy")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_recorder_that_cannot_live_stops_the_sweep(tmp_path: Path) -> None:
    """It is killed whenever it is there, as on a node without memory."""
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path), workers=2)
    deadline = time.monotonic() + 900
    try:
        while driver.poll() is None and time.monotonic() < deadline:
            for process in recorders_of(driver):
                process.kill()
            time.sleep(0.05)
        assert driver.poll() == 2, (tmp_path / "driver.log").read_text()
    finally:
        if driver.poll() is None:
            kill(driver)
    said = " ".join((tmp_path / "driver.log").read_text().split())
    assert "error: sweep 'night' has stopped: the recorder has taken nothing for 300 s" in said
    assert "`rnnlab sweep resume night`" in said
    assert "Traceback" not in said
    with Lab.open(Home(home).lab_url) as lab:
        assert lab.sweep("night").status == "stopped"
        assert {trial.state for trial in lab.trials("night")} <= {"interrupted"}
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home, timeout=900)
    assert ran.code == 0, ran.err
    assert_clean(home)


def recorders_of(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes that are a recorder, or are becoming one."""
    found = []
    with contextlib.suppress(psutil.Error):  # the driver may have ended meanwhile
        for process in psutil.Process(driver.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "RecorderProcess" in " ".join(process.cmdline()):
                    found.append(process)
    return found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # it starts Ray to see its nodes; how they are judged: tests/sweeps/running/test_resources.py
        pytest.param(
            ("--cpus-per-trial", "4096"), "asks for 4096 cpus (resources), but no node has room", marks=pytest.mark.slow
        ),
        (("--memory-per-trial", "much"), "resources"),
    ],
)
def test_a_trial_that_no_node_could_run_is_refused(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    home = tmp_path / "home"
    ran = rnnlab("sweep", "run", written(tmp_path), *words, home=home)
    assert ran.code == 2, ran.err
    assert told in ran.err
    assert "Traceback" not in ran.err
    if (home / "lab.db").is_file():
        with Lab.open(Home(home).lab_url) as lab:
            assert not lab.sweeps()
