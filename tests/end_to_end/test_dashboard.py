"""What a reviewer finds in MLflow after a real design, through the page's own server, as docs/dashboard.md tells it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Ran, rnnlab
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from sweeps.recording import names
from sweeps.recording.weights import best_of, load_weights

pytestmark = pytest.mark.slow  # a minute; what it looks at through the page, tests of recording look at in the store
PAGE = Path(__file__).parents[2] / "docs" / "dashboard.md"
SPEC = """
name: small
description: Which cell keeps the gradient alive?
task: {kind: digits}
model: {hidden: 8}
space:
  cell: [rnn, gru]
  init: [default, orthogonal]
  lr: {low: 0.002, high: 0.02, log: true}
search: {design: screen, blocks: 2, nuisance: [lr], baseline: {init: default}}
replicates: 2
budget: {updates: 10, evaluations: 2}
probe: {batch: 8}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A screen of four arms in two blocks."""
    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "spec.yaml").write_text(SPEC)
    ran = rnnlab("sweep", "run", str(folder / "spec.yaml"), "--workers", "1", home=folder / "home")
    assert ran.code == 0, ran.err
    return ran


@pytest.fixture(scope="module")
def page(swept: Ran) -> Iterator[str]:
    """`rnnlab ui` on it; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "services.cli.app", "ui", "--home", str(swept.home), "--port", str(port)]
    with (swept.home / "ui.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < end, (swept.home / "ui.log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def client(page: str) -> MlflowClient:
    return MlflowClient(page)


@pytest.fixture(scope="module")
def experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name("small")
    assert found is not None
    return str(found.experiment_id)


@pytest.fixture(scope="module")
def parent(client: MlflowClient, experiment: str) -> Run:
    (found,) = client.search_runs([experiment], "tags.trial = 'all'")
    return found


def test_trials_can_be_filtered_and_grouped_by_what_the_page_names(client: MlflowClient, experiment: str) -> None:
    runs = client.search_runs([experiment], "params.init = 'orthogonal(1)' and tags.stage = 'screen'")
    assert (
        sorted(run.data.tags[names.ARM] for run in runs) == ["gru, orthogonal(1)"] * 2 + ["rnn tanh, orthogonal(1)"] * 2
    )
    for run in runs:
        tags = run.data.tags
        assert run.info.run_name == f"{int(tags['trial']):03} {tags[names.ARM]}, block {tags[names.BLOCK]}"
        assert tags[names.NUISANCE] == f"lr {float(run.data.params['lr']):.3g}"
    assert len({run.data.tags[names.NUISANCE] for run in runs}) == 2  # drawn by block
    verdict = runs[0].data.tags[names.VERDICT]
    assert runs[0].info.run_id in {
        r.info.run_id for r in client.search_runs([experiment], f"tags.verdict = '{verdict}'")
    }


def test_the_parent_has_findings_and_files(swept: Ran, client: MlflowClient, parent: Run) -> None:
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"sweep.yaml", "table.md", "table.json"} <= files
    assert parent.info.status == "FINISHED"
    assert "## Best model" in parent.data.tags[names.DESCRIPTION]


def test_the_best_model_is_the_best_validation_scores_and_loads_as_the_page_says(
    swept: Ran, page: str, client: MlflowClient, experiment: str, parent: Run, tmp_path: Path
) -> None:
    trials = client.search_runs([experiment], "tags.outcome = 'finished'")
    best = min(trials, key=lambda run: (run.data.metrics["final_score"], int(run.data.tags["trial"])))
    assert parent.data.tags[names.BEST_TRIAL] == best.data.tags["trial"]
    (model,) = client.search_logged_models([experiment])
    assert model.source_run_id == best.info.run_id
    kept = list((swept.home / "sweeps/small/trials").glob("*/weights.npz"))
    assert [int(path.parent.name) for path in kept] == [int(best.data.tags["trial"])]
    path = best_of(swept.home / "sweeps/small")
    assert path is not None
    weights = load_weights(path)
    assert np.isfinite(weights.theta_P).all()
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 4
    uri = re.search(r'load_model\("(.*?)"\)', code)
    assert uri is not None
    typed = code.replace("http://127.0.0.1:5000", page).replace(uri[1], parent.data.tags[names.BEST_MODEL])
    typed += "print(tuple(outputs.shape))\ntorch.save((model(torch.ones(2, 13, 1))).detach(), 'outputs.pt')\n"
    done = subprocess.run([sys.executable, "-c", typed], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "(4, 100, 10)", done.stderr
    wanted = weights.module()(torch.ones(2, 13, 1))
    torch.testing.assert_close(torch.load(tmp_path / "outputs.pt"), wanted.detach(), rtol=0, atol=1e-6)
    assert f'load_model("{model.model_uri}")' in parent.data.tags[names.DESCRIPTION]


def test_every_filter_of_the_page_is_one_that_mlflow_takes(client: MlflowClient, experiment: str) -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| to see | type |")[2].partition("\n\n")[0]
    filters = re.findall(r"\| `(.*?)`", table)
    assert len(filters) == 7
    for text in filters:
        client.search_runs([experiment], text)
    assert len(client.search_runs([experiment], filters[4])) == 4  # a block has every arm
