"""The three sides that must agree, each read once: the lab database, MLflow, the files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlab.errors import PlaceError
from rnnlab.spec import TrialSpec
from sweeps.home import CHECKPOINT_FILE, STOP_FILE, Home
from sweeps.recording import names
from sweeps.recording.lag import UNDRAWN
from sweeps.spec import SweepSpec
from sweeps.store import Lab, ReplicateRecord, ReportRecord, SweepRecord, SweepStatus, TrialRecord

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

SETTLES = timedelta(seconds=30)
"""After this MLflow must have what the lab database has, where nothing waits in the spool."""
PAGE = 1000
"""Runs in one answer of MLflow."""
THREADS = 8
"""Questions to a server at a time; a SQLite file answers one after another."""
READ = frozenset({*names.BY_UPDATE.values(), names.NORM_MAX, names.ALIVE, "final_score", "seconds"})
"""Metrics whose every point is read: a question each. All finals are written at once; of the others the last point,
which comes with the run, does."""
Points = dict[str, list["Metric"]]
"""Metric -> its points."""


@dataclass(frozen=True)
class LabSide:
    """A sweep in the lab database."""

    sweep: SweepRecord
    spec: SweepSpec
    trials: Mapping[int, TrialRecord]
    replicates: Mapping[int, Sequence[ReplicateRecord]]
    reports: Mapping[int, Sequence[ReportRecord]]
    blocks: frozenset[int]

    @property
    def live(self) -> bool:
        """Whether a driver lives: its status says so no more once its lease has run out."""
        return self.sweep.status == "running"

    def spec_of(self, number: int) -> TrialSpec:
        """A trial's spec."""
        return TrialSpec.model_validate(self.trials[number].spec)


@dataclass(frozen=True)
class MlflowSide:
    """A sweep in MLflow.

    Args:
        experiments: id -> name, of all that are tagged with the sweep. deleted: ids of those, and of runs, that a
            person deleted. parents, runs: what is there, by trial. strays: runs that name no trial.
        points: by run. artifacts: by run, names at the top.
    """

    experiments: Mapping[str, str]
    deleted: frozenset[str] = frozenset()
    parents: Sequence[Run] = ()
    runs: Mapping[int, Sequence[Run]] = field(default_factory=dict)
    strays: Sequence[Run] = ()
    points: Mapping[str, Points] = field(default_factory=dict)
    artifacts: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Points that were read."""
        return sum(len(points) for by_key in self.points.values() for points in by_key.values())


@dataclass(frozen=True)
class FileSide:
    """A sweep's folder.

    Args:
        waiting: messages in the spool, and pictures to draw. aside: files set aside there.
        open_trials, checkpoints, folders: of trials. probes: trial -> updates in its kept curves.
        left: names that a driver's end removes. top: all names.
    """

    folder: Path
    waiting: int
    aside: int
    open_trials: frozenset[int]
    checkpoints: frozenset[int]
    folders: frozenset[int]
    probes: Mapping[int, frozenset[int]]
    left: Sequence[str]
    top: frozenset[str]


@dataclass(frozen=True)
class Sides:
    """All three.

    Args:
        moving: trials of a running sweep of which MLflow may not have heard all.
    """

    lab: LabSide
    mlflow: MlflowSide
    files: FileSide
    moving: frozenset[int] = frozenset()


def read_lab(lab: Lab, sweep_id: str, ended: SweepStatus | None = None) -> LabSide:
    """A sweep in the lab database; `ended`: its status for whoever holds its lease and trains nothing.

    Raises:
        SpecError: there is none of that id.
    """
    sweep = lab.sweep(sweep_id)
    if ended is not None:
        sweep = sweep.model_copy(update={"status": ended})
    return LabSide(
        sweep,
        SweepSpec.model_validate(sweep.spec),
        {trial.number: trial for trial in lab.trials(sweep_id)},
        _by_trial(lab.replicates(sweep_id)),
        _by_trial(lab.reports(sweep_id)),
        frozenset(block.number for block in lab.blocks(sweep_id)),
    )


def read_files(folder: Path) -> FileSide:
    """A sweep's folder; an absent one is empty."""
    trials = {int(path.name): path for path in folder.glob("trials/[0-9]*")}
    curves = {number: path / names.CURVES_FILE for number, path in trials.items()}
    return FileSide(
        folder,
        len([*folder.glob("spool/[0-9]*.pkl"), *folder.glob(f"{UNDRAWN}/[0-9]*.pkl")]),
        len([*folder.glob("spool/*.spoilt"), *folder.glob("spool/refused/*.pkl")]),
        frozenset(int(path.name) for path in folder.glob("open/[0-9]*")),
        frozenset(number for number, path in trials.items() if (path / CHECKPOINT_FILE).is_file()),
        frozenset(trials),
        {number: _probes(path) for number, path in curves.items() if path.is_file()},
        [name for name in ("tune", STOP_FILE) if (folder / name).exists()],
        frozenset(path.name for path in folder.glob("*")),
    )


