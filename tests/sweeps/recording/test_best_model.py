"""What a sweep leaves on its parent run, and the one model that it logs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import mlflow
import pandas as pd
import pytest
import torch
from mlflow.entities import LoggedModel

from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.written import validated
from sweeps.recording import actor, mlflow_writer, names
from sweeps.recording.actor import RecorderProcess
from sweeps.recording.messages import SweepOver, TrainingOver
from sweeps.recording.spool import Spool
from sweeps.recording.weights import best_of, keep, load_weights

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow's pyfunc, about its own
ARMS = [{"init": "default", "healthy": 0.2}, {"init": "orthogonal(1)", "healthy": 0.9}]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "RETRY_AFTER", 0.02)


@pytest.fixture(scope="module")
def trained() -> dict[str, Trainer]:
    """By name, two replicates after two updates of temporal_order, T = 10."""
    models: dict[str, dict[str, Any]] = {
        "lstm": {"cell": "lstm", "depth": 2},
        "gru": {"cell": "gru"},
        "softsign": {"activation": "softsign"},
    }
    made = {}
    for name, model in models.items():
        spec = {
            "task": {"kind": "temporal_order", "length": 10},
            "model": {"hidden": 4, **model},
            "optim": {"batch": 4},
            "replicates": 2,
            "budget": {"updates": 2, "evaluations": 1},
            "probe": {"batch": 4},
        }
        made[name] = Trainer(validated(TrialSpec, spec))
        while not made[name].advance().done:
            pass
    return made


@pytest.fixture
def recorder(store: Any) -> RecorderProcess:
    return RecorderProcess(str(store.folder / "sweep"), store.arguments)


@pytest.fixture
def end(store: Any, made_up: Callable[..., Any]) -> Callable[..., Path]:
    """A trial ends: its worker keeps its weights, the driver tells the recorder; the sweep's folder."""

    def make(recorder: RecorderProcess, trial: int, trainer: Trainer | None, score: float = 0.0) -> Path:
        if trainer is not None:
            for replicate in trainer.result.replicates:
                replicate.score, replicate.test_score = score, -score
            keep(trainer, trial, recorder.folder)
        for message in made_up(trial=trial).all():
            recorder.put(message)
        return recorder.folder

    return make


def models(store: Any) -> list[LoggedModel]:
    experiment = store.client.get_experiment_by_name("first-2")
    found: list[LoggedModel] = store.client.search_logged_models([experiment.experiment_id])
    return found


@pytest.fixture
def load(store: Any) -> Any:
    """Loads a model as a person does, and leaves MLflow's global state as it was."""
    before = mlflow.get_tracking_uri()

    def make(uri: str) -> torch.nn.Module:
        mlflow.set_tracking_uri(store.uri)
        module: torch.nn.Module = mlflow.pytorch.load_model(uri)
        return module

    yield make
    mlflow.set_tracking_uri(before)


def test_the_parent_carries_findings_tables_and_files(store: Any, recorder: RecorderProcess) -> None:
    recorder.finish()
    page = store.folder / "report.html"
    page.write_text("<h1>Report</h1>")
    status = recorder.close("FINISHED", [str(page)], "# Findings\n\n- orthogonal helps", {"arms.json": ARMS})
    assert (status.waiting, status.error) == (0, None)
    parent = store.runs()["all"]
    assert parent.info.status == "FINISHED"
    assert parent.data.tags[names.DESCRIPTION] == "# Findings\n\n- orthogonal helps"
    assert store.artifact(parent, "report.html").read_text() == "<h1>Report</h1>"
    assert pd.read_json(store.artifact(parent, "arms.json"), orient="split").to_dict("records") == ARMS
    assert json.loads(parent.data.tags["mlflow.loggedArtifacts"]) == [{"path": "arms.json", "type": "table"}]


def test_closing_again_replaces_and_doubles_nothing(
    store: Any, recorder: RecorderProcess, end: Callable[..., Path], trained: dict[str, Trainer]
) -> None:
    end(recorder, 0, trained["gru"])
    recorder.finish()
    for _ in range(2):
        recorder.close("FINISHED", [], "first", {"arms.json": ARMS})
    (once,) = models(store)
    again = RecorderProcess(str(recorder.folder), store.arguments)  # a driver that was started again
    again.finish()
    again.close("KILLED", [], "second", {"arms.json": ARMS[:1]})
    (still,) = models(store)
    assert still.model_id == once.model_id
    parent = store.runs()["all"]
    assert parent.info.status == "KILLED"
    assert parent.data.tags[names.DESCRIPTION].startswith("second\n\n## Best model\nTrial 0 has the lowest")
    table = pd.read_json(store.artifact(parent, "arms.json"), orient="split")
    assert table.to_dict("records") == ARMS[:1]
    assert len(store.client.get_run(store.runs()["0"].info.run_id).outputs.model_outputs) == 1


