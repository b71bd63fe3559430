"""ASHA on a real Ray: what it ends early is pruned everywhere, and stays in the table."""

from __future__ import annotations

import json
from pathlib import Path

from commands import rnnlab
from mlflow.tracking import MlflowClient

from sweeps.home import Home
from sweeps.store import Lab

SPEC = """
name: halving
task: {kind: adding, length: 20}
model: {hidden: 16}
space: {cell: [rnn, gru], lr: {low: 1e-5, high: 3e-2, log: true}}
search: {sampler: random, trials: 8, pruner: {asha: {reduction: 2, grace: 20}}}
replicates: 2
budget: {updates: 160, evaluations: 8}
"""


def test_asha_prunes(tmp_path: Path) -> None:
    (tmp_path / "halving.yaml").write_text(SPEC)
    home = tmp_path / "a home"
    ran = rnnlab("sweep", "run", "halving.yaml", "--json", "--workers", "2", home=home, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    rows = json.loads(ran.out)
    states = [row["state"] for row in rows]
    assert set(states) == {"complete", "pruned"}
    assert all((row["updates"] == 160) == (row["state"] == "complete") for row in rows)
    with Lab.open(Home(home).lab_url) as lab:
        outcomes = {r.trial: r.outcome for r in lab.replicates("halving")}
        last = {report.trial: report.score for report in lab.reports("halving")}
    assert [outcomes[row["trial"]] for row in rows] == [
        {"complete": "finished", "pruned": "pruned"}[state] for state in states
    ]
    # the score of a pruned trial is the last that it told
    assert all(last[row["trial"]] == row["score"] for row in rows if row["state"] == "pruned")
    client = MlflowClient(Home(home).mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("halving").experiment_id])
    ends = {int(run.data.tags["trial"]): run.info.status for run in runs if run.data.tags["trial"] != "all"}
    assert ends == {row["trial"]: "FINISHED" if row["state"] == "complete" else "KILLED" for row in rows}
    for run in runs:
        if run.data.tags["trial"] != "all":
            assert run.data.metrics["score"] == run.data.metrics["final_score"]
