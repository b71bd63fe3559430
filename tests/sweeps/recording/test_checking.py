"""A real sweep is broken in one way after the other: each is found, and mended where that is promised."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from commands import Ran, small_sweep
from mlflow.entities import Metric, Run
from mlflow.tracking import MlflowClient

from rnnlab.errors import PlaceError
from rnnlab.training.loop import Trainer
from sweeps.checking.check import Checked, check_sweep
from sweeps.checking.expected import evaluated, probed, recorded
from sweeps.checking.findings import KINDS
from sweeps.checking.mending import mend_sweep
from sweeps.home import CHECKPOINT_FILE, Home
from sweeps.recording import names
from sweeps.recording.arrays import load_curves
from sweeps.recording.messages import UpdateCurves
from sweeps.recording.spool import Spool
from sweeps.spec import SweepSpec
from sweeps.store import Lab


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A sweep of three trials, run with the command that a person types."""
    return small_sweep(tmp_path_factory)


@dataclass
class Place:
    """A home of its own with the sweep in it, and ways to spoil it."""

    home: Home
    lab: Lab

    @property
    def folder(self) -> Path:
        return self.home.sweep_folder("small")

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.home.mlflow_uri)

    def run(self, trial: int | str) -> Run:
        found = self.client.search_runs([self.experiment], f"tags.trial = '{trial}'")
        assert len(found) == 1
        return found[0]

    @property
    def experiment(self) -> str:
        found = self.client.get_experiment_by_name("small")
        assert found is not None
        return str(found.experiment_id)

    def sql(self, file: str, *statements: str) -> None:
        with sqlite3.connect(self.home.path / file) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def forget(self, trial: int, *keys: str) -> None:
        """Take metrics out of a run, as if they had never been written."""
        id, listed = self.run(trial).info.run_id, ", ".join(f"'{key}'" for key in keys)
        for table in ("metrics", "latest_metrics"):
            self.sql("mlflow.db", f"delete from {table} where run_uuid = '{id}' and key in ({listed})")

    def metric(self, trial: int, key: str, value: float, at: int = 0, step: int = 0) -> None:
        self.client.log_batch(self.run(trial).info.run_id, metrics=[Metric(key, value, at, step)])

    def artifact(self, trial: int | str, name: str) -> Path:
        return Path(self.run(trial).info.artifact_uri.removeprefix("file://")) / name

    def check(self, **options: bool) -> Checked:
        return check_sweep(self.lab, self.home, "small", **options)

    def codes(self, **options: bool) -> list[tuple[str, int | None]]:
        return sorted((f.code, f.trial) for f in self.check(**options).findings)

    def lost(self) -> None:
        """As a driver leaves it that died while trial 2 ran."""
        self.sql(
            "lab.db",
            "update sweeps set status = 'running', driver_pid = 1, driver_host = 'gone', ended_at = null, "
            "heartbeat_at = datetime('now', '-1 hour')",
            "update trials set state = 'running', score = null, verdict = null, ended_at = null where number = 2",
            "delete from replicates where trial = 2",
            'delete from reports where trial = 2 and "update" > 10',
        )
        self.forget(2, *names.FINALS)
        run = self.run(2)
        charts = [key for key in run.data.metrics if key.startswith("by_")]
        self.forget(2, *charts)
        self.client.update_run(run.info.run_id, status="RUNNING")
        self.client.set_tag(run.info.run_id, "outcome", "running")
        self.client.update_run(self.run("all").info.run_id, status="RUNNING")
        (self.folder / "tune").mkdir()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for the artifacts of all copies: MLflow remembers in a process where those of a run lie."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def place(small: Ran, tmp_path: Path, artifacts: Path) -> Iterator[Place]:
    shutil.copytree(small.home, tmp_path / "home", ignore=shutil.ignore_patterns("artifacts"))
    shutil.rmtree(artifacts)
    shutil.copytree(small.home / "artifacts", artifacts)
    home = Home(tmp_path / "home")
    with Lab.open(home.lab_url) as lab:
        place = Place(home, lab)
        moved = f"= replace({{0}}, '{(small.home / 'artifacts').resolve()}', '{artifacts.resolve()}')"
        place.sql(
            "mlflow.db",
            "update experiments set artifact_location " + moved.format("artifact_location"),
            "update runs set artifact_uri " + moved.format("artifact_uri"),
        )
        yield place


