"""The recipe `weather`, six arms, with a loss at every step; whole with `-m slow` (`test_readme.py`)."""

from __future__ import annotations

import json

from commands import Ran
from mlflow.tracking import MlflowClient

from sweeps.home import Home
from sweeps.recording import names


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


def test_weather_ends_in_a_report_with_what_it_found(weather: Ran) -> None:
    folder = Home(weather.home).sweep_folder("weather")
    report = json.loads((folder / "report.json").read_text())
    analysis = report["analysis"]
    assert (analysis["units"], analysis["unit"], len(analysis["arms"])) == (4, "seed", 6)
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
