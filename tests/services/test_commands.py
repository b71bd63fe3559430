"""Commands that need no sweep to run: help, recipes, probe, and lists of what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnlab.written import load_yaml, validated
from services.cli.app import app
from sweeps.home import Home
from sweeps.recipes import RECIPES
from sweeps.spec import SweepSpec
from sweeps.store import Lab

RUNNER = CliRunner()


SWEEP = (
    "run", "list", "show", "plan", "report", "compare", "export", "predict", "resume", "stop", "check", "record",
    "launch", "watch",
)  # fmt: skip


@pytest.mark.parametrize("words", [[], ["recipes"], ["probe"], ["ui"], ["sweep"], *(["sweep", name] for name in SWEEP)])
def test_help_teaches(words: list[str]) -> None:
    told = RUNNER.invoke(app, [*words, "--help"], env={"COLUMNS": "160"})
    assert told.exit_code == 0
    assert "Usage" in told.output


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'ray', 'mlflow', 'optuna', 'sqlalchemy', 'pandas', 'numpy', 'matplotlib'}"
    code = (
        "import sys; from typer.testing import CliRunner; from services.cli.app import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_showing_a_sweep_loads_no_numpy() -> None:
    """It answers in under a second at 10,000 trials: half of that is what it imports."""
    code = (
        "import sys; import services.cli.showing, sweeps.report.table, sweeps.store;"
        "print(sorted({'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_prints_as_yaml_that_is_the_same_sweep(name: str) -> None:
    told = RUNNER.invoke(app, ["recipes", name])
    spec = validated(SweepSpec, load_yaml(told.output))
    assert spec == RECIPES[name].load()()
    assert spec.content_hash == RECIPES[name].load()().content_hash


def test_recipes_as_json() -> None:
    listed = json.loads(RUNNER.invoke(app, ["recipes", "--json"]).output)
    assert [entry["name"] for entry in listed] == list(RECIPES)


def test_version() -> None:
    assert RUNNER.invoke(app, ["--version"]).output.startswith("rnnlab 0.")


def test_list_and_show(tmp_path: Path) -> None:
    spec = RECIPES["first"].load()()
    with Lab.open(Home(tmp_path).lab_url) as lab:
        for _ in range(2):
            lab.create_sweep(spec.name, spec.model_dump(mode="json", exclude_defaults=True), spec.content_hash)
        lab.take_lease("first", "a-host-that-died", 1)
        with lab.engine.begin() as connection:  # an hour ago
            connection.exec_driver_sql("update sweeps set heartbeat_at = datetime('now', '-1 hour') where id = 'first'")
    listed = json.loads(RUNNER.invoke(app, ["sweep", "list", "--home", str(tmp_path), "--json"]).output)
    assert [(sweep["id"], sweep["name"], sweep["status"]) for sweep in listed] == [
        ("first-2", "first", "queued"),
        ("first", "first", "stopped"),
    ]
    table = RUNNER.invoke(app, ["sweep", "list", "--home", str(tmp_path)]).output
    assert "first-2" in table
    assert json.loads(RUNNER.invoke(app, ["sweep", "show", "first", "--home", str(tmp_path), "--json"]).output) == []


def test_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text(
        "name: one\ntask: {kind: adding, length: 30}\nmodel: {init: orthogonal, activation: linear}\nreplicates: 2"
    )
    told = RUNNER.invoke(app, ["probe", "one.yaml", "--updates", "3"], env={"COLUMNS": "160"})
    assert told.exit_code == 0, told.output
    assert "healthy" in told.output
    assert (tmp_path / "one-probe.png").read_bytes().startswith(b"\x89PNG")
    rows = json.loads(RUNNER.invoke(app, ["probe", "one.yaml", "--updates", "3", "--json"]).stdout)
    # a linear orthogonal network keeps every norm: D is 0 to rounding at initialisation
    assert [abs(row["decades_init"]) < 1e-6 for row in rows] == [True, True]
