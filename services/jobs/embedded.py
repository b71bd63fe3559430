"""Ray and MLflow for a service that was given neither: child processes of it, on loopback, ended with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx

from rnnlab.errors import PlaceError
from sweeps.home import Home
from sweeps.running.engine import ENVIRONMENT

START_WITHIN = 120.0
"""Seconds in which a server must answer."""
END_WITHIN = 60.0
"""Seconds that a server and what it started get to end."""


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def ray_here(home: Home, workers: int | None) -> Iterator[str]:
    """A Ray of one node, with its dashboard; the dashboard's address. Its jobs find their stores as this process does.

    It has a folder of its own for sockets and logs: in the usual one Ray notes the address of whichever was started
    last on this machine, and its jobs would join that one.

    Raises:
        PlaceError: it does not start.
    """
    port = free_port()
    if "RAY_AUTH_TOKEN" not in os.environ:  # for Ray, its jobs and this process, which asks it; kept nowhere
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", str(free_port())]
    words += ["--include-dashboard", "true", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port)]
    words += ["--dashboard-agent-listen-port", "0", "--disable-usage-stats"]
    words += ["--num-cpus", str(workers)] if workers else []
    folder = tempfile.mkdtemp(prefix="rnnlab-ray-")  # short: a socket's path has at most 107 bytes
    words += ["--temp-dir", folder]
    environment = {**ENVIRONMENT, **os.environ}
    environment["RNNLAB_HOME"] = str(home.path.resolve())
    if home.lab:
        environment["RNNLAB_LAB"] = home.lab
    if home.mlflow:
        environment["RNNLAB_MLFLOW"] = home.mlflow
    address = f"http://127.0.0.1:{port}"
    try:
        with _server("Ray", words, environment, home.path / "ray.log", f"{address}/api/version"):
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def mlflow_here(home: Home) -> Iterator[str]:
    """An MLflow server on this home's store, under the path /mlflow; its address.

    What it notes as an artifact's place is a path of this home, not of the server: the home is read without it too.

    Raises:
        PlaceError: it does not start.
    """
    port = free_port()
    words = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", home.mlflow_uri,
        "--default-artifact-root", home.artifacts.as_uri(), "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--static-prefix", "/mlflow",
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    address = f"http://127.0.0.1:{port}/mlflow"
    with _server("MLflow", words, environment, home.path / "mlflow.log", f"{address}/health"):
        yield address


@contextlib.contextmanager
def _server(name: str, words: list[str], environment: dict[str, str], log: Path, health: str) -> Iterator[None]:
    """Run a server until the block ends; what it says goes to `log`."""
    with log.open("ab") as said:
        # a session of its own: Ctrl-C is for the service, which ends it after what needs it
        process = subprocess.Popen(words, env=environment, stdout=said, stderr=said, start_new_session=True)
    try:
        _wait(name, process, health, log)
        yield
    finally:
        _end(process)


def _wait(name: str, process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PlaceError(f"{name} ended with code {process.returncode} while it started; {log} says why")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(health, timeout=2).status_code < 500:  # 401 too: it answers
                return
        time.sleep(0.2)
    raise PlaceError(f"{name} did not answer at {health} within {START_WITHIN:.0f} s; {log} may say why")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_WITHIN)
            break
    with contextlib.suppress(ProcessLookupError):  # whatever of its group is left
        os.killpg(process.pid, signal.SIGKILL)
