"""The recorder as a plain object: it takes at once, writes in order, waits for a store and loses nothing."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.recording import actor
from sweeps.recording.actor import ActorRecorder, RecorderProcess
from sweeps.recording.messages import UpdateCurves, UpdateScalars
from sweeps.recording.spool import Spool


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "RETRY_AFTER", 0.02)


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_what_is_put_is_in_mlflow_when_finish_returns(store: Any, made_up: Callable[..., Any]) -> None:
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    for trial in (0, 1):
        for message in made_up(trial=trial).all():
            recorder.put(message)
    last = recorder.finish()
    assert (last.waiting, last.pictures, last.error) == (0, 0, None)
    runs = store.runs()
    assert last.experiment_id == runs["all"].info.experiment_id
    assert last.parent_id == runs["all"].info.run_id
    assert last.run_ids == {0: runs["0"].info.run_id, 1: runs["1"].info.run_id}
    points = sum(len(points) for trial in ("0", "1") for points in store.history(runs[trial]).values())
    assert last.points == points > 0
    for trial in ("0", "1"):
        assert runs[trial].info.status == "FINISHED"
        home = store.folder / "sweep" / "trials" / f"{int(trial):04}"
        assert {path.name for path in home.iterdir()} == {"curves.npz", "heatmap.png"}
        assert store.artifact(runs[trial], "heatmap.png").read_bytes() == (home / "heatmap.png").read_bytes()
    assert runs["all"].info.status == "RUNNING"
    (store.folder / "table.md").write_text("| a |")
    recorder.close("FINISHED", [str(store.folder / "table.md")])
    parent = store.runs()["all"]
    assert parent.info.status == "FINISHED"
    assert store.artifact(parent, "table.md").read_text() == "| a |"


def test_a_store_that_appears_late_costs_nothing(
    store: Any, migrated: Path, made_up: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    late = store.folder / "late"
    late.write_text("a file where the folder will be")
    caplog.set_level(logging.CRITICAL)
    recorder = RecorderProcess(
        str(store.folder / "sweep"), {**store.arguments, "tracking_uri": f"sqlite:///{late / 'mlflow.db'}"}
    )
    for message in made_up().all():
        recorder.put(message)
    until(lambda: recorder.status().error)
    status = recorder.status()
    assert (status.waiting, status.points, status.run_ids) == (8, 0, {})
    assert (status.experiment_id, status.parent_id) == (None, None)
    late.unlink()
    late.mkdir()
    shutil.copy(migrated, late / "mlflow.db")
    last = recorder.finish()
    assert (last.waiting, last.pictures, last.error) == (0, 0, None)
    run = type(store)(late).runs()["0"]
    assert run.data.metrics["train_loss"] == 2.0
    assert run.info.status == "FINISHED"


def test_a_store_that_goes_away_half_way_is_waited_for(store: Any, made_up: Callable[..., Any]) -> None:
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    told = made_up().all()
    for message in told[:-1]:
        recorder.put(message)
    until(lambda: recorder.status().waiting == 0)
    artifacts, elsewhere = store.folder / "artifacts", store.folder / "elsewhere"
    artifacts.rename(elsewhere)
    artifacts.write_text("a file where the folder was")
    recorder.put(told[-1])
    until(lambda: recorder.status().error)
    assert recorder.status().waiting == 1
    artifacts.unlink()
    elsewhere.rename(artifacts)
    assert (recorder.finish().waiting, recorder.status().error) == (0, None)
    run = store.runs()["0"]
    assert run.info.status == "FINISHED"
    assert "by_lag/log10_anchor_h/3_last" in run.data.metrics
    assert store.artifact(run, "heatmap.png").is_file()


def test_what_a_dead_process_left_in_its_spool_is_written(store: Any, made_up: Callable[..., Any]) -> None:
    spool = Spool(store.folder / "sweep" / "spool")
    told = made_up().all()
    for message in told[:3]:
        spool.put(message)
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    for message in told[3:]:
        recorder.put(message)
    recorder.finish()
    assert [step for step, _, _ in store.history(store.runs()["0"])["train_loss"]] == [0, 5, 10]


def test_a_sweep_without_trials_still_has_its_parent_run(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    home, elsewhere = store.folder / "artifacts", store.folder / "elsewhere"
    home.write_text("a file where the folder will be")
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    until(lambda: recorder.status().error)
    back = threading.Timer(0.2, lambda: home.rename(elsewhere))  # it is asked to finish while the store is away
    back.start()
    assert recorder.finish().parent_id is not None
    recorder.close("FAILED", [])
    parent = store.runs()["all"]
    assert parent.info.status == "FAILED"
    assert store.artifact(parent, "sweep.yaml").read_text() == "name: first\n"


def test_late_messages_do_not_keep_it_from_ending(store: Any, made_up: Callable[..., Any]) -> None:
    """A worker that was stopped at once may be heard after the driver has ended its trial."""
    trial = made_up()
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    for message in [*trial.all("KILLED"), trial.scalars(11), trial.curves(11), trial.over("FINISHED")]:
        recorder.put(message)
    last = recorder.finish()
    assert (last.waiting, last.error) == (0, None)
    assert store.runs()["0"].info.status == "KILLED"


def test_a_picture_that_cannot_be_drawn_keeps_nobody_waiting(
    store: Any, made_up: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    odd, sound = made_up().all(), made_up(trial=1).all()
    odd[0] = dataclasses.replace(odd[0], lag=None)  # what no figure can show
    for message in [*odd, *sound]:
        recorder.put(message)
    last = recorder.finish()
    assert (last.waiting, last.pictures, last.error) == (0, 0, None)
    assert "trial 0 has no picture" in caplog.text
    folder = store.folder / "sweep" / "trials"
    assert [(folder / f"{trial:04}" / "heatmap.png").exists() for trial in (0, 1)] == [False, True]
    assert [(folder / f"{trial:04}" / "curves.npz").exists() for trial in (0, 1)] == [True, True]
    assert {run.info.status for trial, run in store.runs().items() if trial != "all"} == {"FINISHED"}


def test_training_goes_on_at_its_own_priority(store: Any) -> None:
    before = os.nice(0)
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    recorder.finish()
    assert os.nice(0) == before


def test_a_worker_sends_plain_numbers_and_its_trials_number(made_up: Callable[..., Any]) -> None:
    sent: list[Any] = []

    class Handle:
        """What Ray gives a worker, with a list at the other end."""

        put = property(lambda self: self)

        def remote(self, message: Any) -> None:
            sent.append(message)

    worker = ActorRecorder(Handle(), 7)
    worker.scalars(3, {"train_loss": [1, 2]})  # type: ignore[dict-item]
    worker.curves(3, made_up().curves(3).curves)
    scalars, curves = sent
    assert isinstance(scalars, UpdateScalars)
    assert (scalars.trial, scalars.update, scalars.values["train_loss"].dtype) == (7, 3, "float64")
    assert isinstance(curves, UpdateCurves)
    assert (curves.trial, curves.update, len(curves.curves)) == (7, 3, 6)
