"""`rnnlab serve` for real: its own Ray and MLflow, sweeps as Ray Jobs, and what happens when parts of it die."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import psutil
import psycopg
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
def serving(home: Path, port: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A service that is ready; ended, with all it started, afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_", "MLFLOW_"))}
    env |= more
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


@pytest.mark.slow
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
        wanted = {"run_uuid": trial.mlflow.rpartition("/")[2], "path": "curves.npz"}
        artifact = httpx.get(f"{server}/mlflow/get-artifact", params=wanted)
        assert artifact.status_code == 200, artifact.text
        assert artifact.content[:2] == b"PK"
        assert "sandbox" in artifact.headers["content-security-policy"]
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


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_sweeps_run_two_at_a_time_in_order_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own jobs; two hundred on both databases: tests/services/hardening/test_many_sweeps.py."""
    monkeypatch.setenv("RNNLAB_MAX_RUNNING_SWEEPS", "2")
    home, port = tmp_path / "home", free_port()
    short = TINY.replace("[rnn, gru]", "[rnn]").replace("updates: 40, evaluations: 4", "updates: 4, evaluations: 2")
    with serving(home, port), Client(f"http://127.0.0.1:{port}") as client:
        ids = [client.launch(short).id for _ in range(10)]
        at_a_time = []

        def over() -> bool:
            found = client.sweeps(limit=100).items
            at_a_time.append(sum(sweep.status == "running" for sweep in found))
            return all(sweep.status not in ("queued", "running") for sweep in found)

        until(over, 1200)
        found = {sweep.id: sweep for sweep in client.sweeps(limit=100).items}
        assert [(found[id].status, found[id].attempts, found[id].ended) for id in ids] == [("finished", 1, 1)] * 10
        log = (home / "service.log").read_text()
        assert re.findall(r"started .*sweep=(\S+)", log) == ids
        assert max(at_a_time) == 2
        for id in ids:
            assert [event.kind for event in client.events(id)].count("started") == 1
    assert "Traceback" not in (home / "service.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_secret_is_written_anywhere(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of a person, the password of the database and Ray's own token: not in logs, reports, MLflow, `--json`."""
    home, port = tmp_path / "home", free_port()
    server, password, ray = f"http://127.0.0.1:{port}", "p4ssw0rd-of-the-lab", "t0ken-of-ray-" + "x" * 40
    monkeypatch.setenv("RNNLAB_LAB", postgres_url.replace("postgres@", f"postgres:{password}@"))
    made = rnnlab("token", "make", "ann", "--role", "launcher", home=home)
    token = made.out.strip()
    monkeypatch.setenv("RNNLAB_TOKENS", "required")
    (tmp_path / "tiny.yaml").write_text(TINY)
    said = [made.err, rnnlab("token", "list", "--json", home=home).out]
    with serving(home, port, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=ray):
        monkeypatch.delenv("RNNLAB_LAB")
        assert rnnlab("sweep", "launch", "first", "--server", server).code == 2
        monkeypatch.setenv("RNNLAB_TOKEN", token)
        launch = rnnlab("sweep", "launch", str(tmp_path / "tiny.yaml"), "--server", server, "--watch")
        assert launch.code == 0, launch.err
        shown = [["list"], ["list", "--json"], ["show", "tiny"], ["show", "tiny", "--json"], ["report", "tiny"]]
        ran = [launch, *(rnnlab("sweep", *words, "--server", server) for words in shown)]
        said += [text for one in ran for text in (one.out, one.err)]
        auth = {"Authorization": f"Bearer {token}"}
        for path in ("", "/tiny", "/tiny/log", "/tiny/events", "/tiny/spec", "/tiny/table", "/tiny/report.html"):
            answer = httpx.get(f"{server}/api/sweeps{path}", headers=auth)
            assert answer.status_code == 200, path
            said.append(answer.text)
    with psycopg.connect(postgres_url, autocommit=True) as lab:
        tables = lab.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        said += [str(lab.execute(f'SELECT * FROM "{table}"').fetchall()) for (table,) in tables]
    files = {str(path): path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()}
    assert any(name.endswith("mlflow.db") for name in files)
    for secret in (token, password, ray):
        assert not [text[:200] for text in said if secret in text]
        assert not [name for name, text in files.items() if secret in text]
