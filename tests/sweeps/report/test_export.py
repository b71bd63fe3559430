"""Exports hold what the lab database holds, number by number."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from simulated import Truth, simulated_spec
from simulated_lab import store_sweep

from rnnlab.curve import Curve
from rnnlab.errors import PlaceError, SpecError
from sweeps.analysis.data import load
from sweeps.home import Home, trial_folder
from sweeps.recording.arrays import CurveArchive
from sweeps.report.export import check_target, export_study, export_tables, form_of, parts_of
from sweeps.space.dimensions import Picks
from sweeps.store import Lab, TrialState

STATES: dict[int, TrialState] = {3: "pruned", 4: "failed", 5: "interrupted", 6: "running"}


def truth(picks: Picks) -> Truth:
    return Truth(score=-2.0 if picks["cell"] == "lstm" else -1.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with one sweep of 6 arms in 2 blocks, some of whose trials ended early, and curves of two trials."""
    home = Home(tmp_path / "home")
    with Lab.open(home.lab_url) as lab:
        store_sweep(lab, simulated_spec(blocks=2, replicates=2), truth, states=STATES)
    for number in (0, 3):
        archive = CurveArchive()
        for update in (0, 10):
            values = np.arange(6.0).reshape(2, 3) + 100 * number + update
            low = np.array([[1.0, 0.5, 0.0], [1.0, np.nan, np.nan]])
            logs = np.array([[0.0, np.log10(0.5), -400.0], [0.0, np.nan, np.nan]])
            archive.add(
                update,
                [
                    Curve("anytime_loss", "timestep", values, update=update),
                    Curve("anchor", "lag", low, "c", 1, update, exact_log10_SK=logs),
                    Curve("gate", "timestep", values, None, 0, update, part="forget"),
                ],
            )
        archive.save(trial_folder(home.sweep_folder("simulated"), number) / "curves.npz")
    return home


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_tables_are_what_the_lab_holds(home: Home, tmp_path: Path, form: str) -> None:
    seen: list[int] = []
    with Lab.open(home.lab_url) as lab:
        out = tmp_path / "out"
        done = export_tables(lab, home, "simulated", form_of(form), out, curves=True, each=seen.append)
        data, trials, blocks = load(lab, "simulated", lag=63), lab.trials("simulated"), lab.blocks("simulated")
        replicates, reports, events = lab.replicates("simulated"), lab.reports("simulated"), lab.events("simulated")
    assert seen == list(range(1, 13))
    assert done.missing == [1, 2, 4, 5, 7, 8, 9, 10, 11]  # 6 still runs
    assert done.ended == {"complete": 8, "pruned": 1, "failed": 1, "interrupted": 1, "running": 1}

    def read(name: str) -> pd.DataFrame:
        return pd.read_parquet(out / f"{name}.parquet") if form == "parquet" else pd.read_csv(out / f"{name}.csv")

    table = read("replicates")
    assert list(table.columns) == list(data.frame.columns)
    assert len(table) == len(data.frame) == 16
    for name in ("trial", "score", "test_score", "decades", "solved_at", "lr", "loss_10", "cpu_seconds", "healthy"):
        np.testing.assert_array_equal(table[name].to_numpy(dtype=float), data.frame[name].to_numpy(dtype=float))
    for name in ("cell", "activation", "init", "stage", "outcome", "label"):
        assert list(table[name]) == list(data.frame[name])

    table = read("trials")
    assert list(table["number"]) == [trial.number for trial in trials]
    assert list(table["state"]) == [trial.state for trial in trials]
    assert list(table["param.lr"]) == [trial.params["lr"] for trial in trials]
    assert [json.loads(text) for text in table["spec"]] == [trial.spec for trial in trials]
    known = [trial.score for trial in trials if trial.score is not None]
    assert list(table["score"].dropna()) == known
    assert len(known) == 11

    table = read("records")
    assert list(table["seed"]) == [one.seed for one in replicates]
    assert list(table["score"]) == [one.score for one in replicates]
    assert set(table["outcome"]) == {"finished", "pruned", "failed", "interrupted"}
    assert [json.loads(text) for text in table["features"]] == [one.features for one in replicates]

    table = read("reports")
    assert list(table[["trial", "update", "score"]].itertuples(index=False, name=None)) == [
        (one.trial, one.update, one.score) for one in reports
    ]
    table = read("blocks")
    assert list(table["nuisance.lr"]) == [block.nuisance["lr"] for block in blocks]
    assert list(table["seed"]) == [block.seed for block in blocks]
    assert list(read("events")["message"]) == [event.message for event in events]
    assert json.loads((out / "about.json").read_text())["rows"]["trials"] == 12


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_curves_in_long_form(home: Home, tmp_path: Path, form: str) -> None:
    with Lab.open(home.lab_url) as lab:
        export_tables(lab, home, "simulated", form_of(form), tmp_path / "out", curves=True, each=lambda _: None)
    file = tmp_path / "out" / f"curves.{form}"
    table = pd.read_parquet(file) if form == "parquet" else pd.read_csv(file)
    assert set(table["trial"]) == {0, 3}
    # two trials, two updates; of the anchor two values are NaN, which had diverged
    assert len(table) == 2 * 2 * (6 + 4 + 6)
    row = table[(table.trial == 3) & (table["update"] == 10) & (table.kind == "anytime_loss") & (table.replicate == 1)]
    assert list(row["step"]) == [0, 1, 2]
    assert list(row["value"]) == [313.0, 314.0, 315.0]
    row = table[(table.trial == 3) & (table["update"] == 10) & (table.kind == "anytime_loss") & (table.replicate == 0)]
    assert list(row["value"]) == [310.0, 311.0, 312.0]
    assert row["layer"].isna().all()
    assert row["log10"].isna().all()
    row = table[(table.trial == 0) & (table.kind == "anchor") & (table["update"] == 0) & (table.replicate == 0)]
    assert list(row["value"]) == [1.0, 0.5, 0.0]
    assert list(row["log10"]) == [0.0, np.log10(0.5), -400.0]
    assert set(row["state"]) == {"c"}
    assert set(row["layer"]) == {1}
    assert set(table[table.kind == "gate"]["part"]) == {"forget"}


