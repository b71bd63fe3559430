"""The lab database goes away in the middle of a sweep: it waits for it, and where that takes too long it stops."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from commands import Ran, rnnlab
from night import assert_as_undisturbed, begin, kill, until, wait_for, written

from sweeps.home import Home
from sweeps.store import Lab

WAIT = 900
"""Seconds that a sweep gets to come to a point, on a machine that does much else."""


class Server:
    """A PostgreSQL server of its own, which can be stopped and started."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        # it refuses to run as root
        self.user = "postgres" if "postgres" in {u.pw_name for u in pwd.getpwall()} else "nobody"
        self.identity = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        if os.geteuid() != 0:
            self.identity = {}
        else:
            shutil.chown(folder, self.user)
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self._do("initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses="
        self._do("pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start")

    def stop(self) -> None:
        """As a crash does: connections end in the middle of what they did."""
        self._do("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    def _do(self, program: str, *words: object) -> None:
        command = [str(self.programs / program), *map(str, words)]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **self.identity)  # type: ignore[call-overload]


@pytest.fixture
def server() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [Path(shutil.which("pg_ctl") or "")]
    if not found[-1].is_file():
        pytest.skip("PostgreSQL's programs (initdb, pg_ctl) are not installed")
    folder = Path(tempfile.mkdtemp(prefix="rnnlab-pg-"))  # pytest's own folder is closed to other users
    server = Server(found[-1].resolve().parent, folder)
    try:
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder)


def said(tmp_path: Path) -> str:
    """What the driver has said; a line of it may be wrapped."""
    return " ".join((tmp_path / "driver.log").read_text().split())


def assert_clear_stop(driver: subprocess.Popen[bytes], tmp_path: Path, cause: str) -> None:
    """One line with the cause and the way on, code 2, and nothing of Ray is left."""
    family = psutil.Process(driver.pid).children(recursive=True)
    assert driver.wait(timeout=400) == 2, said(tmp_path)
    assert re.search(rf"error: sweep 'night' has stopped: .*{cause}", said(tmp_path)), said(tmp_path)
    assert "`rnnlab sweep resume night`" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


def going(driver: subprocess.Popen[bytes], tmp_path: Path) -> bool:
    """Whether a driver lives; one that does not is not waited for."""
    assert driver.poll() is None, said(tmp_path)
    return True


def shut(driver: subprocess.Popen[bytes]) -> None:
    if driver.poll() is None:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_postgresql_is_stopped_and_started(
    tmp_path: Path, undisturbed: Ran, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("RNNLAB_LAB", server.url)

    def reached(update: int) -> bool:
        if not (home / "sweeps" / "night").is_dir():
            return False
        with Lab.open(server.url) as lab:
            return any(report.update >= update for report in lab.reports("night"))

    driver = begin(home, "run", written(tmp_path))
    try:
        # away for a moment: it goes on by itself
        wait_for(lambda: going(driver, tmp_path) and reached(30), WAIT)
        server.stop()
        wait_for(lambda: going(driver, tmp_path) and "is away since" in said(tmp_path), WAIT)
        server.start()
        wait_for(lambda: going(driver, tmp_path) and reached(100), WAIT)
        assert driver.poll() is None, said(tmp_path)
        kill(driver)
    finally:
        shut(driver)
    # away for longer than a driver has patience: it stops, and can be resumed
    monkeypatch.setenv("RNNLAB_DATABASE_PATIENCE", "3")
    driver = begin(home, "resume", "night")
    try:
        with Lab.open(server.url) as lab:
            before = len(lab.reports("night"))

        def went_on() -> bool:
            with Lab.open(server.url) as lab:
                return len(lab.reports("night")) > before or driver.poll() is not None

        wait_for(went_on, WAIT)
        assert driver.poll() is None, said(tmp_path)
        server.stop()
        assert_clear_stop(driver, tmp_path, "the lab database postgresql.* cannot be used: .* for [3-9] s")
    finally:
        shut(driver)
    listed = rnnlab("sweep", "list", home=home)
    assert listed.code == os.EX_TEMPFAIL, "it may be there the next time"
    assert listed.err.startswith("error: the lab database postgresql")
    server.start()
    assert "stopped" in rnnlab("sweep", "list", home=home).out
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home, timeout=1200)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed, server.url)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_another_process_holds_the_sqlite_file(
    tmp_path: Path, undisturbed: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("RNNLAB_DATABASE_PATIENCE", "20")
    driver = begin(home, "run", written(tmp_path))
    other = None
    try:
        until(
            home,
            lambda lab: going(driver, tmp_path) and any(report.update >= 20 for report in lab.reports("night")),
            WAIT,
        )
        other = sqlite3.connect(home / "lab.db", isolation_level=None, timeout=60)
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: going(driver, tmp_path) and "is away since" in said(tmp_path), WAIT)
        other.execute("COMMIT")
        until(
            home,
            lambda lab: going(driver, tmp_path) and any(report.update >= 60 for report in lab.reports("night")),
            WAIT,
        )
        assert driver.poll() is None, said(tmp_path)
        other.execute("BEGIN IMMEDIATE")
        assert_clear_stop(driver, tmp_path, "database is locked; see which process holds it .tried for")
        shown = rnnlab("sweep", "show", "night", home=home)
        assert shown.code == 0, shown.err
        assert "stopped" in rnnlab("sweep", "list", home=home).out
        other.execute("COMMIT")
    finally:
        if other is not None:
            other.close()
        shut(driver)
    with Lab.open(Home(home).lab_url) as lab:
        assert "failed" not in {trial.state for trial in lab.trials("night")}
    ran = rnnlab("sweep", "resume", "night", "--workers", "2", home=home, timeout=1200)
    assert ran.code == 0, ran.err
    assert_as_undisturbed(home, undisturbed)


@pytest.mark.slow  # that its writes are refused, in seconds: tests/sweeps/store/test_lease.py
@pytest.mark.timeout(1800)
def test_a_driver_whose_sweep_was_taken_over_stops(tmp_path: Path) -> None:
    home = tmp_path / "home"
    driver = begin(home, "run", written(tmp_path))
    try:
        until(home, lambda lab: going(driver, tmp_path) and len(lab.reports("night")) > 0, WAIT)
        file = sqlite3.connect(home / "lab.db", timeout=60)
        with file:  # as a second driver on another host does, once the first one's heart was silent for 30 s
            file.execute("UPDATE sweeps SET driver_host = 'elsewhere', driver_pid = 1")
        file.close()
        assert driver.wait(timeout=400) == 2
    finally:
        shut(driver)
    assert "error: sweep 'night' was taken over by pid 1 on elsewhere" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)
    assert not (home / "sweeps" / "night" / "stop").exists()  # the other driver's workers look for it
    with Lab.open(Home(home).lab_url) as lab:
        assert [event.kind for event in lab.events("night")] == ["started"]