def test_a_sweep_that_has_finished_is_clean(place: Place) -> None:
    before = {
        path: path.read_bytes() for path in place.home.path.rglob("*") if path.is_file() and "db" not in path.name
    }
    found = place.check()
    assert found.findings == ()
    assert found.counts.startswith("3 trials, 4 runs, ")
    assert place.codes(everything=True) == []
    assert place.check(everything=True).sides.mlflow.count > found.sides.mlflow.count
    after = {path: path.read_bytes() for path in place.home.path.rglob("*") if path.is_file() and "db" not in path.name}
    assert after == before
    sweep = place.lab.sweep("small")
    assert mend_sweep(place.lab, place.home, found) is found
    assert place.lab.sweep("small") == sweep


def test_what_a_trial_records_is_what_is_asked_for() -> None:
    """Against the trainer itself."""
    spec = SweepSpec.model_validate({"name": "x", "task": {"kind": "adding", "length": 9}, "budget": {"updates": 90, "evaluations": 7},
                                     "space": {"cell": ["rnn"]}, "search": {"sampler": "grid"}})  # fmt: skip
    trial = spec.trial(0, {"cell": "rnn"})
    trainer = Trainer(trial)
    every = {update for update in range(1, 91) if update % trainer.record_every == 0}
    assert recorded(trial, 90) == (every | trainer.probe_at | trainer.evaluate_at) - {0}
    assert recorded(trial, 40) == {update for update in recorded(trial, 90) if update <= 40}
    assert evaluated(trial) == trainer.evaluate_at
    assert probed(trial, 90) == trainer.probe_at


# --- what is broken -> what is found, and what of it is left after mending

Break = Callable[[Place], object]
Found = set[tuple[str, int | None]]


def lose_run(place: Place) -> None:
    """As if the recorder had never heard of trial 1; the lab database names a run that is not there."""
    id = place.run(1).info.run_id
    shutil.rmtree(place.artifact(1, "").parent)
    tables = ("metrics", "latest_metrics", "params", "tags", "runs")
    place.sql("mlflow.db", *(f"delete from {table} where run_uuid = '{id}'" for table in tables))


def second_run(place: Place) -> None:
    tags = {"sweep_id": "small", "trial": "1"}
    place.client.create_run(place.experiment, tags=tags)


def lose_curves(place: Place) -> None:
    place.artifact(1, names.CURVES_FILE).unlink()
    (place.folder / "trials" / "0001" / names.CURVES_FILE).unlink()


def wait_in_spool(place: Place) -> None:
    Spool(place.folder / "spool").put(UpdateCurves(1, 0, ()))


def set_param(place: Place) -> None:
    place.sql(
        "mlflow.db", f"update params set value = '99' where key = 'hidden' and run_uuid = '{place.run(1).info.run_id}'"
    )


def lose_param(place: Place) -> None:
    place.sql("mlflow.db", f"delete from params where key = 'hidden' and run_uuid = '{place.run(1).info.run_id}'")


def lose_updates(place: Place) -> None:
    place.sql("mlflow.db", f"delete from metrics where step = 10 and run_uuid = '{place.run(1).info.run_id}'")


def lose_probe(place: Place) -> None:
    path = place.folder / "trials" / "0001" / names.CURVES_FILE
    arrays = load_curves(path)
    np.savez(path, **{name: values[1:] for name, values in arrays.items()})  # type: ignore[arg-type]


def remove(*parts: str) -> Break:
    return lambda place: place.folder.joinpath(*parts).unlink()


def make(*parts: str) -> Break:
    def touch(place: Place) -> None:
        path = place.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    return touch


