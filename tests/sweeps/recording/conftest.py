"""A migrated, empty MLflow store, made once and copied for each test; and messages of trials, made up or real."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from rnnlab.curve import Curve
from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from sweeps.recording.messages import Message, TrialBegun, TrialOver, UpdateCurves, UpdateScalars
from sweeps.recording.mlflow_writer import MlflowWriter
from sweeps.recording.sending import ActorRecorder
from sweeps.running.books import Books
from sweeps.running.progress import NoWatcher
from sweeps.space.dimensions import Picks
from sweeps.spec import SweepSpec
from sweeps.store import Lab, lab_url


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without experiments of ours: its migrations take seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@dataclass
class Store:
    """A store in a folder of its own, and how to look into it."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def arguments(self) -> dict[str, Any]:
        """What a writer is made with."""
        return {
            "tracking_uri": self.uri,
            "sweep_id": "first-2",
            "description": "what it asks",
            "artifact_folder": self.folder / "artifacts",
            "spec_yaml": "name: first\n",
        }

    def writer(self, **changes: Any) -> MlflowWriter:
        return MlflowWriter(**{**self.arguments, "folder": self.folder / "sweep", **changes})

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)

    def runs(self, sweep_id: str = "first-2") -> dict[str, Run]:
        """Runs by their tag `trial`; the parent's is `all`."""
        experiment = self.client.get_experiment_by_name(sweep_id)
        assert experiment is not None
        found = self.client.search_runs([experiment.experiment_id])
        by_trial = {run.data.tags["trial"]: run for run in found}
        assert len(by_trial) == len(found), "two runs of one trial"
        return by_trial

    def history(self, run: Run) -> dict[str, list[tuple[int, int, float]]]:
        """Every point of a run: metric -> (step, timestamp, value), in order."""
        return {
            key: sorted((p.step, p.timestamp, p.value) for p in self.client.get_metric_history(run.info.run_id, key))
            for key in run.data.metrics
        }

    def artifact(self, run: Run, name: str) -> Path:
        return Path(self.client.download_artifacts(run.info.run_id, name))


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Store:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return Store(tmp_path)


@dataclass
class MadeUp:
    """Messages of a trial of two replicates, T = 4, probed at 0, 5 and 10."""

    trial: int = 0
    depth: int = 2
    state: str = "h"
    begun_tags: dict[str, str] = field(default_factory=lambda: {"config_hash": "abc", "seeds": "1,2", "block": "0"})

    @property
    def begun(self) -> TrialBegun:
        return TrialBegun(
            self.trial,
            f"{self.trial:03} rnn tanh",
            1_700_000_000_000,
            {"cell": "rnn", "lr": 0.1},
            dict(self.begun_tags),
            "task: {kind: adding}\n",
            self.state,
            self.depth,
            3,
        )

    def scalars(self, update: int, **values: list[float]) -> UpdateScalars:
        given = {"train_loss": [1.0, 3.0], **values}
        return UpdateScalars(self.trial, update, {name: np.array(value) for name, value in given.items()})

    def curves(self, update: int, values: list[list[float]] | None = None) -> UpdateCurves:
        values_SK = np.array(values or [[1e-4, 1e-3, 1e-2, 1e-1], [1e-2, 1e-1, 1.0, 10.0]])
        found = [
            Curve("loss", "timestep", values_SK, update=update),
            Curve("inputs", "timestep", values_SK, update=update),
        ]
        for layer in range(self.depth):
            found.append(Curve("total", "timestep", values_SK * 10**layer, "h", layer, update))
            found.append(Curve("anchor", "lag", values_SK * 10**layer, "h", layer, update))
        return UpdateCurves(self.trial, update, tuple(found))

    def over(self, status: str = "FINISHED", **finals: float) -> TrialOver:
        tags = {"verdict": "vanishing", "verdict_init": "healthy", "outcome": "finished"}
        return TrialOver(
            self.trial, status, 1_700_000_009_000, 10, {"final_score": -1.0, **finals}, tags, {"score": -1.0}
        )

    def all(self, status: str = "FINISHED") -> list[Message]:
        told: list[Message] = [self.begun]
        for update in (0, 5, 10):
            told += [self.curves(update), self.scalars(update)]
        return [*told, self.over(status)]


@pytest.fixture
def made_up() -> Callable[..., MadeUp]:
    return MadeUp


class Wire:
    """Stands where a worker has the handle of the recorder: `wire.put.remote(message)`."""

    def __init__(self, take: Callable[[Message], object]) -> None:
        self.put, self.take = self, take

    def remote(self, *messages: Message) -> None:
        for message in messages:
            self.take(message)


@pytest.fixture(scope="session")
def told(sweep_of: Callable[..., SweepSpec], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Trains the points of a space here and returns what driver and worker told the recorder, and the trials."""
    with Lab.open(lab_url(tmp_path_factory.mktemp("lab"))) as lab:

        def train(points: list[Picks], **sweep: Any) -> tuple[list[Message], list[TrialSpec]]:
            space = {name: list(dict.fromkeys(p[name] for p in points)) for name in points[0]}
            spec = sweep_of(space, **sweep)
            messages: list[Message] = []
            wire = Wire(messages.append)
            sweep_id = lab.create_sweep(spec.name, {}, spec.content_hash).id
            books = Books(sweep_id, spec, lab, wire, NoWatcher(), tmp_path_factory.mktemp("sweep"))
            trials = []
            for number, picks in enumerate(points):
                trial = spec.trial(number, picks)
                trials.append(trial)
                books.begin(number, f"t{number}", picks, trial)
                recorder = ActorRecorder(wire, number)
                trainer = Trainer(trial, recorder)
                while not trainer.advance().done:
                    pass
                recorder.flush()
                result = trainer.result
                plain = {"score": result.score, "updates": result.updates, "done": True}
                books.end(number, {**plain, "trial_result": json.dumps(result.as_dict())}, error=False)
            return messages, trials

        yield train
