"""Every command, spec and snippet of the README, run."""

from __future__ import annotations

import contextlib
import io
import json
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
        "rnnlab sweep plan init_by_activation", "rnnlab sweep run init_by_activation",
        "rnnlab sweep report init-by-activation", "rnnlab serve",
        "rnnlab sweep launch first --server http://127.0.0.1:8000 --watch", "make cluster", "make cluster-down",
    }  # fmt: skip
    assert set(COMMANDS) == run_here


@pytest.mark.parametrize(
    ("target", "runs"),
    [("sweep", "rnnlab sweep run first"), ("test", "pytest"), ("test-datasets", "pytest -m datasets")],
)
def test_make(target: str, runs: str) -> None:
    planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert runs in planned


@pytest.mark.parametrize("command", ["rnnlab sweep list", "rnnlab sweep show first", "rnnlab recipes"])
def test_looking(command: str, first: Ran) -> None:
    assert command in COMMANDS
    ran = rnnlab(*command.split()[1:], home=first.home)
    assert ran.code == 0
    assert "first" in ran.out


def test_plan_says_what_the_full_recipe_would_do(tmp_path: Path) -> None:
    ran = rnnlab("sweep", "plan", "init_by_activation", home=tmp_path / "home")
    assert ran.code == 0, ran.err
    assert "300" in ran.out
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_full_recipe_gives_the_findings_that_stand_here(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ran = rnnlab("sweep", "run", "init_by_activation", home=home, timeout=7000)
    assert ran.code == 0, ran.err
    report = rnnlab("sweep", "report", "init-by-activation", home=home)
    assert report.code == 0, report.err
    table = re.search(r"<!-- findings -->\n(.*?)<!-- /findings -->", README, re.DOTALL)
    assert table is not None
    found = json.loads((home / "sweeps/init-by-activation/report.json").read_text())["analysis"]
    shown = [row.strip("| ").split(" | ") for row in table[1].splitlines() if row.startswith("| rnn tanh")]
    assert shown
    by_label = {arm["label"]: arm for arm in found["arms"]}
    for label, healthy_init, healthy, solved, *_ in shown:
        shares = by_label[label]["shares"]
        for text, name in ((healthy_init, "healthy_init"), (healthy, "healthy"), (solved, "solved")):
            assert float(text.split("%")[0]) == pytest.approx(100 * shares[name]["value"], abs=10.1), (label, name)


def test_recipe_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(rnnlab("recipes", "first").out)
    assert SweepSpec.from_file(tmp_path / "mine.yaml").name == "first"


@pytest.mark.slow  # minutes of processor time; an arm of it in seconds: test_weather.py
@pytest.mark.timeout(1800)
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
