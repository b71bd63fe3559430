"""The recorder as a plain object: it takes at once, writes in order, waits for a store and loses nothing."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.recording import actor, grouping, sending
from sweeps.recording.actor import RecorderProcess
from sweeps.recording.lag import lag_of
from sweeps.recording.messages import UpdateCurves, UpdateScalars
from sweeps.recording.sending import ActorRecorder
from sweeps.recording.spool import Spool


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "RETRY_AFTER", 0.02)
    monkeypatch.setattr(grouping, "LINGER", 0.1)


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
    late.mkdir(exist_ok=True)  # the recorder may have made it by now
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


def test_mlflow_is_loaded_once_a_worker_has_told_something(
    store: Any, made_up: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the workers' own loading has the processors; what the driver tells is on disk meanwhile."""
    monkeypatch.setattr(actor, "LOADS_WITHIN", 3600.0)
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    begun, *told = made_up().all()
    recorder.put(begun)
    time.sleep(0.5)
    assert (recorder.status().parent_id, recorder.status().waiting) == (None, 1)
    recorder.put(told[0])
    until(lambda: recorder.status().parent_id)
    for message in told[1:]:
        recorder.put(message)
    assert recorder.finish().waiting == 0
    assert store.runs()["0"].info.status == "FINISHED"


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


def test_what_mlflow_refuses_is_set_aside_and_told(
    store: Any, made_up: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A metric's name that MLflow will not have; and a trial whose beginning it will not have."""
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    sound, odd = made_up(), made_up(trial=1)
    begun, *told, over = sound.all()
    odd_begun, *odd_told = odd.all()
    nameless = dataclasses.replace(over, finals={"a:b?": 1.0})
    odd_begun = dataclasses.replace(odd_begun, params={"a:b?": 1})
    for message in [begun, nameless, *told, over, odd_begun, *odd_told, *made_up(trial=2).all()]:
        recorder.put(message)
    last = recorder.finish()
    assert (last.waiting, last.error, last.refused) == (0, None, 1 + 8)
    assert "spool/refused/00000002.pkl: MlflowException: Invalid value" in caplog.text
    runs = store.runs()
    assert [runs[trial].info.status for trial in ("0", "2")] == ["FINISHED", "FINISHED"]
    assert store.history(runs["0"]) == store.history(runs["2"])
    assert len(list((store.folder / "sweep" / "spool" / "refused").iterdir())) == 9
    lag = lag_of(store.folder / "sweep", running=False)
    assert lag is not None
    assert lag.words() == "9 messages were refused by MLflow"


def test_a_bug_of_ours_keeps_nobody_waiting(store: Any, made_up: Callable[..., Any]) -> None:
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    begun, *told, over = made_up().all()
    for message in [begun, UpdateScalars(0, 3, {}), *told, over]:  # without its loss
        recorder.put(message)
    assert recorder.finish().refused == 1
    assert store.runs()["0"].info.status == "FINISHED"


def test_any_process_can_tell_that_recording_lags(store: Any, made_up: Callable[..., Any]) -> None:
    folder, late = store.folder / "sweep", store.folder / "late"
    assert lag_of(folder, running=True) is None
    late.write_text("a file where the folder will be")
    recorder = RecorderProcess(str(folder), {**store.arguments, "tracking_uri": f"sqlite:///{late / 'mlflow.db'}"})
    for message in made_up().all():
        recorder.put(message)
    until(lambda: (folder / "spool" / "status.json").is_file() and lag_of(folder, running=True))
    lag = lag_of(folder, running=True)
    assert lag is not None
    assert (lag.waiting, lag.refused, lag.since) == (8, 0, recorder.status().since)
    assert re.fullmatch(r"recording lags since \d\d:\d\d:\d\d: 8 messages wait \(.+\)", lag.words())
    assert recorder.status().lag == lag
    late.unlink()
    late.mkdir(exist_ok=True)  # the recorder may have made it by now
    recorder.finish()
    assert lag_of(folder, running=True) is lag_of(folder, running=False) is None


DIES = """
import os, pickle, signal, sys
from pathlib import Path
from sweeps.recording import pictures
from sweeps.recording.actor import RecorderProcess
from sweeps.recording.mlflow_writer import MlflowWriter
from sweeps.recording.spool import Spool

for line in sys.stdin:
    told = pickle.loads(bytes.fromhex(line))
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()

folder, point = told
arguments, messages = pickle.loads((folder / "told").read_bytes())
where, name, after = {
    "drawing": (pictures, "draw_run", False),
    "drawn": (MlflowWriter, "log_picture", True),
    "closing": (MlflowWriter, "log_table", True),
    "closed": (MlflowWriter, "close", True),
    "ended": (MlflowWriter, "write", True),
    "putting": (Spool, "put", True),
}[point]
whole = getattr(where, name)

def dies(*args, **kwargs):
    over = point != "ended" or type(args[-1]).__name__ == "TrialOver"
    if after:
        whole(*args, **kwargs)
    if over:
        os.kill(os.getpid(), signal.SIGKILL)

recorder = RecorderProcess(str(folder / "sweep"), arguments)
for message in messages[:-1]:
    recorder.put(message)
if point not in ("closing", "closed"):
    setattr(where, name, dies)
    recorder.put(messages[-1])
    recorder.finish()
recorder.put(messages[-1])
recorder.finish()
setattr(where, name, dies)
recorder.close("FINISHED", [], "found", {"arms.json": [{"arm": "a"}]})
"""


@pytest.fixture(scope="module")
def dying() -> Iterator[Callable[[Path, str], int]]:
    """Records what lies in a folder and dies at a point; each death is a fork of one process, whose imports take seconds."""
    command = [sys.executable, "-c", DIES]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None

        def die(folder: Path, point: str) -> int:
            print(pickle.dumps((folder, point)).hex(), file=parent.stdin, flush=True)
            return int(parent.stdout.readline())  # type: ignore[union-attr]

        yield die
        parent.stdin.close()


@pytest.mark.parametrize("point", ["drawing", "drawn", "ended", "putting", "closing", "closed"])
def test_one_that_is_killed_anywhere_is_gone_on_from(
    store: Any, made_up: Callable[..., Any], dying: Callable[[Path, str], int], point: str
) -> None:
    """`kill -9` within the drawing of a picture, after a trial's end was written, within the end of the sweep."""
    whole = made_up(1)
    told = made_up().all()
    (store.folder / "told").write_bytes(pickle.dumps((store.arguments, told)))
    assert dying(store.folder, point) == -signal.SIGKILL
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)  # as Ray starts it again
    if point == "putting":
        recorder.put(told[-1])  # not acknowledged, so it is sent again
    for message in whole.all():
        recorder.put(message)
    last = recorder.finish()
    assert (last.waiting, last.pictures, last.refused, last.error) == (0, 0, 0, None)
    runs = store.runs()
    assert runs["0"].info.status == "FINISHED"
    assert store.history(runs["0"]) == store.history(runs["1"])
    assert store.artifact(runs["0"], "heatmap.png").is_file()
    with np.load(store.artifact(runs["0"], "curves.npz")) as curves:
        assert curves["updates"].tolist() == [0, 5, 10]
    if point in ("closing", "closed"):
        table = json.loads(store.artifact(runs["all"], "arms.json").read_text())
        assert (table["columns"], table["data"]) == (["arm"], [["a"]])
        assert runs["all"].data.tags["mlflow.note.content"] == "found"


