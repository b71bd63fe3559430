"""`rnnlab probe`: chart, picture and arrays of one configuration or two, and refusals that leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rnnlab.curve import Curve
from rnnlab.training.outcome import ReplicateResult
from services.cli.app import app, main
from services.cli.probing import beside
from sweeps.recording.arrays import load_curves, log10_of

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


def test_norms_below_what_a_float_holds_are_in_the_file_and_in_the_chart(place: Path) -> None:
    task = "task: {kind: adding, length: 2000}\nprobe: {batch: 2, measure: [anchor]}"
    (place / "long.yaml").write_text(TANH.replace("task: {kind: adding, length: 30}", task))
    told = run("long.yaml", "--updates", "0")
    log10_USK = log10_of(load_curves(place / "long-probe.npz"), "anchor_h_l0")
    assert (log10_USK[:, :, -1] < -320).all()
    assert np.isfinite(log10_USK).all()
    lowest = min(float(line.split()[0]) for line in told.splitlines() if "┤" in line)
    relative_S = log10_USK[0, :, -1] - log10_USK[0, :, 5]
    assert lowest <= relative_S.max()
    assert "exact zeros" not in told


def test_how_much_a_verdict_hangs_on_its_threshold_and_which_law_its_curve_follows(place: Path) -> None:
    (place / "tanh.yaml").write_text(TANH.replace("replicates: 2", "replicates: 1"))
    (row,) = json.loads(run("tanh.yaml", "--json"))
    anchor = load_curves(place / "tanh-probe.npz")["anchor_h_l0"]
    verdict = Curve("anchor", "lag", anchor[-1], "h", 0).verdict()  # task adding: K = T - 1
    assert list(row["verdict_by_r"].items()) == list(zip("235", verdict.names_by_r, strict=True))
    assert list(row["horizon_by_r"].items()) == list(zip("235", verdict.horizons_by_r, strict=True))
    assert (row["fit"], row["power"]) == (verdict.fit, verdict.power) == ("exponential", verdict.power)
    told = run("tanh.yaml")
    assert f"verdict by threshold r = 2, 3, 5 decades: {' | '.join(verdict.names_by_r)}\n" in told
    lags = " | ".join("-" if lag is None else f"{lag} steps" for lag in verdict.horizons_by_r)
    assert f"horizon by threshold r = 2, 3, 5 decades: {lags}\n" in told
    assert "the curve by lag k is nearer to an exponential\n" in told


def test_replicates_that_differ_are_counted() -> None:
    def row(number: int, *names: str, fit: str = "exponential", horizon: int | None = None) -> ReplicateResult:
        by_r, horizons = dict(zip("235", names, strict=True)), dict.fromkeys("235", horizon)
        return ReplicateResult(number, 0, verdict_by_r=by_r, horizon_by_r=horizons, fit=fit, power=-1.5)

    rows = [
        row(0, "vanishing", "vanishing", "healthy", horizon=30),
        row(1, "vanishing", "healthy", "healthy", fit="power_law"),
        row(2, "vanishing", "healthy", "healthy", fit="power_law"),
    ]
    told = beside(rows)
    assert "vanishing | 2 healthy, 1 vanishing | healthy" in told[0]
    assert told[1].endswith("decades: - | - | -")
    assert told[2].endswith("2 a power law, 1 an exponential (median k^-1.50)")
    assert beside([ReplicateResult(0, 0)]) == []  # too short, or never measured


def interrupted(place: Path, *words: str, pauses: list[float]) -> tuple[int, str, str]:
    """Exit code, output and what the terminal saw of a probe that gets Ctrl-C once it has trained, after each pause."""
    ours, theirs = pty.openpty()
    probe = [sys.executable, "-m", "services.cli.app", "probe", *words]
    child = subprocess.Popen(probe, cwd=place, stdout=subprocess.PIPE, stderr=theirs, text=True, start_new_session=True)
    os.close(theirs)
    seen = ""
    try:
        while not re.search(r" [1-9]\d*/90000", seen):
            assert select.select([ours], [], [], 240)[0], "the training did not get going"
            seen += os.read(ours, 4096).decode(errors="replace")
        for pause in pauses:
            time.sleep(pause)
            child.send_signal(signal.SIGINT)
        reader = threading.Thread(target=lambda: rest.append(_drained(ours)))
        rest: list[str] = []
        reader.start()
        out, _ = child.communicate(timeout=240)
        reader.join(60)
    finally:
        if child.poll() is None:
            child.kill()
        os.close(ours)
    return child.returncode, out, seen + rest[0]


def _drained(ours: int) -> str:
    read = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while part := os.read(ours, 4096):
            read += part
    return read.decode(errors="replace")


LONG = "\nbudget: {updates: 90000, evaluations: 9000}"


def test_ctrl_c_keeps_what_was_measured_of_both(place: Path) -> None:
    (place / "tanh.yaml").write_text(TANH.replace("\nbudget: {updates: 4}", LONG))
    code, out, seen = interrupted(place, "tanh.yaml", "--against", "lstm.yaml", pauses=[0])
    assert code == 130, seen
    assert "Traceback" not in seen
    assert re.search(r"interrupted: tanh stopped after update \d[\d,]* of 90,000, measured at update 0, ", seen)
    assert re.search(r"lstm stopped after update 0 of 4, measured at update 0\W", seen)
    assert "tanh-vs-lstm-probe.png" in out
    assert (place / "tanh-vs-lstm-probe.png").read_bytes().startswith(b"\x89PNG")
    arrays = load_curves(place / "tanh-vs-lstm-probe.npz")
    assert arrays["tanh/updates"][0] == arrays["lstm/updates"][0] == 0
    assert len(arrays["lstm/updates"]) == 1
    assert np.isfinite(arrays["tanh/anchor_h_l0"]).all()


def test_a_second_ctrl_c_leaves_out_what_is_still_being_measured(place: Path) -> None:
    (place / "tanh.yaml").write_text(TANH.replace("\nbudget: {updates: 4}", LONG))
    # its Jacobians take longer than anybody waits
    slow = "probe: {batch: 8, measure: [anchor, jacobian, lyapunov]}"
    (place / "slow.yaml").write_text(
        f"task: {{kind: adding, length: 2000}}\nmodel: {{hidden: 128}}\nreplicates: 4\n{slow}"
    )
    code, out, seen = interrupted(place, "tanh.yaml", "--against", "slow.yaml", "--json", pauses=[0, 1])
    assert code == 130, seen
    assert "Traceback" not in seen
    assert "slow was not measured" in seen
    rows = json.loads(out)
    assert [(row["spec"], row["outcome"]) for row in rows] == [("tanh.yaml", "interrupted")] * 2
    assert (place / "tanh-vs-slow-probe.png").is_file()
    assert load_curves(place / "tanh-vs-slow-probe.npz")["updates"][0] == 0
    assert not list(place.glob(".*"))


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
