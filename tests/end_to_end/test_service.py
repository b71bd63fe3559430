"""`rnnlab serve` for real: its own Ray and MLflow, sweeps as Ray Jobs, and what happens when parts of it die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from commands import rnnlab

from services.client import Client
from services.jobs.embedded import free_port
from sweeps.home import Home
from sweeps.store import Lab

TINY = """
name: tiny
task: {kind: adding, length: 12}
model: {hidden: 8}
space: {cell: [rnn, gru]}
search: {sampler: grid}
replicates: 2
budget: {updates: 40, evaluations: 4}
"""
LONG = TINY.replace("name: tiny", "name: long").replace(
    "updates: 40, evaluations: 4", "updates: 4000, evaluations: 200"
)


@contextlib.contextmanager
def serving(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A service that is ready; ended, with all it started, afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_", "MLFLOW_"))}
    words = [
        sys.executable,
        "-m",
        "services.cli.app",
        "serve",
        "--home",
        str(home),
        "--port",
        str(port),
        "--workers",
        "2",
    ]
    with (home / "service.log").open("ab") as log:
        service = subprocess.Popen(words, env=env, stdout=log, stderr=log, start_new_session=True)
    family: list[psutil.Process] = []
    try:
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/api/ready", timeout=5).status_code == 200, 240)
        family = psutil.Process(service.pid).children(recursive=True)
        yield service
    finally:
        if service.poll() is None:
            family = psutil.Process(service.pid).children(recursive=True)
            service.send_signal(signal.SIGINT)
            try:
                service.wait(timeout=120)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()
        _, alive = psutil.wait_procs(family, timeout=60)
        for process in alive:
            process.kill()
        assert not alive, f"left behind: {[process.name() for process in alive]}"


def until(ready: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until it is so; an answer that does not come is not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    pytest.fail("it did not get there")


def trains(client: Client, id: str) -> bool:
    """Whether a sweep is in the middle of its first trials."""
    return client.sweep(id).status == "running" and any(trial.updates for trial in client.trials(id).items)


def assert_clean(home: Path, id: str) -> None:
    checked = rnnlab("sweep", "check", id, home=home)
    assert checked.code == 0, checked.out + checked.err


def test_a_sweep_is_launched_watched_and_seen(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    server = f"http://127.0.0.1:{port}"
    (tmp_path / "tiny.yaml").write_text(TINY)
    with serving(home, port) as service:
        ran = rnnlab("sweep", "launch", str(tmp_path / "tiny.yaml"), "--server", server, "--watch")
        assert ran.code == 0, ran.err + (home / "service.log").read_text()
        assert "tiny is queued" in ran.out
        assert "tiny is finished" in ran.err
        (listed,) = json.loads(rnnlab("sweep", "list", "--json", "--server", server).out)
        (here,) = json.loads(rnnlab("sweep", "list", "--json", home=home).out)
        assert set(listed) == set(here)
        assert (listed["status"], listed["ended"]) == ("finished", 2)
        rows = json.loads(rnnlab("sweep", "show", "tiny", "--json", "--server", server).out)
        assert rows == json.loads(rnnlab("sweep", "show", "tiny", "--json", home=home).out)
        assert "# " in rnnlab("sweep", "report", "tiny", "--server", server).out
        with Client(server) as client:
            trial = client.trials("tiny").items[0]
            assert client.curves("tiny", trial.number).values
            assert trial.mlflow is not None
        found = httpx.post(f"{server}/mlflow/ajax-api/2.0/mlflow/experiments/search", json={"max_results": 10})
        assert "tiny" in [one["name"] for one in found.json()["experiments"]]
        assert "<html" in httpx.get(f"{server}/mlflow/").text
        service.send_signal(signal.SIGINT)
        assert service.wait(timeout=120) == 0
    assert "Traceback" not in (home / "service.log").read_text()
    assert_clean(home, "tiny")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_service_that_is_killed_finds_its_sweeps_again(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    with serving(home, port) as service, Client(f"http://127.0.0.1:{port}") as client:
        for _ in range(2):
            client.launch(LONG)
        until(lambda: trains(client, "long"))
        assert client.sweep("long-2").status == "queued"
        family = psutil.Process(service.pid).children(recursive=True)
        service.kill()
        service.wait()
        for process in family:  # as a machine that goes down
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=60)
    with serving(home, port), Client(f"http://127.0.0.1:{port}") as client:
        until(lambda: client.sweep("long").attempts == 2 and client.sweep("long").status == "running")
        client.stop("long")
        until(lambda: client.sweep("long").status == "stopped")
        until(lambda: client.sweep("long-2").status == "running")
        client.stop("long-2")
        until(lambda: client.sweep("long-2").status == "stopped")
        client.resume("long")
        until(lambda: client.sweep("long").status == "running")
        client.stop("long")
        until(lambda: client.sweep("long").status == "stopped")
    assert_clean(home, "long")
    assert_clean(home, "long-2")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_job_that_is_killed_is_resumed_by_another(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    with serving(home, port), Client(f"http://127.0.0.1:{port}") as client:
        client.launch(LONG)
        until(lambda: trains(client, "long"))
        with Lab.open(Home(home).lab_url) as lab:
            pid = lab.sweep("long").driver_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: client.sweep("long").attempts == 2 and client.sweep("long").status == "running")
        client.stop("long")
        until(lambda: client.sweep("long").status == "stopped")
    assert_clean(home, "long")


@pytest.mark.slow
def test_it_is_not_open_to_others_without_a_token(tmp_path: Path) -> None:
    refused = rnnlab("serve", "--host", "0.0.0.0", "--port", str(free_port()), home=tmp_path / "home")
    assert refused.code == 2
    assert "rnnlab token make" in refused.err
    made = rnnlab("token", "make", "ann", "--role", "viewer", home=tmp_path / "home")
    assert made.code == 0
    assert made.out.startswith("rnnlab_")
    assert made.out.strip() not in rnnlab("token", "list", "--json", home=tmp_path / "home").out