def test_names_of_curves() -> None:
    assert parts_of("anytime_loss") == ("anytime_loss", None, None, None)
    assert parts_of("loss") == ("loss", None, None, None)
    assert parts_of("anchor_c_l10") == ("anchor", 10, "c", None)
    assert parts_of("gate_forget_l0") == ("gate", 0, None, "forget")
    assert parts_of("reach_first_inputs") == ("reach", None, None, "first_inputs")
    assert parts_of("jacobian_largest_h_l1") == ("jacobian", 1, "h", "largest")


def test_without_curves(home: Home, tmp_path: Path) -> None:
    with Lab.open(home.lab_url) as lab:
        done = export_tables(lab, home, "simulated", "csv", tmp_path / "o", curves=False, each=lambda _: None)
    assert "curves" not in done.rows
    assert not (tmp_path / "o" / "curves.csv").exists()


def test_a_spoilt_file_of_curves_leaves_nothing(home: Home, tmp_path: Path) -> None:
    file = trial_folder(home.sweep_folder("simulated"), 0) / "curves.npz"
    file.write_bytes(file.read_bytes()[:200])
    before = set(tmp_path.iterdir())
    with Lab.open(home.lab_url) as lab, pytest.raises(PlaceError, match=r"curves\.npz cannot be read.*--no-curves"):
        export_tables(lab, home, "simulated", "parquet", tmp_path / "out", curves=True, each=lambda _: None)
    assert set(tmp_path.iterdir()) == before


def test_study(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    with Lab.open(home.lab_url) as lab:
        done = export_study(lab, "simulated", file, lambda _: None)
        trials, reports = lab.trials("simulated"), lab.reports("simulated")
    assert done.rows == {"trials": 12}
    with warnings.catch_warnings():
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        study = optuna.load_study(study_name="simulated", storage=storage)
    told = study.trials
    assert [one.number for one in told] == [one.number for one in trials]
    words = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "interrupted": "FAIL", "running": "RUNNING"}
    assert [one.state.name for one in told] == [words[one.state] for one in trials]
    assert [one.user_attrs["label"] for one in told] == [one.label for one in trials]
    for one, trial in zip(told, trials, strict=True):
        assert one.intermediate_values == {r.update: r.score for r in reports if r.trial == trial.number}
        assert {name.partition("[")[0]: value for name, value in one.params.items()} == trial.params
        if trial.state == "complete":
            assert one.value == trial.score
    assert told[3].value == told[3].intermediate_values[200]
    assert told[4].value is None
    complete = [one for one in trials if one.state == "complete"]
    best = min(complete, key=lambda one: (one.score, one.number))
    assert study.best_trial.number == best.number
    assert study.best_value == best.score
    by_name: dict[str, object] = {}
    for one in told:
        for name, distribution in one.distributions.items():
            assert by_name.setdefault(name, distribution) == distribution
    assert by_name["activation[cell=rnn]"] == optuna.distributions.CategoricalDistribution(["tanh", "relu"])
    assert by_name["lr"] == optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)
    storage.remove_session()
    storage.engine.dispose()


def test_a_target_that_is_there(home: Home, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("precious")
    with pytest.raises(PlaceError, match="is there already; give --force"):
        check_target(taken, "csv", False, home)
    with pytest.raises(PlaceError, match="replaces an earlier export only"):
        check_target(taken, "csv", True, home)
    lab_file = tmp_path / "lab.db"
    lab_file.write_bytes((home.path / "lab.db").read_bytes())
    with pytest.raises(PlaceError, match="replaces an Optuna study only"):
        check_target(lab_file, "optuna", True, home)
    with pytest.raises(PlaceError, match="outside of the home"):
        check_target(home.path / "lab.db", "optuna", True, home)
    with pytest.raises(PlaceError, match="must exist"):
        check_target(tmp_path / "no" / "where", "csv", False, home)
    with Lab.open(home.lab_url) as lab:
        for _ in range(2):
            check_target(tmp_path / "out", "csv", True, home)
            export_tables(lab, home, "simulated", "csv", tmp_path / "out", curves=False, each=lambda _: None)
            check_target(tmp_path / "s.db", "optuna", True, home)
            export_study(lab, "simulated", tmp_path / "s.db", lambda _: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "lab.db", "out", "s.db", "taken"]


def test_form() -> None:
    with pytest.raises(SpecError, match="did you mean 'parquet'"):
        form_of("parket")
