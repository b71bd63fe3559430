"""Pruners on a real Ray: what one ends early is pruned everywhere, with its cause, and stays in the table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import rnnlab
from mlflow.tracking import MlflowClient

from sweeps.home import Home
from sweeps.store import Lab

SPEC = """
name: halving
task: {kind: adding, length: 20}
model: {hidden: 16}
space: {cell: [rnn, gru], lr: {low: 1e-5, high: 3e-2, log: true}}
search: {sampler: random, trials: 8, pruner: PRUNER}
replicates: 2
budget: {updates: 160, evaluations: 8}
"""


@pytest.mark.slow  # rules and words in seconds: tests/sweeps/search/test_pruners.py
@pytest.mark.parametrize(
    ("pruner", "cause"),
    [
        ("{asha: {reduction: 2, grace: 20}}", r"asha: score [+-]\d\.\d\d at update \d+ is not in the best 1/2 of .*"),
        ("{median: {grace: 20}}", r"median: best score [+-]\d\.\d\d by update \d+, median of \d others [+-]\d\.\d\d"),
    ],
    ids=["asha", "median"],
)
def test_what_a_pruner_ends_says_so_everywhere(tmp_path: Path, pruner: str, cause: str) -> None:
    (tmp_path / "halving.yaml").write_text(SPEC.replace("PRUNER", pruner))
    home = tmp_path / "a home"
    ran = rnnlab("sweep", "run", "halving.yaml", "--json", "--workers", "1", home=home, cwd=tmp_path, timeout=900)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    rows = json.loads(ran.out)
    states = [row["state"] for row in rows]
    assert set(states) == {"complete", "pruned"}
    assert all((row["updates"] == 160) == (row["state"] == "complete") for row in rows)
    assert all(bool(re.fullmatch(cause, row["cause"] or "")) == (row["state"] == "pruned") for row in rows)
    with Lab.open(Home(home).lab_url) as lab:
        outcomes = {r.trial: r.outcome for r in lab.replicates("halving")}
        reports = {report.trial: report for report in lab.reports("halving")}
        trials = lab.trials("halving")
    assert [outcomes[row["trial"]] for row in rows] == [
        {"complete": "finished", "pruned": "pruned"}[state] for state in states
    ]
    assert {trial.number: trial.cause for trial in trials} == {row["trial"]: row["cause"] for row in rows}
    for row in rows:
        last = reports[row["trial"]]
        # the score of a pruned trial is the last that it told
        assert (last.score, last.verdict) == (row["score"], row["verdict"])
        assert last.probed is not None
        assert 0 < last.probed <= row["updates"]
        assert last.in_a_row is not None  # 0 where two replicates do not agree
    assert any(report.in_a_row for report in reports.values())
    client = MlflowClient(Home(home).mlflow_uri)
    found = client.search_runs([client.get_experiment_by_name("halving").experiment_id])
    runs = {int(run.data.tags["trial"]): run for run in found if run.data.tags["trial"] != "all"}
    assert {number: (run.info.status, run.data.tags.get("cause")) for number, run in runs.items()} == {
        row["trial"]: ("FINISHED" if row["state"] == "complete" else "KILLED", row["cause"]) for row in rows
    }
    for run in runs.values():
        assert run.data.metrics["score"] == run.data.metrics["final_score"]
