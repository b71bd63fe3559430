"""MLflow is away for a while, or its recorder is killed: nothing is lost and nothing is doubled."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from commands import Ran
from night import assert_as_undisturbed, assert_clean, kill, until, written

from sweeps.home import Home
from sweeps.recording.lag import lag_of, waiting_in
from sweeps.store import Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Server:
    """`mlflow server` on the store that a home would have by itself, so that it can be read without one, too."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", Home(self.home).mlflow_uri,
            "--artifacts-destination", str(self.home / "artifacts"), "--port", str(self.port), "--workers", "1",
        ]  # fmt: skip
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.home.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=env, start_new_session=True, stdout=log, stderr=log)
        wait_until(self.answers, 180)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as said:
                return bool(said.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def hang(self) -> None:
        """It takes connections and does not answer."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGCONT)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "home")
    yield made
    made.stop()


def wait_until(ready: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


def environment(server: Server) -> dict[str, str]:
    # a shorter time-out than the recorder's own: the test waits for it
    return {
        **os.environ,
        "RNNLAB_HOME": str(server.home),
        "RNNLAB_MLFLOW": server.url,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    }


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "services.cli.app", "sweep", *words]


def begin(server: Server, *words: str) -> subprocess.Popen[bytes]:
    """A driver that knows the server by its address."""
    with (server.home.parent / "driver.log").open("ab") as log:
        return subprocess.Popen(
            command("run", written(server.home.parent), "--workers", "2", *words),
            env=environment(server), start_new_session=True, stdout=log, stderr=log,
        )  # fmt: skip


def asked(server: Server, *words: str) -> Ran:
    done = subprocess.run(command(*words), env=environment(server), capture_output=True, text=True, timeout=300)
    return Ran(server.home, done.returncode, done.stdout, done.stderr)


def log_of(server: Server) -> str:
    return (server.home.parent / "driver.log").read_text()


def sweep_folder(server: Server) -> Path:
    return Home(server.home).sweep_folder("night")


def reached(server: Server, trial: int, update: int = 30) -> None:
    until(server.home, lambda lab: any(r.trial == trial and r.update >= update for r in lab.reports("night")), 400)


def end(driver: subprocess.Popen[bytes], server: Server) -> None:
    assert driver.wait(timeout=500) == 0, log_of(server)


def test_away_at_the_start_and_hanging_in_the_middle(server: Server, undisturbed: Ran) -> None:
    driver = begin(server)
    try:
        reached(server, 1)  # it trains without MLflow
        wait_until(lambda: "recording lags" in log_of(server))
        assert waiting_in(sweep_folder(server)) > 1  # each holds all of a trial since its last evaluation
        (listed,) = json.loads(asked(server, "list", "--json").out)
        assert listed["status"] == "running"
        assert listed["recording"]["why"] == "Connection refused"
        assert listed["recording"]["waiting"] > 1
        shown = asked(server, "show", "night", "--json")
        assert json.loads(shown.out)
        assert re.search(r"recording lags since \d\d:\d\d:\d\d: \d+ messages wait \(Connection refused\)", shown.err)
        server.start()
        wait_until(lambda: "recording goes on" in log_of(server))
        server.hang()
        wait_until(lambda: (lag := lag_of(sweep_folder(server), running=True)) and lag.why == "timed out")
        time.sleep(5)  # it is asked more than once
        server.go_on()
        end(driver, server)
        assert asked(server, "show", "night").err == ""
    finally:
        if driver.poll() is None:
            kill(driver)
    assert waiting_in(sweep_folder(server)) == 0
    assert_as_undisturbed(server.home, undisturbed, mlflow=server.url)


def test_away_at_the_end_and_sent_later(server: Server, undisturbed: Ran) -> None:
    server.start()
    driver = begin(server, "--mlflow-patience", "8")
    try:
        reached(server, 3)
        server.stop()
        end(driver, server)
    finally:
        if driver.poll() is None:
            kill(driver)
    assert re.search(r"\d+ messages wait \(Connection refused\); waiting up to 8 s for MLflow, Ctrl-C", log_of(server))
    assert "`rnnlab sweep record night` sends them" in log_of(server)
    with Lab.open(Home(server.home).lab_url) as lab:
        assert lab.sweep("night").status == "finished"
        assert {trial.state for trial in lab.trials("night")} == {"complete"}
        (said,) = [event.message for event in lab.events("night") if event.kind == "recording_lags"]
        assert re.match(r"recording lags: \d+ messages wait; `rnnlab sweep record night` sends them", said)
    hint = asked(server, "resume", "night")
    assert (hint.code, "sweep record night" in hint.err) == (2, True)
    away = asked(server, "record", "night", "--mlflow-patience", "1")
    assert (away.code, "again when MLflow is back" in away.err) == (2, True), away.err
    server.start()
    sent = asked(server, "record", "night")
    assert sent.code == 0, sent.err
    assert "MLflow has all of night" in sent.out
    assert "nothing of night waits" in asked(server, "record", "night").out
    assert_as_undisturbed(server.home, undisturbed, mlflow=server.url)
    with Lab.open(Home(server.home).lab_url) as lab:
        assert all(trial.mlflow_run_id for trial in lab.trials("night"))


def test_ctrl_c_ends_the_wait(server: Server) -> None:
    driver = begin(server)
    try:
        wait_until(lambda: driver.poll() is not None or "Ctrl-C ends the wait" in log_of(server), 500)
        os.kill(driver.pid, signal.SIGINT)
        end(driver, server)
    finally:
        if driver.poll() is None:
            kill(driver)
    with Lab.open(Home(server.home).lab_url) as lab:
        assert lab.sweep("night").status == "finished"
    assert waiting_in(sweep_folder(server)) > 1  # each holds all of a trial since its last evaluation
    server.start()
    sent = asked(server, "record", "night")
    assert sent.code == 0, sent.err
    assert_clean(server.home, mlflow=server.url)


def recorder_of(driver: subprocess.Popen[bytes]) -> psutil.Process:
    found = psutil.Process(driver.pid).children(recursive=True)
    (one,) = [process for process in found if "ray::RecorderProcess" in " ".join(process.cmdline())]
    return one


def test_the_recorder_is_killed_again_and_again(server: Server, undisturbed: Ran) -> None:
    server.start()
    driver = begin(server)
    try:
        for trial in (0, 2, 4):
            reached(server, trial)
            before = recorder_of(driver)
            before.kill()
            wait_until(lambda: not before.is_running(), 60)  # noqa: B023 - called here
        end(driver, server)
    finally:
        if driver.poll() is None:
            kill(driver)
    assert_as_undisturbed(server.home, undisturbed, mlflow=server.url)
    runs = sorted(path.parent.name for path in sweep_folder(server).glob("trials/*/heatmap.png"))
    assert runs == [f"{trial:04}" for trial in range(6)]
