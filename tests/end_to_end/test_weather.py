"""The recipe `weather`, six arms over ten seeds, with a loss at every step: one arm in seconds, all of it with `-m slow`.

That a real sweep ends in a report with what it found, `test_first.py` looks at, too.
"""

from __future__ import annotations

import json

import pytest
from commands import Ran
from mlflow.tracking import MlflowClient

from rnnlab.recorder import MemoryRecorder
from rnnlab.training.loop import Trainer
from sweeps.home import Home
from sweeps.recipes import recipe
from sweeps.recording import names


def test_an_arm_learns_and_records_loss_by_timestep() -> None:
    spec = recipe("weather")
    trial = spec.trial(0, {"cell": "gru", "bias_init": "default"})
    less = trial.budget.model_copy(update={"updates": 40, "evaluations": 1})
    recorder = MemoryRecorder()
    trainer = Trainer(trial.model_copy(update={"replicates": 1, "budget": less}), recorder)
    while not trainer.advance().done:
        pass
    (replicate,) = trainer.result.replicates
    assert replicate.test_score is not None
    assert replicate.test_score < 0  # better than the constant guess on a year never seen
    losses = [curve for curve in recorder.curves_seen if curve.name == "loss"]
    assert {curve.values_SK.shape for curve in losses} == {(1, 60)}
    assert losses[-1].update == 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_weather_learns_and_records_loss_by_timestep(weather: Ran) -> None:
    assert weather.code == 0, weather.err
    rows = json.loads(weather.out)
    assert len(rows) == 12
    assert all(row["state"] == "complete" for row in rows)
    assert min(row["test_score"] for row in rows) < 0  # better than the constant guess on a year never seen
    client = MlflowClient(Home(weather.home).mlflow_uri)
    experiment = client.get_experiment_by_name("weather")
    run = client.search_runs([experiment.experiment_id], "tags.trial = '0'")[0]
    key = names.by_step("loss", "3_last")
    assert sorted(point.step for point in client.get_metric_history(run.info.run_id, key)) == list(range(60))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_weather_ends_in_a_report_with_what_it_found(weather: Ran) -> None:
    folder = Home(weather.home).sweep_folder("weather")
    report = json.loads((folder / "report.json").read_text())
    analysis = report["analysis"]
    assert (analysis["units"], analysis["unit"], len(analysis["arms"])) == (10, "seed", 6)
    assert {arm["evidence"] for arm in analysis["arms"]} == {"paired"}
    assert analysis["contrasts"]
    assert analysis["findings"]
    assert "plotly" in (folder / "report.html").read_text()
    client = MlflowClient(Home(weather.home).mlflow_uri)
    experiment = client.get_experiment_by_name("weather")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.trial = 'all'")
    artifacts = {one.path for one in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "report.md", "report.json", "arms.json", "gradients.png"} <= artifacts
    assert analysis["findings"][0]["text"][:60] in parent.data.tags["mlflow.note.content"]
