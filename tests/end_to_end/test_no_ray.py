"""Ray does not come up on this machine: one line that says what to do, nothing is made, nothing is left running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from night import begin, wait_for, written

from sweeps.home import Home
from sweeps.store import Lab


def daemon_of(driver: subprocess.Popen[bytes], name: str) -> psutil.Process | None:
    """One of Ray's daemons that a driver has started, as soon as it is that program."""
    for process in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
            if process.name() == name:
                return process
    return None


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_daemon_of_ray_that_hangs_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path))
    family: list[psutil.Process] = []
    try:
        wait_for(lambda: driver.poll() is not None or daemon_of(driver, name) is not None, 300)
        found = daemon_of(driver, name)
        assert found is not None, (tmp_path / "driver.log").read_text()
        found.suspend()
        family = psutil.Process(driver.pid).children(recursive=True)
        assert driver.wait(timeout=400) == 2, (tmp_path / "driver.log").read_text()
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        _, left = psutil.wait_procs(family, timeout=30)
        for process in left:
            process.kill()
    said = " ".join((tmp_path / "driver.log").read_text().split())
    assert "error: Ray must come up on this machine" in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert not left
    with Lab.open(Home(home).lab_url) as lab:
        assert not lab.sweeps()
