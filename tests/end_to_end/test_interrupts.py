"""Ctrl-C in a terminal: the signal reaches the driver and all that Ray has started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import rnnlab
from mlflow.tracking import MlflowClient

from sweeps.home import Home
from sweeps.store import Lab

SPEC = """
name: night
task: {kind: adding, length: 60}
space: {cell: [rnn, gru], lr: {low: 1e-3, high: 1e-2, log: true}}
search: {sampler: random, trials: 8}
replicates: 2
budget: {updates: 100000, evaluations: 1000}
"""


def wait_for_reports(home: Path, least: int) -> None:
    """Until trials have told something."""
    for _ in range(600):
        time.sleep(0.1)
        if (home / "lab.db").is_file():
            with Lab.open(Home(home).lab_url) as lab:
                if [sweep.id for sweep in lab.sweeps()] and len(lab.reports("night")) >= least:
                    return
    pytest.fail("the sweep did not get going")


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_loses_nothing(tmp_path: Path, times: int) -> None:
    (tmp_path / "night.yaml").write_text(SPEC)
    home = tmp_path / "home"
    command = [sys.executable, "-m", "services.cli.app", "sweep", "run", "night.yaml", "--workers", "2", "--json"]
    driver = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "RNNLAB_HOME": str(home)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_for_reports(home, 2)
        for _ in range(times):
            os.killpg(driver.pid, signal.SIGINT)
            time.sleep(0.05)
        out, _ = driver.communicate(timeout=90)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    assert driver.returncode == 130
    rows = json.loads(out)
    assert rows
    assert {row["state"] for row in rows} == {"interrupted"}
    (sweep,) = json.loads(rnnlab("sweep", "list", "--json", home=home).out)
    assert sweep["status"] == "stopped"
    client = MlflowClient(Home(home).mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("night").experiment_id])
    assert len(runs) == len(rows) + 1
    assert {run.info.status for run in runs} == {"KILLED"}
    with Lab.open(Home(home).lab_url) as lab:
        told = {report.trial for report in lab.reports("night")}
    scored = {int(run.data.tags["trial"]) for run in runs if "score" in run.data.metrics}
    assert told <= scored
