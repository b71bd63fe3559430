"""`rnnlab sweep check` as a person runs it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from commands import SMALL, Ran, rnnlab, small_sweep
from night import begin, kill, until, workers_of
from typer.testing import CliRunner

from services.cli.app import app, main
from sweeps.home import CHECKPOINT_FILE, Home
from sweeps.store import Lab

RUNNER = CliRunner()


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A sweep of three trials."""
    return small_sweep(tmp_path_factory)


@pytest.fixture
def place(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of its home, whose artifacts stay where they are: nothing here writes them."""
    shutil.copytree(ran.home, tmp_path / "home")
    monkeypatch.setenv("RNNLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def check(*words: str) -> tuple[int, str]:
    told = RUNNER.invoke(app, ["sweep", "check", "small", *words], catch_exceptions=False)
    return told.exit_code, told.stdout


def test_help_teaches() -> None:
    told = RUNNER.invoke(app, ["sweep", "check", "--help"], env={"COLUMNS": "160"})
    assert told.exit_code == 0
    assert "rnnlab sweep check first --repair" in told.output


def test_clean(place: Path) -> None:
    code, told = check()
    assert (code, told.count("\n")) == (0, 1), told
    assert told.startswith("checked 3 trials, 4 runs, ")
    assert told.endswith("points: the lab database and MLflow agree\n")
    assert check("--json") == (0, "[]\n")


def test_found_and_mended(place: Path) -> None:
    left = place / "sweeps" / "small" / "trials" / "0001" / CHECKPOINT_FILE
    left.touch()
    code, told = check()
    assert code == 1
    assert "checkpoint-left" in told
    assert "1 found, 1 can be mended: `rnnlab sweep check small --repair`" in told
    (found,) = json.loads(check("--json")[1])
    assert (found["group"], found["code"], found["trial"], found["mended"]) == ("files", "checkpoint-left", 1, False)
    code, told = check("--repair")
    assert (code, left.exists()) == (0, False), told
    assert "yes: removed" in told
    assert "1 mended, the lab database and MLflow agree" in told
    assert check("--json") == (0, "[]\n")


def test_what_cannot_be_mended_is_said(place: Path) -> None:
    with sqlite3.connect(place / "lab.db") as connection:
        connection.execute('update reports set score = 1.5 where trial = 1 and "update" = 10')
    connection.close()
    code, told = check("--repair")
    assert code == 1
    assert "score-wrong" in told
    assert "1 found, none can be mended" in told


def test_a_sweep_that_runs_may_be_checked_and_not_repaired(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lab.open(Home(place).lab_url) as lab:
        lab.take_lease("small", "another-machine", 1, to_mend=True)
    code, told = check()
    assert code == 0
    assert "lags only" in told  # the parent run has ended, which it will not have while it runs
    assert "none a fault" in told
    monkeypatch.setattr(sys, "argv", ["rnnlab", "sweep", "check", "small", "--repair"])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert "being run by pid 1 on another-machine" in said
    assert "rnnlab sweep stop small" in said


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["smal"], ["no sweep 'smal'", "did you mean 'small'"]),
        (["small", "--home", "nowhere"], ["nowhere holds no lab.db"]),
    ],
)
def test_mistakes(
    words: list[str], parts: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rnnlab", "sweep", "check", *words])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.count("error:") == 1
    for part in parts:
        assert part in said


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_driver_is_killed_and_the_sweep_mended_and_resumed(tmp_path: Path) -> None:
    home, spec = tmp_path / "home", tmp_path / "night.yaml"
    spec.write_text(
        SMALL.replace("name: small", "name: night").replace(
            "updates: 20, evaluations: 4", "updates: 1200, evaluations: 60"
        )
    )
    driver = begin(home, "run", str(spec))
    until(home, lambda lab: any(report.update >= 100 for report in lab.reports("night")), seconds=600)
    for worker in workers_of(driver):  # or the trials would have ended by the time that the check has
        worker.suspend()
    running = rnnlab("sweep", "check", "night", home=home, timeout=600)
    assert running.code == 0, running.out
    kill(driver)
    lost = rnnlab("sweep", "check", "night", "--json", home=home, timeout=600)
    assert lost.code == 1
    assert {"sweep-lost", "trial-running"} <= {finding["code"] for finding in json.loads(lost.out)}
    mended = rnnlab("sweep", "check", "night", "--repair", home=home, timeout=600)
    assert mended.code == 0, mended.out
    again = rnnlab("sweep", "check", "night", "--json", home=home, timeout=600)
    assert json.loads(again.out) == []
    resumed = rnnlab("sweep", "resume", "night", "--json", home=home, timeout=900)
    assert resumed.code == 0, resumed.err
    assert rnnlab("sweep", "check", "night", "--everything", "--json", home=home, timeout=600).out == "[]\n"
