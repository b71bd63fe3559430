"""CONTRIBUTING's own cell, taken literally from the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnlab.training.loop import train
from services.cli.app import app
from sweeps.spec import SweepSpec

ROOT = Path(__file__).parents[2]


def blocks() -> tuple[str, str]:
    """The module and the spec of the section on plug-ins."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.split("## A mitigation of your own")[1].split("\n## ")[0]
    (module,), (spec,) = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("python", "yaml"))
    return module, spec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which a person has written both."""
    module, spec = blocks()
    assert len(module.splitlines()) <= 22
    (tmp_path / "my_cells.py").write_text(module)
    (tmp_path / "mine.yaml").write_text(spec)
    return tmp_path


def test_every_arm_of_the_page_trains(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    spec = SweepSpec.from_file(folder / "mine.yaml")
    points = list(spec.parsed_space.points(lambda dimension: dimension.grid or []))
    assert [picks["cell"] for picks in points] == ["rnn", "my_cells:Adder(0.1)", "my_cells:Adder(0.5)"]
    scores = []
    for number, picks in enumerate(points):
        found = train(spec.trial(number, picks))
        assert [replicate.outcome.value for replicate in found.replicates] == ["finished", "finished"]
        scores.append(found.score)
    assert len(set(scores)) == 3
    sys.modules.pop("my_cells")


def test_the_page_says_how_to_try_one_and_start_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"by method and shape\. `rnnlab (.*?)`", page)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RNNLAB_HOME", str(folder / "home"))
    told = CliRunner().invoke(app, [*command.split(), "--no-measure"])
    assert told.exit_code == 0, told.output
    assert "my_cells:Adder(0.5)" in told.output
    assert not (folder / "home").exists()
    sys.modules.pop("my_cells", None)


@pytest.mark.slow
def test_the_command_of_the_page_runs_on_rays_workers(folder: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_", "MLFLOW_"))}
    # -P: as a console script, which does not look into the working directory by itself
    command = [sys.executable, "-P", "-m", "services.cli.app", "sweep", "run", "mine.yaml", "--workers", "2"]
    home = {"RNNLAB_HOME": str(folder / "home")}
    without = subprocess.run(
        command, env={**env, **home, "PYTHONPATH": str(ROOT)}, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert without.returncode != 0
    assert "cannot be imported" in without.stderr + without.stdout
    assert "PYTHONPATH" in without.stderr + without.stdout
    ran = subprocess.run(
        command, env={**env, **home, "PYTHONPATH": f".:{ROOT}"}, cwd=folder, capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stderr
    assert "my_cells:Adder(0.5)" in ran.stdout
    assert "failed" not in ran.stdout.lower()