def test_a_run_that_a_hanging_server_made_late_is_deleted(store: Any, made_up: Callable[..., Any]) -> None:
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    for message in made_up().all():
        recorder.put(message)
    recorder.finish()
    run = store.runs()["0"]
    (store.folder / "sweep" / "in_doubt").touch()
    tags = {name: run.data.tags[name] for name in ("sweep_id", "trial")}
    store.client.create_run(run.info.experiment_id, run.info.start_time, tags, run.info.run_name)
    recorder.close("FINISHED", [])
    assert store.runs()["0"].info.run_id == run.info.run_id
    assert not (store.folder / "sweep" / "in_doubt").exists()


def test_training_goes_on_at_its_own_priority(store: Any) -> None:
    before = os.nice(0)
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    recorder.finish()
    assert os.nice(0) == before


def test_a_worker_sends_plain_numbers_and_its_trials_number(
    made_up: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    class Handle:
        """What Ray gives a worker, with a list at the other end."""

        put = property(lambda self: self)

        def remote(self, *messages: Any) -> str:
            sent.append(messages)
            return "on its way"

    worker = ActorRecorder(Handle(), 7)
    worker.scalars(3, {"train_loss": [1, 2]})  # type: ignore[dict-item]
    worker.curves(3, made_up().curves(3).curves)
    assert sent == []  # for the next evaluation, or for `HOLD` seconds
    monkeypatch.setattr(sending, "taken", lambda those: None)
    worker.flush()
    ((scalars, curves),) = sent
    assert isinstance(scalars, UpdateScalars)
    assert (scalars.trial, scalars.update, scalars.values["train_loss"].dtype) == (7, 3, "float64")
    assert isinstance(curves, UpdateCurves)
    assert (curves.trial, curves.update, len(curves.curves)) == (7, 3, 6)