@pytest.mark.parametrize("refusals", [0, 1])
def test_once_training_is_over_the_best_model_waits_for_no_report(
    store: Any,
    recorder: RecorderProcess,
    end: Callable[..., Path],
    trained: dict[str, Trainer],
    monkeypatch: pytest.MonkeyPatch,
    refusals: int,
) -> None:
    """Logged before the sweep's end, which adds none; where that failed, the end logs it."""
    tried: list[int] = []
    whole = mlflow_writer.log_best_model

    def log(*rest: Any) -> str:
        tried.append(len(tried))
        if len(tried) <= refusals:
            raise OSError("the store is away")
        return whole(*rest)

    monkeypatch.setattr(mlflow_writer, "log_best_model", log)
    end(recorder, 0, trained["gru"])
    recorder.put(TrainingOver())
    assert (recorder.finish().waiting, len(tried)) == (0, 1)
    before = {model.model_id for model in models(store)}
    assert len(before) == 1 - refusals
    assert store.runs()["all"].info.status == "RUNNING"
    recorder.close("FINISHED", [], "found")
    (model,) = models(store)
    assert before <= {model.model_id}
    assert "## Best model\nTrial 0 has" in store.runs()["all"].data.tags[names.DESCRIPTION]


def test_an_end_that_a_dead_recorder_left_in_its_spool_is_written(store: Any, made_up: Callable[..., Any]) -> None:
    spool = Spool(store.folder / "sweep" / "spool")
    for message in [*made_up().all(), SweepOver("FINISHED", (str(store.folder / "gone.html"),), "found")]:
        spool.put(message)
    recorder = RecorderProcess(str(store.folder / "sweep"), store.arguments)
    assert recorder.finish().waiting == 0
    parent = store.runs()["all"]
    text = parent.data.tags[names.DESCRIPTION]
    assert parent.info.status == "FINISHED"
    assert text.startswith("found\n\n_Not logged: gone.html: FileNotFoundError")


def test_an_end_waits_for_a_store_that_is_away(
    store: Any, recorder: RecorderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "RETRY_AFTER", 0.3)
    recorder.finish()
    artifacts, elsewhere = store.folder / "artifacts", store.folder / "elsewhere"
    artifacts.rename(elsewhere)
    artifacts.write_text("a file where the folder was")
    (store.folder / "table.md").write_text("| a |")

    def mend() -> None:
        artifacts.unlink()
        elsewhere.rename(artifacts)

    back = threading.Timer(0.3, mend)
    back.start()
    assert recorder.close("FINISHED", [str(store.folder / "table.md")]).waiting == 0
    parent = store.runs()["all"]
    assert parent.info.status == "FINISHED"
    assert store.artifact(parent, "table.md").read_text() == "| a |"


def test_a_long_description_is_cut_at_a_line_and_keeps_the_model(
    store: Any, recorder: RecorderProcess, end: Callable[..., Path], trained: dict[str, Trainer]
) -> None:
    end(recorder, 0, trained["gru"])
    recorder.finish()
    recorder.close("FINISHED", [], "\n".join(f"- finding {number} and what it says" for number in range(400)))
    text = store.runs()["all"].data.tags[names.DESCRIPTION]
    assert mlflow_writer.LONGEST_TAG - 60 < len(text) <= mlflow_writer.LONGEST_TAG
    above, _, below = text.partition(mlflow_writer.CUT)
    assert above.endswith("and what it says")
    assert "load_model" in below


@pytest.mark.parametrize("kind", ["lstm", "softsign"])
def test_the_logged_model_gives_the_trained_networks_outputs_at_any_length(
    store: Any,
    recorder: RecorderProcess,
    end: Callable[..., Path],
    trained: dict[str, Trainer],
    load: Callable[[str], torch.nn.Module],
    kind: str,
) -> None:
    end(recorder, 0, trained["gru"], score=0.5)
    folder = end(recorder, 1, trained[kind], score=-0.5)
    end(recorder, 2, trained["gru"], score=-0.5)  # as good, and later
    recorder.finish()
    assert [path.parent.name for path in folder.glob("trials/*/weights.npz")] == ["0001"]
    recorder.close("FINISHED", [], "found")
    (model,) = models(store)
    runs = store.runs()
    parent, best = runs["all"], runs["1"]
    assert model.source_run_id == best.info.run_id
    assert parent.data.tags[names.BEST_TRIAL] == "1"
    assert parent.data.tags[names.BEST_MODEL] == model.model_uri
    assert model.params["cell"] == best.data.params["cell"]
    text = parent.data.tags[names.DESCRIPTION]
    assert model.model_uri in text
    assert ("must be installed" in text) == (kind == "softsign")
    for uri in (model.model_uri, f"runs:/{best.info.run_id}/model"):
        module = load(uri)
        for steps in (10, 23):
            x_TBI = torch.randn(steps, 3, 6, generator=torch.Generator().manual_seed(steps))
            wanted_TBO = trained[kind].network(x_TBI.unsqueeze(1))[:, 0]
            torch.testing.assert_close(module(x_TBI.transpose(0, 1)).transpose(0, 1), wanted_TBO, rtol=0, atol=1e-6)


