"""`rnnlab sweep predict` on sweeps in a lab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from simulated import Truth, World, records, simulated_spec
from typer.testing import CliRunner

from rnnlab.errors import PlaceError, RnnlabError, SpecError
from services.cli.predicting import predict
from sweeps.home import Home
from sweeps.store import Lab

RUNNER = CliRunner()
APP = typer.Typer()
APP.command()(predict)


def keep(lab: Lab, name: str, truth: Truth, seed: int) -> None:
    """A simulated sweep, in a lab as its driver would have left it."""
    spec = simulated_spec(blocks=4)
    trials, replicates = records(spec, lambda picks: truth, World(seed=seed))
    lab.create_sweep(name, spec.model_dump(mode="json", exclude_defaults=True), spec.content_hash)
    for block in range(4):
        lab.add_block(name, block, block, {})
    for trial in trials:
        lab.start_trial(
            name, trial.number, block=trial.block, config_hash=trial.config_hash, label=trial.label,
            params=trial.params, spec=trial.spec,
        )  # fmt: skip
        lab.end_trial(name, trial.number, "complete", trial, [one for one in replicates if one.trial == trial.number])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    with Lab.open(Home(place).lab_url) as lab:
        keep(lab, "first", Truth(signal=0.3), 1)
        keep(lab, "second", Truth(signal=0.3), 2)
        keep(lab, "hopeless", Truth(solved=0.0), 3)
    return place


def test_a_table_the_answer_the_page_and_its_picture(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = RUNNER.invoke(APP, ["first", "second", "--home", str(home), "--write", "found.md"])
    assert told.exit_code == 0, told.output
    for part in ("early loss", "gain over the early loss", "all but the loss", "comparisons", "found.md", "found.png"):
        assert part in told.output
    assert "**" not in told.output
    text = (tmp_path / "found.md").read_text()
    assert "![AUC by percent of the budget](found.png)" in text
    assert "rnnlab sweep predict first second --write found.md" in text
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"found.md", "found.png"}


def test_json_holds_the_numbers_and_the_words(home: Path) -> None:
    told = RUNNER.invoke(APP, ["first", "--home", str(home), "--json"])
    found = json.loads(told.stdout)
    assert [sweep["sweep_id"] for sweep in found["sweeps"]] == ["first"]
    assert found["across"] is False
    assert {one["percent"] for one in found["judged"]} == {0, 2, 5, 10}
    assert found["answer"][0].startswith("**")
    assert "One sweep alone" in found["caveats"][0]


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["frist"], SpecError, "there is no sweep 'frist'; did you mean 'first'"),
        (["first", "hopeless"], SpecError, "hopeless has 0 solved of 24 in 4"),
        (["first", "first"], SpecError, "different sweeps, but got first, first"),
        (["first", "--write", "missing/page.md"], PlaceError, "in a folder that is there, but got missing/page.md"),
        (["first", "--write", "page.txt"], PlaceError, "ends in .md"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_message(
    home: Path, words: list[str], error: type[RnnlabError], says: str
) -> None:
    told = RUNNER.invoke(APP, [*words, "--home", str(home)])
    assert type(told.exception) is error
    assert says in str(told.exception)


def test_a_home_without_sweeps(tmp_path: Path) -> None:
    told = RUNNER.invoke(APP, ["first", "--home", str(tmp_path)])
    assert isinstance(told.exception, PlaceError)
    assert "no sweep has run in this home" in str(told.exception)
    assert not (tmp_path / "lab.db").exists()