def lab_sql(*statements: str) -> Break:
    return lambda place: place.sql("lab.db", *statements)


ONE: dict[str, tuple[Break, Found, Found]] = {
    # what MLflow has
    "a run": (lose_run, {("run-missing", 1)}, {("points-missing", 1)}),
    "a second run": (second_run, {("runs-several", 1)}, set()),
    "a run deleted": (lambda p: p.client.delete_run(p.run(1).info.run_id), {("run-deleted", 1)}, set()),
    "the experiment deleted": (lambda p: p.client.delete_experiment(p.experiment), {("experiment-deleted", None)}, set()),
    "the parent deleted": (lambda p: p.client.delete_run(p.run("all").info.run_id), {("run-deleted", None)}, set()),
    "a run of a person's own": (lambda p: p.client.create_run(p.experiment), {("run-stray", None)}, {("run-stray", None)}),
    "a run's status": (lambda p: p.client.update_run(p.run(1).info.run_id, status="RUNNING"), {("status", 1)}, set()),
    "the parent's status": (lambda p: p.client.update_run(p.run("all").info.run_id, status="RUNNING"), {("status", None)}, set()),
    "a tag": (lambda p: p.client.set_tag(p.run(1).info.run_id, "verdict", "odd"), {("tags", 1)}, set()),
    "a tag too many": (lambda p: p.client.set_tag(p.run(1).info.run_id, "cause", "odd"), {("tags", 1)}, set()),
    "a param": (set_param, {("params-wrong", 1)}, {("params-wrong", 1)}),
    "no param": (lose_param, {("params-missing", 1)}, set()),
    "finals": (lambda p: p.forget(1, "final_score", "seconds"), {("finals-missing", 1)}, set()),
    "a wrong final": (lambda p: p.metric(1, "solved", 77.0, at=2**45), {("finals-wrong", 1)}, {("finals-wrong", 1)}),
    "a final twice": (lambda p: p.metric(1, "seconds", p.run(1).data.metrics["seconds"], at=7), {("points-doubled", 1)}, {("points-doubled", 1)}),
    "a point twice": (lambda p: p.metric(1, "train_loss", 0.5, step=10), {("points-doubled", 1)}, {("points-doubled", 1)}),
    "scores": (lambda p: p.forget(1, "score"), {("score-missing", 1)}, set()),
    "other scores": (lab_sql('update reports set score = score + 0.01 where trial = 1 and "update" = 10'), {("score-wrong", 1)}, {("score-wrong", 1)}),
    "no report": (lab_sql('delete from reports where trial = 1 and "update" = 10'), {("report-missing", 1)}, set()),
    "an update": (lose_updates, {("points-missing", 1), ("score-missing", 1)}, {("points-missing", 1)}),
    "NaN": (lambda p: p.metric(1, "accuracy_of_mine", math.nan), {("mlflow-not-finite", 1)}, {("mlflow-not-finite", 1)}),
    "infinity": (lambda p: p.metric(1, "train_loss", math.inf, step=1000), {("mlflow-not-finite", 1)}, {("mlflow-not-finite", 1)}),
    "charts": (lambda p: p.forget(1, *(k for k in p.run(1).data.metrics if k.startswith("by_"))), {("charts-missing", 1)}, set()),
    "an artifact": (lambda p: p.artifact(1, names.RESULT_FILE).unlink(), {("artifacts-missing", 1)}, set()),
    "a picture": (lambda p: p.artifact(1, names.HEATMAP_FILE).unlink(), {("artifacts-missing", 1)}, set()),
    "the spec": (lambda p: p.artifact("all", "sweep.yaml").unlink(), {("artifacts-missing", None)}, set()),
    "the report in MLflow": (lambda p: p.artifact("all", "report.html").unlink(), {("artifacts-missing", None)}, set()),
    # what lies in files
    "curves, everywhere": (lose_curves, {("artifacts-missing", 1), ("curves-missing", 1)}, {("artifacts-missing", 1), ("curves-missing", 1)}),
    "curves, here": (remove("trials", "0001", names.CURVES_FILE), {("curves-missing", 1)}, set()),
    "a probe": (lose_probe, {("probes-missing", 1)}, {("probes-missing", 1)}),
    "a message": (wait_in_spool, {("spool-waiting", None)}, set()),
    "a message aside": (make("spool", "00000009.spoilt"), {("spool-aside", None)}, {("spool-aside", None)}),
    "an open trial": (make("open", "0001", "begun.pkl"), {("open-left", 1)}, set()),
    "a checkpoint": (make("trials", "0001", CHECKPOINT_FILE), {("checkpoint-left", 1)}, set()),
    "a folder": (make("trials", "0077", "x"), {("folder-stray", 77)}, {("folder-stray", 77)}),
    "a stop": (make("stop"), {("folder-left", None)}, set()),
    "the report": (remove("report.md"), {("summary-missing", None)}, set()),
    # the lab database
    "replicates": (lab_sql("delete from replicates where trial = 1 and number = 1"), {("replicates-wrong", 1), ("finals-wrong", 1)}, {("replicates-wrong", 1), ("finals-wrong", 1)}),
    "a block": (lab_sql("delete from blocks where number = 0"), {("block-missing", n) for n in range(3)}, set()),
    "infinity in the lab": (lab_sql("update replicates set slope = 9e999 where trial = 1 and number = 0"), {("lab-not-finite", 1)}, {("lab-not-finite", 1)}),
    "an odd report": (lab_sql('insert into reports (sweep_id, trial, "update", score) values (\'small\', 1, 7, 0.1)'), {("reports-wrong", 1)}, {("reports-wrong", 1)}),
    "run ids": (lab_sql("update trials set mlflow_run_id = null where number = 1"), {("run-id", 1)}, set()),
    "the experiment's id": (lab_sql("update sweeps set mlflow_experiment_id = '99'"), {("experiment-id", None)}, set()),
    "trials": (lab_sql("update trials set state = 'interrupted' where number = 1"), {("trials-missing", None), ("status", 1), ("tags", 1), ("finals-early", 1), ("open-missing", 1)}, {("finals-early", 1)}),
}  # fmt: skip
"""What is spoilt -> how, what is found, what is left."""