def test_the_model_has_a_signature_and_an_example_that_fits(
    store: Any, recorder: RecorderProcess, end: Callable[..., Path], trained: dict[str, Trainer]
) -> None:
    folder = end(recorder, 0, trained["lstm"])
    recorder.finish()
    recorder.close("FINISHED", [])
    (model,) = models(store)
    info = mlflow.models.Model.load(place := unquote(urlparse(model.artifact_location).path))
    assert "(-1, -1, 6)" in str(info.signature.inputs)
    assert "(-1, -1, 4)" in str(info.signature.outputs)
    example = info.load_input_example(place)
    path = best_of(folder)
    assert path is not None
    assert example.tolist() == load_weights(path).example_BTI.tolist()
    predicted = mlflow.pyfunc.load_model(place).predict(example)
    assert predicted.shape == (2, 10, 4)


def test_it_loads_where_rnnlab_is_not(
    store: Any, recorder: RecorderProcess, end: Callable[..., Path], trained: dict[str, Trainer]
) -> None:
    end(recorder, 0, trained["lstm"])
    recorder.finish()
    recorder.close("FINISHED", [])
    (model,) = models(store)
    alone = (
        "import sys; sys.modules['rnnlab'] = None; sys.modules['sweeps'] = None\n"  # importing them now raises
        "import mlflow, torch\n"
        f"mlflow.set_tracking_uri({store.uri!r})\n"
        f"print(tuple(mlflow.pytorch.load_model({model.model_uri!r})(torch.zeros(4, 100, 6)).shape))\n"
    )
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "(4, 100, 4)", done.stderr


def test_a_resumed_sweep_that_finds_a_better_trial_has_that_model_alone(
    store: Any, recorder: RecorderProcess, end: Callable[..., Path], trained: dict[str, Trainer]
) -> None:
    end(recorder, 0, trained["gru"], score=0.5)
    recorder.finish()
    recorder.close("KILLED", [])
    (first,) = models(store)
    experiment = store.client.get_experiment_by_name("first-2").experiment_id
    store.client.create_logged_model(experiment, "model")  # half a one, as a crash leaves it
    again = RecorderProcess(str(recorder.folder), store.arguments)
    end(again, 1, trained["lstm"], score=-0.5)
    again.finish()
    again.close("FINISHED", [])
    (second,) = models(store)
    assert second.model_id != first.model_id
    assert store.runs()["all"].data.tags[names.BEST_TRIAL] == "1"


def test_a_sweep_where_nothing_finished_logs_no_model_and_ends(
    store: Any, recorder: RecorderProcess, made_up: Callable[..., Any], end: Callable[..., Path]
) -> None:
    end(recorder, 0, None)  # every replicate diverged
    for message in made_up(trial=1).all("FAILED"):
        recorder.put(message)
    recorder.finish()
    assert recorder.close("FAILED", [], "nothing").waiting == 0
    assert models(store) == []
    parent = store.runs()["all"]
    assert (parent.info.status, parent.data.tags[names.DESCRIPTION]) == ("FAILED", "nothing")
    assert names.BEST_MODEL not in parent.data.tags


def test_weights_that_cannot_be_read_cost_the_model_and_not_the_end(
    store: Any,
    recorder: RecorderProcess,
    end: Callable[..., Path],
    trained: dict[str, Trainer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    folder = end(recorder, 0, trained["gru"])
    recorder.finish()
    (folder / "trials/0000/weights.npz").write_bytes(b"half a file")
    end(again := RecorderProcess(str(folder), store.arguments), 1, None)
    assert again.finish().waiting == 0
    again.close("FINISHED", [], "found")
    parent = store.runs()["all"]
    assert parent.info.status == "FINISHED"
    assert parent.data.tags[names.DESCRIPTION].startswith("found\n\n_Not logged: the best model: ")
    assert models(store) == []
