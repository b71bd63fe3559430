"""`rnnlab probe`: chart, picture and arrays of one configuration or two, and refusals that leave nothing behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.cli.app import app, main
from sweeps.recording.arrays import load_curves

RUNNER = CliRunner()
TANH = "task: {kind: adding, length: 30}\nmodel: {hidden: 16}\nreplicates: 2\nbudget: {updates: 4}"
LSTM = "task: {kind: copying, length: 20}\nmodel: {cell: lstm, hidden: 8, bias_init: chrono}\nreplicates: 1\nbudget: {updates: 4}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tanh.yaml").write_text(TANH)
    (tmp_path / "lstm.yaml").write_text(LSTM)
    return tmp_path


def run(*words: str) -> str:
    told = RUNNER.invoke(app, ["probe", *words], env={"COLUMNS": "160"})
    assert told.exit_code == 0, told.output
    return told.stdout


def test_a_chart_a_picture_and_the_arrays(place: Path) -> None:
    told = run("tanh.yaml")
    for part in ("-3.0 ┤", "lag, steps back", "○ update 0", "● update 4", "- theory at update 0: mean field √χ₁ ="):
        assert part in told
    assert (place / "tanh-probe.png").read_bytes().startswith(b"\x89PNG")
    arrays = load_curves(place / "tanh-probe.npz")
    assert arrays["updates"].tolist() == [0, 1, 2, 4]
    assert arrays["anchor_h_l0"].shape == (4, 2, 30)
    assert {path.name for path in place.iterdir()} == {"tanh.yaml", "lstm.yaml", "tanh-probe.png", "tanh-probe.npz"}


def test_places_of_the_files(place: Path) -> None:
    run("tanh.yaml", "--updates", "1", "--picture", "a.png", "--npz", "b")
    assert (place / "a.png").is_file()
    assert "anchor_h_l0" in load_curves(place / "b")


def test_no_updates_measure_and_train_nothing(place: Path) -> None:
    rows = json.loads(run("tanh.yaml", "--updates", "0", "--json"))
    assert [(row["update"], row["outcome"], row["test_score"]) for row in rows] == [(0, "finished", None)] * 2
    assert all(row["decades"] == row["decades_init"] and row["verdict"] == row["verdict_init"] for row in rows)
    assert all(row["score"] != 0 for row in rows)  # of the untrained network, on validation
    untrained = load_curves(place / "tanh-probe.npz")
    assert untrained["updates"].tolist() == [0]
    run("tanh.yaml")
    trained = load_curves(place / "tanh-probe.npz")
    np.testing.assert_array_equal(trained["anchor_h_l0"][0], untrained["anchor_h_l0"][0])
    told = run("tanh.yaml", "--updates", "0")
    assert "○ update 0" in told
    assert "●" not in told


def test_one_against_another(place: Path) -> None:
    told = run("tanh.yaml", "--against", "lstm.yaml")
    for part in ("tanh: rnn tanh", "lstm: lstm, chrono", "○ tanh, update 0", "▲ lstm, update 4", "= lstm, theory"):
        assert part in told
    assert (place / "tanh-vs-lstm-probe.png").is_file()
    both = load_curves(place / "tanh-vs-lstm-probe.npz")
    run("tanh.yaml")
    run("lstm.yaml")
    for name in ("tanh", "lstm"):  # nothing is shared: each is what it is alone
        alone = load_curves(place / f"{name}-probe.npz")
        assert {key for key in both if key.startswith(name)} == {f"{name}/{key}" for key in alone}
        for key, values in alone.items():
            np.testing.assert_array_equal(both[f"{name}/{key}"], values)


def test_json_of_two_names_their_files(place: Path) -> None:
    rows = json.loads(run("tanh.yaml", "--against", "lstm.yaml", "--updates", "1", "--json"))
    assert [(row["spec"], row["number"]) for row in rows] == [("tanh.yaml", 0), ("tanh.yaml", 1), ("lstm.yaml", 0)]


def test_equal_names_are_told_apart(place: Path) -> None:
    (place / "b").mkdir()
    (place / "b" / "tanh.yaml").write_text(LSTM)
    told = run("tanh.yaml", "--against", "b/tanh.yaml", "--updates", "0")
    assert "tanh-2: lstm, chrono" in told
    assert {"tanh/updates", "tanh-2/updates"} <= set(load_curves(place / "tanh-vs-tanh-2-probe.npz"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["tanh.yaml", "--against", "nothing.yaml"], "nothing.yaml is not a file"),
        (["tanh.yaml", "--against", "./tanh.yaml"], "takes a second configuration"),
        (["tanh.yaml", "--against", "bad.yaml"], "did you mean 'hidden'"),
        (["tanh.yaml", "--against", "space.yaml"], "space.yaml: a probe takes one configuration"),
        (["tanh.yaml", "--against", "data.yaml"], "nowhere.csv"),
        (["tanh.yaml", "--updates", "-1"], "greater than or equal to 0"),
        (["tanh.yaml", "--npz", "no/where.npz"], "the npz's folder no must exist"),
        (["tanh.yaml", "--picture", "."], "takes a file, but . is a folder"),
        (["tanh.yaml", "--picture", "x", "--npz", "./x"], "must be two files"),
    ],
)
def test_refusals(
    words: list[str], part: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "bad.yaml").write_text(TANH.replace("hidden", "hiden"))
    (place / "space.yaml").write_text(TANH + "\nspace: {cell: [rnn]}")
    table = "{kind: table, path: nowhere.csv, inputs: [a], target: b, lag: 3, length: 5}"
    (place / "data.yaml").write_text(f"task: {table}\nreplicates: 1")
    before = set(place.iterdir())
    monkeypatch.setattr(sys, "argv", ["rnnlab", "probe", *words])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert left.value.code == 2, told
    assert part in told
    assert told.count("error:") <= 1
    assert set(place.iterdir()) == before