@pytest.mark.parametrize("what", ONE)
def test_one_thing_broken(what: str, place: Place) -> None:
    spoil, expected, left = ONE[what]
    before = place.lab.sweep("small")
    spoil(place)
    found = place.check()
    assert {(finding.code, finding.trial) for finding in found.findings} == expected, found.findings
    assert len(found.left) == len(found.findings)
    after = mend_sweep(place.lab, place.home, found)
    assert {(finding.code, finding.trial) for finding in after.left} == left, after.left
    assert all(finding.mend is None for finding in after.left), after.left
    assert {(f.code, f.trial) for f in after.findings if f.mended} == expected - left
    assert set(place.codes()) == left
    if what == "no report":  # all replicates lived, so that MLflow has the very score
        scores = {
            point.step: point.value for point in place.client.get_metric_history(place.run(1).info.run_id, "score")
        }
        assert {r.update: r.score for r in place.lab.reports("small") if r.trial == 1} == pytest.approx(
            scores, abs=1e-12
        )
    sweep = place.lab.sweep("small")
    if what == "trials":
        assert (sweep.status, sweep.message) == ("stopped", "it has finished without all trials")
    else:  # neither its end nor what was said of it changes
        assert (sweep.status, sweep.ended_at, sweep.message) == ("finished", before.ended_at, before.message)


def test_every_kind_of_finding_is_broken_once() -> None:
    tried = {code for _, found, left in ONE.values() for code, _ in found | left}
    elsewhere = {"sweep-lost", "trial-running", "experiment-missing", "experiments-several"}
    assert tried | elsewhere == set(KINDS)


