"""MLflow's store is made whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from mlflow.tracking import MlflowClient

from sweeps.recording.new_store import make_store


def test_killed_in_the_middle_it_is_not_there(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = f"from sweeps.recording.new_store import make_store; make_store({uri!r})"
    maker = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(part.stat().st_size > 100_000 for part in tmp_path.glob(".mlflow.db.*[0-9]")):
        assert time.monotonic() < deadline
        assert maker.poll() is None
        time.sleep(0.01)
    maker.kill()
    maker.wait()
    assert not (tmp_path / "mlflow.db").exists()
    make_store(uri)
    assert not list(tmp_path.glob(f".mlflow.db.{os.getpid()}*"))
    client = MlflowClient(uri)
    made = client.create_experiment("mine")
    make_store(uri)  # what is there stays
    assert client.get_experiment(made).name == "mine"


def test_a_server_makes_its_own(tmp_path: Path) -> None:
    make_store("http://localhost:1")
    assert not list(tmp_path.iterdir())
