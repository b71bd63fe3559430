"""A user's mistakes: one clear message, exit code 2, nothing created."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from services.cli.app import main

GOOD = {
    "name": "mine",
    "task": "{kind: adding, length: 20}",
    "space": "{cell: [rnn, lstm], lr: {low: 1e-3, high: 1e-2, log: true}}",
    "search": "{sampler: random, trials: 2}",
    "replicates": "1",
    "budget": "{updates: 5}",
}
TABLE = "{kind: table, path: data.csv, inputs: [a], target: b, lag: 3, length: 5}"


def spec(**changes: str | None) -> str:
    """A good spec's YAML with some entries changed or, with None, left out."""
    return "\n".join(f"{key}: {value}" for key, value in {**GOOD, **changes}.items() if value is not None)


SPECS: list[tuple[str, str, list[str]]] = [
    ("misspelt key", spec(replicate="3"), ["replicate: no such key", "did you mean 'replicates'"]),
    ("misspelt task", spec(task="{kind: addin}"), ["'addin' is unknown", "did you mean 'adding'"]),
    ("misspelt option", spec(task="{kind: adding, lenght: 9}"), ["no option 'lenght'", "did you mean 'length'"]),
    ("misspelt cell", spec(space="{cell: [rnn, lstn]}"), ["'lstn' is unknown", "did you mean 'lstm'"]),
    ("misspelt dimension", spec(space="{cel: [rnn]}"), ["space.cel: no such dimension", "did you mean 'cell'"]),
    ("misspelt model key", spec(model="{hiden: 3}"), ["hiden: no such key", "did you mean 'hidden'"]),
    ("impossible range", spec(space="{lr: {low: 1, high: 0.1}}"), ["`low <= high` must hold", "low=1, high=0.1"]),
    ("log of zero", spec(space="{lr: {low: 0, high: 0.1, log: true}}"), ["log range requires low > 0"]),
    (
        "unknown condition",
        spec(space="{cell: [rnn], init: {choices: [default], when: {cel: rnn}}}"),
        ["'cel', which is not a dimension", "did you mean 'cell'"],
    ),
    (
        "impossible condition",
        spec(space="{cell: [rnn], init: {choices: [default], when: {cell: gru}}}"),
        ["can never hold", "choices of cell: rnn"],
    ),
    (
        "activation for an LSTM",
        spec(space="{cell: [rnn, lstm], activation: [tanh, relu]}"),
        ["cell=lstm, activation=tanh", "requires the cell rnn", "when: {cell: rnn}"],
    ),
    ("too short", spec(task="{kind: temporal_order, length: 5}"), ["'length' is 5", "greater than or equal to 10"]),
    ("lost loss", spec(task="{kind: adding, length: 20, loss: {at: [20]}}"), ["names timestep 20", "0 to 19"]),
    ("no trials", spec(search="{sampler: random}"), ["requires `trials`"]),
    ("trials of a grid", spec(search="{sampler: grid, trials: 3}"), ["leave `trials` out"]),
    ("grid over a range", spec(search="{sampler: grid}"), ["sampler grid needs choices", "low=0.001"]),
    ("not a number", spec(budget="{updates: many}"), ["budget.updates: got 'many'"]),
    ("negative lr", spec(space="{cell: [rnn]}", optim="{lr: -1}"), ["optim.lr: got -1"]),
    ("not YAML", "name: [", ["not YAML", "line"]),
    ("a list", "- 1\n- 2", ["must be a mapping"]),
    ("empty", "", ["must be a mapping", "nothing"]),
    ("twice", "name: a\nname: b", ["'name' stands twice"]),
    ("no space", spec(space=None), ["space: required"]),
    ("missing file", spec(task=TABLE.replace("data.csv", "nowhere.csv")), ["nowhere.csv"]),
    ("empty file", spec(task=TABLE.replace("data.csv", "empty.csv")), ["empty.csv", "empty"]),
    ("ragged file", spec(task=TABLE.replace("data.csv", "ragged.csv")), ["ragged.csv", "line 4"]),
    ("missing value", spec(task=TABLE.replace("data.csv", "gap.csv")), ["gap.csv", "line 3", "'a'"]),
    ("words in numbers", spec(task=TABLE.replace("data.csv", "words.csv")), ["words.csv", "line 4", "'x'"]),
    ("unknown column", spec(task=TABLE.replace("[a]", "[aa]")), ["'aa'", "did you mean 'a'"]),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with data files; the home would be made in it."""
    rows = [f"{i},{i % 7}" for i in range(200)]
    (tmp_path / "data.csv").write_text("\n".join(["a,b", *rows]))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "ragged.csv").write_text("\n".join(["a,b", "1,2", "3,4", "5,6,7", *rows]))
    (tmp_path / "gap.csv").write_text("\n".join(["a,b", "1,2", ",4", *rows]))
    (tmp_path / "words.csv").write_text("\n".join(["a,b", "1,2", "3,4", "x,6", *rows]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNLAB_HOME", raising=False)
    return tmp_path


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says, with its exit code 2 checked, and that it says it in one message."""
    monkeypatch.setattr(sys, "argv", ["rnnlab", *words])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert left.value.code == 2, told
    assert "Traceback" not in told
    assert told.count("error:") <= 1
    return told


@pytest.mark.parametrize(("text", "parts"), [case[1:] for case in SPECS], ids=[case[0] for case in SPECS])
def test_bad_spec(
    text: str, parts: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine.yaml").write_text(text)
    before = set(place.iterdir())
    told = refused(monkeypatch, capsys, "sweep", "run", "mine.yaml")
    for part in parts:
        assert part in told
    assert set(place.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["sweep", "run", "nothing.yaml"], ["nothing.yaml is not a file"]),
        (["sweep", "run", "firts"], ["neither a file nor a recipe", "did you mean 'first'"]),
        (["recipes", "wether"], ["'wether' is unknown", "did you mean 'weather'"]),
        (["sweep", "list"], ["holds no lab.db"]),
        (["sweep", "show", "x"], ["holds no lab.db"]),
        (["ui"], ["holds no lab.db"]),
        (["probe", "nothing.yaml"], ["nothing.yaml is not a file"]),
        (["sweep", "run", "first", "--address", "127.0.0.1:9"], ["no Ray cluster answers at '127.0.0.1:9'"]),
        (["sweep", "rum", "first"], ["No such command 'rum'"]),
    ],
)
def test_bad_command(
    words: list[str],
    parts: list[str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = set(place.iterdir())
    told = refused(monkeypatch, capsys, *words)
    for part in parts:
        assert part in told
    assert set(place.iterdir()) == before


def test_home_below_a_file(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # tests run as root, who may write anywhere but below a file
    (place / "mine.yaml").write_text(spec())
    told = refused(monkeypatch, capsys, "sweep", "run", "mine.yaml", "--home", "data.csv/home")
    assert "data.csv/home must be one that can be made and written" in told
    assert "--home or RNNLAB_HOME" in told


def test_probe_takes_one_configuration(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine.yaml").write_text(spec())
    assert "takes one configuration" in refused(monkeypatch, capsys, "probe", "mine.yaml")
    (place / "mine.yaml").write_text(spec(space=None, search=None, name=None))
    told = refused(monkeypatch, capsys, "probe", "mine.yaml", "--picture", "no/where.png")
    assert "folder no must exist" in told