def test_a_run_made_again_has_the_same_curves(place: Place, tmp_path: Path) -> None:
    old = place.run(1)
    curves = load_curves(place.artifact(1, names.CURVES_FILE))
    result = place.artifact(1, names.RESULT_FILE).read_text()
    lose_run(place)
    mend_sweep(place.lab, place.home, place.check())
    new = place.run(1)
    assert new.info.run_id != old.info.run_id
    assert new.info.status == "FINISHED"
    assert (new.info.start_time, new.data.params) == (old.info.start_time, old.data.params)
    ours = {name: value for name, value in old.data.tags.items() if not name.startswith("mlflow.log")}
    assert new.data.tags == ours
    scalars = {*names.BY_UPDATE.values(), names.NORM_MAX, names.ALIVE} - {"score"}  # these are lost; scores are not
    assert new.data.metrics == {key: value for key, value in old.data.metrics.items() if key not in scalars}
    again = load_curves(place.artifact(1, names.CURVES_FILE))
    assert set(again) == set(curves)
    for name, values in curves.items():
        np.testing.assert_array_equal(again[name], values)
    assert json.loads(place.artifact(1, names.RESULT_FILE).read_text()) == json.loads(result)


def test_a_lost_sweep_is_stopped_and_can_go_on(place: Place) -> None:
    place.lost()
    found = place.check()
    assert {("sweep-lost", None), ("trial-running", 2), ("status", None), ("folder-left", None)} == set(place.codes())
    after = mend_sweep(place.lab, place.home, found)
    assert after.left == []
    sweep = place.lab.sweep("small")
    assert (sweep.status, sweep.lost, sweep.message) == ("stopped", False, "its driver died")
    assert [trial.state for trial in place.lab.trials("small")] == ["complete", "complete", "interrupted"]
    assert place.run(2).info.status == "KILLED"
    assert place.run(2).data.tags["outcome"] == "interrupted"
    assert (place.folder / "open" / "0002").exists()  # whoever resumes finds its curves so far
    assert "mended" in [event.kind for event in place.lab.events("small")]


def test_while_a_sweep_runs_it_lags(place: Place) -> None:
    # this process is its driver, and lives
    place.lab.take_lease("small", socket.gethostname(), os.getpid(), to_mend=True)
    wait_in_spool(place)
    place.client.update_run(place.run(1).info.run_id, status="RUNNING")
    place.forget(1, "final_score", "score")
    place.client.update_run(place.run("all").info.run_id, status="RUNNING")
    found = place.check()
    assert {finding.code for finding in found.findings} == {
        "spool-waiting",
        "status",
        "finals-missing",
        "score-missing",
    }
    assert found.left == []
    place.metric(1, "train_loss", 0.5, step=10)  # no lag explains this
    assert [finding.code for finding in place.check().left] == ["points-doubled"]
    with Lab.open(place.home.lab_url) as other:
        place.sql("lab.db", "update sweeps set driver_pid = 1")  # a process that lives and is not this one
        with pytest.raises(PlaceError, match="being run by pid 1"):
            mend_sweep(other, place.home, found)


def test_no_mlflow_at_all(place: Place) -> None:
    (place.home.path / "mlflow.db").unlink()
    found = place.check()
    assert ("experiment-missing", None) in {(finding.code, finding.trial) for finding in found.findings}
    assert not (place.home.path / "mlflow.db").exists()
    after = mend_sweep(place.lab, place.home, found)
    assert {finding.code for finding in after.left} == {"points-missing"}
    assert place.run("all").info.status == "FINISHED"


def test_two_experiments_of_one_sweep(place: Place) -> None:
    place.client.create_experiment("another", tags={"sweep_id": "small"})
    assert place.codes() == [("experiments-several", None)]


def test_a_server_that_does_not_answer(place: Place) -> None:
    away = Home(place.home.path, mlflow="http://127.0.0.1:9")
    with pytest.raises(PlaceError, match=r"http://127\.0\.0\.1:9 must answer"):
        check_sweep(place.lab, away, "small")
