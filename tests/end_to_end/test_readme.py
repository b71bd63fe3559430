"""Every command, spec and snippet of the README, run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from commands import Ran, rnnlab

from rnnlab.spec import TaskSpec
from rnnlab.written import load_yaml, validated
from sweeps.spec import SweepSpec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Code blocks of one language, indentation taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


COMMANDS = [line.split(" #")[0].strip() for block in blocks("sh") for line in block.splitlines() if line.strip()]


def test_commands_are_those_that_are_run_here() -> None:
    run_here = {
        "make sweep", "make test", "rnnlab sweep list", "rnnlab sweep show first", "rnnlab ui", "rnnlab recipes",
        "rnnlab recipes first > mine.yaml", "rnnlab sweep run weather", "rnnlab probe one.yaml",
    }  # fmt: skip
    assert set(COMMANDS) == run_here


@pytest.mark.parametrize(("target", "runs"), [("sweep", "rnnlab sweep run first"), ("test", "pytest")])
def test_make(target: str, runs: str) -> None:
    planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert runs in planned


def test_make_sweep_runs_first(first: Ran) -> None:
    assert first.code == 0, first.err


@pytest.mark.parametrize("command", ["rnnlab sweep list", "rnnlab sweep show first", "rnnlab recipes"])
def test_looking(command: str, first: Ran) -> None:
    assert command in COMMANDS
    ran = rnnlab(*command.split()[1:], home=first.home)
    assert ran.code == 0
    assert "first" in ran.out


def test_recipe_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(rnnlab("recipes", "first").out)
    assert SweepSpec.from_file(tmp_path / "mine.yaml").name == "first"


def test_sweep_run_weather(weather: Ran) -> None:
    assert weather.code == 0, weather.err


def test_ui_serves_the_sweep(first: Ran) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "services.cli.app", "ui", "--port", str(port)]
    server = subprocess.Popen(
        command,
        env={**os.environ, "RNNLAB_HOME": str(first.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=first"
        for _ in range(120):
            time.sleep(0.5)
            with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
                assert b"Which mitigations keep the gradient alive" in answer.read()
                return
        pytest.fail("the dashboard did not answer within a minute")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def test_specs() -> None:
    sweep, task, one = blocks("yaml")
    assert validated(SweepSpec, load_yaml(sweep)).name == "clipping-by-depth"
    assert validated(TaskSpec, load_yaml(task)["task"]).kind == "table"
    assert "one.yaml" in one


def test_probe(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(blocks("yaml")[2])
    ran = rnnlab("probe", "one.yaml", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "healthy → healthy" in ran.out
    assert (tmp_path / "one-probe.png").is_file()


def test_python() -> None:
    (snippet,) = blocks("python")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(snippet, "README.md", "exec"), {})
    decades = float(re.search(r"decades=(-[\d.]+)", said.getvalue())[1])  # type: ignore[index]
    assert "vanishing" in said.getvalue()
    assert decades == pytest.approx(-15, abs=3)
