"""`rnnlab sweep compare` as a person runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from simulated import SPACE, Truth, World, simulated_spec
from simulated_lab import store_sweep
from typer.testing import CliRunner

from services.cli.app import app, main
from sweeps.home import Home
from sweeps.store import Lab

RUNNER = CliRunner()
SMALL = {"cell": ["rnn", "lstm"], "lr": SPACE["lr"]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home of three sweeps: the third has another seed, and a trial that failed."""
    home = Home(tmp_path_factory.mktemp("compare") / "home")
    with Lab.open(home.lab_url) as lab:
        for seed, solved in ((0, 0.2), (0, 0.9)):
            spec = simulated_spec(blocks=12, space=SMALL, seed=0)
            store_sweep(lab, spec, lambda picks, p=solved: Truth(solved=p), World(block_sd=0.1, seed=seed))  # type: ignore[misc]
        store_sweep(lab, simulated_spec(blocks=12, space=SMALL, seed=3), lambda _: Truth(), states={0: "failed"})
    return home


@pytest.fixture
def place(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder that the home lies in."""
    monkeypatch.chdir(home.path.parent)
    monkeypatch.setenv("RNNLAB_HOME", "home")
    return home.path.parent


def test_help_teaches() -> None:
    told = RUNNER.invoke(app, ["sweep", "compare", "--help"], env={"COLUMNS": "160"})
    assert told.exit_code == 0
    assert "rnnlab sweep compare clipping-by-depth clipping-by-depth-2" in told.output


def test_table(place: Path) -> None:
    told = RUNNER.invoke(app, ["sweep", "compare", "simulated", "simulated-2"])
    assert told.exit_code == 0, told.output
    for part in (
        "P(healthy)",
        "P(solved)",
        "test score",
        "decades",
        "12, 12",
        "Newcombe, paired, 12 pairs",
        "are paired",
    ):
        assert part in told.stdout
    assert "differ in more" not in told.stdout


def test_json(place: Path) -> None:
    (told,) = json.loads(RUNNER.invoke(app, ["sweep", "compare", "simulated", "simulated-3", "--json"]).stdout)
    assert (told["first"], told["second"], told["paired"]) == ("simulated", "simulated-3", False)
    assert sorted(arm["levels"]["cell"] for arm in told["arms"]) == ["lstm", "rnn"]
    assert sorted(arm["replicates"][1] for arm in told["arms"]) == [11, 12]
    assert any("seeds differ" in warning for warning in told["warnings"])
    assert any("23 of 24 trials have used their budget" in warning for warning in told["warnings"])
    for arm in told["arms"]:
        for one in arm["outcomes"]:
            gap = one["difference"]
            assert gap["low"] <= gap["value"] <= gap["high"]
            assert gap["value"] == pytest.approx(one["second"]["value"] - one["first"]["value"])


def test_sweeps_without_a_shared_arm(place: Path) -> None:
    with Lab.open(Home(place / "home").lab_url) as lab:
        gru = simulated_spec(blocks=2, space={**SMALL, "cell": ["gru"]}, seed=1)
        id = store_sweep(lab, gru, lambda picks: Truth())
    told = RUNNER.invoke(app, ["sweep", "compare", "simulated", id])
    assert told.exit_code == 0, told.output
    assert "share no arm (matched by cell)" in told.stdout
    assert f"Only in {id}: gru." in told.stdout


def test_a_sweep_that_has_not_run(place: Path) -> None:
    with Lab.open(Home(place / "home").lab_url) as lab:
        spec = simulated_spec(blocks=2, space=SMALL)
        lab.create_sweep("fresh", spec.model_dump(mode="json", exclude_defaults=True), spec.content_hash)
    told = RUNNER.invoke(app, ["sweep", "compare", "simulated", "fresh"])
    assert told.exit_code == 0, told.output
    assert "fresh: 0 of 4 trials" in told.stdout


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["simulated", "simulatd"], ["no sweep 'simulatd'", "did you mean 'simulated'"]),
        (["simulated", "simulated"], ["takes two sweeps", "'simulated' twice"]),
        (["simulated", "simulated-2", "--home", "nowhere"], ["nowhere holds no lab.db"]),
    ],
)
def test_mistakes(
    words: list[str], parts: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rnnlab", "sweep", "compare", *words])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.count("error:") == 1
    for part in parts:
        assert part in told
