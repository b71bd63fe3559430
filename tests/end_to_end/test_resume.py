"""What happens in a night: drivers die, and the sweep goes on with the numbers it would have had.

The fast test of it: `test_interrupts.py`, a night of everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from commands import Ran, rnnlab
from night import assert_as_undisturbed, assert_clean, begin, kill, until, workers_of, written

from sweeps.home import Home
from sweeps.spec import SweepSpec
from sweeps.store import Lab


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
@pytest.mark.timeout(1800)
def test_one_that_was_made_and_never_begun(tmp_path: Path, undisturbed: Ran) -> None:
    """As a driver leaves it that is killed before it has its lease."""
    home, spec = tmp_path / "home", SweepSpec.from_file(Path(written(tmp_path)))
    Home(home).make()
    with Lab.open(Home(home).lab_url) as lab:
        lab.create_sweep(spec.name, spec.model_dump(mode="json", exclude_defaults=True), spec.content_hash)
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", "--json", home=home, timeout=900)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)


@pytest.mark.slow
def test_stopped_before_what_a_dead_driver_left_goes_on(tmp_path: Path, undisturbed: Ran) -> None:
    """The second driver is asked to stop before it begins a trial: those of the first one do not stay running."""
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path))
    until(home, lambda lab: any(report.update >= 20 for report in lab.reports("night")))
    kill(driver)
    driver = begin(home, "resume", "night")
    try:
        until(home, lambda lab: any(event.kind == "resumed" for event in lab.events("night")))
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=300) == 130
    finally:
        if driver.poll() is None:
            kill(driver)
    with Lab.open(Home(home).lab_url) as lab:
        assert "running" not in {trial.state for trial in lab.trials("night")}
    assert_clean(home)
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", "--json", home=home)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)


@pytest.mark.slow
def test_a_driver_that_died_before_it_heard_of_runs(tmp_path: Path, undisturbed: Ran) -> None:
    """Its trials ended, the recorder had made their runs, and the lab database did not know yet."""
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path))
    until(home, lambda lab: sum(trial.state == "complete" for trial in lab.trials("night")) >= 2)
    kill(driver)
    with contextlib.closing(sqlite3.connect(home / "lab.db")) as lab:
        lab.execute("UPDATE trials SET mlflow_run_id = NULL")
        lab.commit()
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", "--json", home=home)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)


PHASES = ("before the sweep is made", "while Ray starts", "before a trial goes on", "in training", "in closing")
"""Of a driver's run, in order: moments to kill it at are drawn from each."""


def phase_of(home: Path, driver: subprocess.Popen[bytes] | None, earlier: int) -> str:
    """Where a driver is, as the lab database and its processes say; `earlier`: the drivers before that began."""
    if not (home / "lab.db").is_file():
        return PHASES[0]
    with Lab.open(Home(home).lab_url) as lab:
        if not lab.sweeps():
            return PHASES[0]
        if lab.sweep("night").status == "finished":
            return "ended"
        if driver is None or lab.sweep("night").driver_pid != driver.pid:
            return PHASES[0]
        begun = sum(event.kind in ("started", "resumed") for event in lab.events("night"))
        states = [trial.state for trial in lab.trials("night")]
    if begun == earlier:
        return PHASES[1]
    if states.count("complete") == 6:
        return PHASES[4]
    with contextlib.suppress(psutil.Error):
        return PHASES[3] if workers_of(driver) else PHASES[2]
    return "ended"


def begun_in(home: Path) -> int:
    """Drivers that got as far as their trials."""
    if not (home / "lab.db").is_file():
        return 0
    with Lab.open(Home(home).lab_url) as lab:
        kinds = [event.kind for event in lab.events("night")] if lab.sweeps() else []
    return sum(kind in ("started", "resumed") for kind in kinds)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_driver_is_killed_at_twenty_moments(tmp_path: Path, undisturbed: Ran) -> None:
    """A phase is drawn, and a time after it began: the clock alone would hit the same phase each time."""
    draw, spec, hit, nights = random.Random(0), written(tmp_path), Counter[str](), 0
    wanted = [phase for phase in PHASES for _ in range(4)]
    draw.shuffle(wanted)
    while wanted:
        home, nights = tmp_path / f"night-{nights}" / "home", nights + 1
        home.parent.mkdir()
        while phase_of(home, None, 0) != "ended":
            earlier = begun_in(home)
            phase = wanted[-1] if wanted else "ended"
            driver = begin(home, *(["resume", "night"] if sweeps_in(home) else ["run", spec]))
            try:
                came = driven_to(phase, home, driver, earlier, draw.uniform(0, 2))
                if came is None:
                    driver.wait(timeout=900)
                else:
                    kill(driver)
            finally:
                if driver.poll() is None:
                    kill(driver)
            if came is None:
                said = (home.parent / "driver.log").read_text()
                assert driver.returncode == 0, f"{phase}: exit {driver.returncode}: {said}"
                draw.shuffle(wanted)
            else:
                wanted.pop()
                hit[came] += 1
                print(f"kill {hit.total()}, night {nights}: wanted {phase}, came {came}", flush=True)
        assert_as_undisturbed(home, undisturbed)
    assert hit.total() == 20
    assert set(PHASES) == set(hit), hit


def driven_to(phase: str, home: Path, driver: subprocess.Popen[bytes], earlier: int, seconds: float) -> str | None:
    """Wait until a driver is in a phase or beyond and some seconds more; where it then is, None once it has ended."""
    later = PHASES[PHASES.index(phase) :] if phase in PHASES else ()
    while driver.poll() is None and (now := phase_of(home, driver, earlier)) not in later:
        if now == "ended":
            return None
        time.sleep(0.02)
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(timeout=seconds)
    now = phase_of(home, driver, earlier) if driver.poll() is None else "ended"
    return None if now == "ended" else now


def sweeps_in(home: Path) -> list[str]:
    """Ids of a home's sweeps; none where there is no home."""
    if not (home / "lab.db").is_file():
        return []
    with Lab.open(Home(home).lab_url) as lab:
        return [sweep.id for sweep in lab.sweeps()]
