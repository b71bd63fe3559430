"""`rnnlab sweep export` as a person runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from simulated import Truth, simulated_spec
from simulated_lab import store_sweep
from typer.testing import CliRunner

from services.cli.app import app, main
from sweeps.home import Home
from sweeps.store import Lab

RUNNER = CliRunner()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a home in which one sweep ran, but for a trial that still runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNLAB_HOME", "home")
    with Lab.open(Home(tmp_path / "home").lab_url) as lab:
        store_sweep(lab, simulated_spec(blocks=1), lambda picks: Truth(), states={5: "running"})
    return tmp_path


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one message of a command that leaves with code 2."""
    monkeypatch.setattr(sys, "argv", ["rnnlab", *words])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert left.value.code == 2, told
    assert told.count("error:") == 1
    assert "Traceback" not in told
    return told


def test_help_teaches() -> None:
    told = RUNNER.invoke(app, ["sweep", "export", "--help"], env={"COLUMNS": "160"})
    assert told.exit_code == 0
    assert "rnnlab sweep export first --to csv" in told.output


def test_parquet_by_default(place: Path) -> None:
    told = RUNNER.invoke(app, ["sweep", "export", "simulated"])
    assert told.exit_code == 0, told.output
    assert "trials: 5 complete, 1 running" in told.stdout
    assert "It is queued: this is what there is now" in told.stdout
    assert "5 trials ended without curves: 0, 1, 2, 3, 4." in told.stdout
    assert len(pd.read_parquet(place / "simulated-parquet" / "trials.parquet")) == 6
    assert sorted(path.name for path in place.iterdir()) == ["home", "simulated-parquet"]


def test_csv_elsewhere_as_json(place: Path) -> None:
    words = ["sweep", "export", "simulated", "--to", "csv", "--out", "mine", "--no-curves", "--json"]
    (told,) = json.loads(RUNNER.invoke(app, words).stdout)
    assert (told["path"], told["to"], told["rows"]["replicates"], told["status"]) == ("mine", "csv", 5, "queued")
    assert told["trials"] == {"complete": 5, "running": 1}
    assert len(pd.read_csv(place / "mine" / "replicates.csv")) == 5


def test_optuna_and_again(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "export", "simulated", "--to", "optuna"]
    told = RUNNER.invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "optuna-dashboard sqlite:///simulated-optuna.db" in told.stdout
    before = (place / "simulated-optuna.db").read_bytes()
    assert "--force" in refused(monkeypatch, capsys, *words)
    assert (place / "simulated-optuna.db").read_bytes() == before
    assert RUNNER.invoke(app, [*words, "--force"]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["simulate"], ["no sweep 'simulate'", "did you mean 'simulated'"]),
        (["simulated", "--to", "exel"], ["--to 'exel' is unknown", "parquet, csv, optuna"]),
        (["simulated", "--home", "nowhere"], ["nowhere holds no lab.db"]),
        (["simulated", "--home", "broken"], ["broken/lab.db", "cannot be used"]),
        (["simulated", "--out", "no/where"], ["the folder no must exist"]),
        (["simulated", "--out", "home/out"], ["outside of the home"]),
        (["simulated", "--out", "broken", "--force"], ["replaces an earlier export only"]),
    ],
)
def test_mistakes(
    words: list[str], parts: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "broken").mkdir()
    (place / "broken" / "lab.db").write_text("not a database, but long enough to be read as if it were one")
    before = sorted(place.iterdir())
    told = refused(monkeypatch, capsys, "sweep", "export", *words)
    for part in parts:
        assert part in told
    assert sorted(place.iterdir()) == before