def read_mlflow(
    home: Home, sweep_id: str, *, everything: bool = False, each: Callable[[int, int], None] = lambda done, total: None
) -> MlflowSide:
    """A sweep in MLflow; nothing is made, not even a store where there is none.

    Args:
        everything: read every point of every metric, also of the curves by timestep and lag, which are most.
        each: told how many runs are read, and of how many.

    Raises:
        PlaceError: MLflow does not answer.
    """
    if home.mlflow is None and not (home.path / "mlflow.db").is_file():
        return MlflowSide({})
    with answering(home) as client:
        from mlflow.entities import ViewType

        tagged = client.search_experiments(ViewType.ALL, filter_string=f"tags.{names.SWEEP_ID} = '{sweep_id}'")
        named = client.get_experiment_by_name(sweep_id)
        experiments = {str(one.experiment_id): one for one in [*tagged, *([named] if named else [])]}
        deleted = {id for id, one in experiments.items() if one.lifecycle_stage == "deleted"}
        found = _all_runs(client, [*experiments])
        # the runs of an experiment that was deleted were deleted with it, and come back with it
        gone = [run for run in found if run.info.lifecycle_stage == "deleted" and run.info.experiment_id not in deleted]
        runs = [run for run in found if run not in gone]
        known = {run.data.tags.get(names.TRIAL) for run in runs}
        back = [run for run in gone if run.data.tags.get(names.TRIAL) not in known]
        by_trial: dict[int, list[Run]] = {}
        parents, strays = [], []
        for run in [*runs, *back]:
            tag = run.data.tags.get(names.TRIAL, "")
            if tag == "all":
                parents.append(run)
            elif re.fullmatch("[0-9]+", tag):
                by_trial.setdefault(int(tag), []).append(run)
            else:
                strays.append(run)
        asked = [run for run in runs if run not in strays]
        points, artifacts = _contents(client, asked, everything, each, THREADS if home.mlflow else 1)
    gone_ids = {str(run.info.run_id) for run in back}
    ids = {id: str(one.name) for id, one in experiments.items()}
    return MlflowSide(ids, frozenset(deleted | gone_ids), parents, by_trial, strays, points, artifacts)


@contextmanager
def answering(home: Home) -> Iterator[MlflowClient]:
    """A client of MLflow; what MLflow raises in the body becomes a PlaceError."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from sweeps.recording.actor import ENVIRONMENT

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        yield MlflowClient(tracking_uri=home.mlflow_uri)
    except MlflowException as error:
        cause = str(error).strip().splitlines()[0]
        raise PlaceError(
            f"MLflow at {home.mlflow_uri} must answer for this, but: {cause}; check that it runs "
            "(RNNLAB_MLFLOW names its server) and ask again"
        ) from None


def moving_trials(before: LabSide, after: Iterable[TrialRecord], files: FileSide, lab: Lab) -> frozenset[int]:
    """Trials of a running sweep of which MLflow may not have heard all by the time it was read.

    Args:
        before: read before the files, and they before MLflow. after: the trials, read last.
    """
    if not before.live:
        return frozenset()
    now, later = lab.now(), {trial.number: trial.state for trial in after}
    return frozenset(
        number
        for number, trial in before.trials.items()
        if files.waiting
        or later.get(number) != trial.state
        or now - max(trial.started_at, trial.ended_at or trial.started_at) < SETTLES
    )


def _by_trial(records: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for one in records:
        found.setdefault(one.trial, []).append(one)
    return found


def _probes(path: Path) -> frozenset[int]:
    with np.load(path) as stored:
        return frozenset(int(update) for update in stored["updates"])


def _all_runs(client: MlflowClient, experiments: Sequence[str]) -> list[Run]:
    from mlflow.entities import ViewType

    found: list[Run] = []
    token: str | None = None
    while experiments:
        page = client.search_runs(list(experiments), "", ViewType.ALL, PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    return found


def _contents(
    client: MlflowClient, runs: Sequence[Run], everything: bool, each: Callable[[int, int], None], threads: int
) -> tuple[dict[str, Points], dict[str, frozenset[str]]]:
    """Points and artifacts of every run: a question for each metric that it has, and one for its artifacts."""

    def ask(run: Run) -> tuple[str, Points, frozenset[str]]:
        id = run.info.run_id
        keys = [key for key in run.data.metrics if everything or key in READ]
        points = {key: list(client.get_metric_history(id, key)) for key in keys}
        return id, points, frozenset(file.path for file in client.list_artifacts(id))

    points: dict[str, Points] = {}
    artifacts: dict[str, frozenset[str]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for done, (id, by_key, there) in enumerate(pool.map(ask, runs), 1):
            points[id], artifacts[id] = by_key, there
            each(done, len(runs))
    return points, artifacts
