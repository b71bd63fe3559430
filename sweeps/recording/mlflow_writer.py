"""Writes a sweep into MLflow: one experiment, one parent run, one child run a trial, points in batches.

Everything is addressed by run id. A point's timestamp is made from the trial's start and the update, so that a
point sent twice is one point (MLflow drops exact repeats only). A call costs as much as 50 to 100 points, so what is
known of a trial goes in one: params, tags and points.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Metric, Param, RunInfo, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray

from rnnlab.training.outcome import Outcome
from sweeps.home import trial_folder
from sweeps.recording import names
from sweeps.recording.arrays import Arrays, charted_rows, over_replicates
from sweeps.recording.best_model import account, log_best_model
from sweeps.recording.messages import TrialBegun, TrialMessage, TrialOver, UpdateCurves, UpdateScalars
from sweeps.recording.open_trials import OpenTrials, Undrawn
from sweeps.recording.points import Points
from sweeps.recording.weights import Weights

logger = logging.getLogger(__name__)

CHARTED = 1e30
"""A loss by timestep above this has overflowed: it would flatten the chart and is left out (the npz has it)."""
LOWEST = -40.0
"""log10 of the smallest norm that a chart shows: an exact 0 at -320 would flatten the rest."""
LONGEST_TAG = 8000
"""Characters that MLflow keeps of a tag, the description being one."""
CUT = "\n\n_Cut here: the report among the artifacts has all of it._"


@dataclass(frozen=True)
class OpenRun:
    """A trial's run, how it began, and where its artifacts go."""

    run_id: str
    begun: TrialBegun
    artifacts: str


@dataclass
class Told:
    """What a run is to be told in one call."""

    metrics: list[Metric] = field(default_factory=list)
    params: list[Param] = field(default_factory=list)
    tags: list[RunTag] = field(default_factory=list)


class MlflowWriter:
    """Turns messages into MLflow's runs. Threads may write different trials at a time.

    Args:
        tracking_uri: of MLflow's store or server.
        sweep_id: names the experiment. description: shown on it.
        artifact_folder: where artifacts of a local store go; None lets a server decide.
        spec_yaml: the sweep's spec, an artifact of the parent run.
        folder: the sweep's, in which curves, open trials and runs without their picture are kept. undrawn: those
            runs, where somebody else counts them, too.
    """

    def __init__(
        self,
        tracking_uri: str,
        sweep_id: str,
        description: str,
        artifact_folder: Path | None,
        spec_yaml: str,
        folder: Path,
        undrawn: Undrawn | None = None,
    ) -> None:
        self.open_trials = OpenTrials(folder)
        self.undrawn = Undrawn(folder) if undrawn is None else undrawn  # an empty one is false
        self._in_doubt = folder / "in_doubt"
        self._closed = False
        self._new = True
        """Whether only this process can have made runs of the sweep; not after a call that got no answer."""
        self._counting = threading.Lock()
        self.folder = folder
        self.tracking_uri = tracking_uri
        self.client = MlflowClient(tracking_uri=tracking_uri)
        self._points = Points(self.client, tracking_uri)
        self.sweep_id = sweep_id
        self.runs: dict[int, OpenRun] = {}
        self.run_ids: dict[int, str] = {}
        self.points = 0
        """Metric points written so far."""
        self.experiment_id = self._experiment(artifact_folder, description)
        self.run_ids |= self._earlier()
        self.parent_id = self._find(None) or self._parent()
        self._log_text(self.parent_id, "sweep.yaml", spec_yaml)
        if not self._new:
            self.client.update_run(self.parent_id, status="RUNNING")  # a sweep that is resumed had ended

    def write(self, *messages: TrialMessage) -> OpenRun | None:
        """Write messages of one trial, in order; the run that they ended, whose picture may now be drawn.

        What a worker sends of a trial that has ended (it was stopped at once) comes too late and is dropped.
        """
        if self._closed:  # an earlier end of the sweep, which was resumed
            self.client.update_run(self.parent_id, status="RUNNING")
            self._closed = False
        trial, told, ended = messages[0].trial, Told(), None
        over = next((message for message in messages if isinstance(message, TrialOver)), None)
        for message in messages:
            if isinstance(message, TrialBegun):
                told.params += [Param(name, str(value)) for name, value in message.params.items()]
                if self._begin(message, over.tags if over else {}):
                    over = None  # the run was made with its tags
                continue
            run = self.runs.get(trial) or self._reopened(trial)
            if run is None:
                logger.warning("trial %d is not open: %s dropped", trial, type(message).__name__)
                continue
            match message:
                case UpdateScalars():
                    told.metrics += _scalars(run, message)
                case UpdateCurves():
                    self.open_trials.add(message)
                case TrialOver():
                    told.tags += [RunTag(name, value) for name, value in (over.tags if over else {}).items()]
                    ended = self._end(run, message, told)
                    told = Told()
        self._log(self.run_ids.get(trial, ""), told)
        return ended

    def log_file(self, path: Path) -> None:
        """Add a file to the parent run's artifacts."""
        self.client.log_artifact(self.parent_id, str(path))

    def log_picture(self, run: OpenRun, path: Path) -> None:
        """Add a file to the artifacts of a trial that has ended."""
        self._keep(run, path)

    def _keep(self, run: OpenRun, path: Path) -> None:
        # the client's own way asks MLflow each time where they are
        repository = get_artifact_repository(run.artifacts, self.tracking_uri)
        repository.log_artifact(str(path))  # type: ignore[no-untyped-call]

    def log_model(self, weights: Weights) -> str:
        """Log the best trial's network on its run, once; its address and account in Markdown."""
        run_id = self.run_ids.get(weights.trial) or self._find(weights.trial)
        if run_id is None:
            raise LookupError(f"trial {weights.trial} has weights and no run")
        uri = log_best_model(self.client, self.experiment_id, run_id, weights)
        tags = [RunTag(names.BEST_TRIAL, str(weights.trial)), RunTag(names.BEST_MODEL, uri)]
        self.client.log_batch(self.parent_id, tags=tags)
        return account(weights, uri)

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Give the parent run a table, `arms.json`; one that is there is replaced."""
        frame = pd.DataFrame([dict(row) for row in rows], dtype=object)
        there = {file.path for file in self.client.list_artifacts(self.parent_id)}
        if name in there:  # MLflow's own would add the rows once more
            self._log_text(self.parent_id, name, frame.to_json(orient="split", index=False))
        else:
            self.client.log_table(self.parent_id, frame, name)

    def describe(self, findings: str, below: str) -> None:
        """Give the parent run its description: findings, cut to what fits above what must stand below them."""
        text, below = findings.strip(), below.strip()
        room = LONGEST_TAG - len(below) - len(CUT) - 2
        if len(text) > room:
            text = text[:room].rpartition("\n")[0] + CUT
        if text or below:
            self.client.log_batch(self.parent_id, tags=[RunTag(names.DESCRIPTION, f"{text}\n\n{below}".strip())])

    def close(self, status: str) -> None:
        """End the parent run, and any child that still runs, with MLflow's `status`."""
        for run in list(self.runs.values()):
            self.client.set_terminated(run.run_id, "KILLED")
        if self._in_doubt.exists():
            self._delete_doubles()
        self.client.set_terminated(self.parent_id, status)
        self._closed = True

    def _experiment(self, artifact_folder: Path | None, description: str) -> str:
        found = self.client.get_experiment_by_name(self.sweep_id)
        if found is not None:
            self._new = False
            return str(found.experiment_id)
        location = None if artifact_folder is None else artifact_folder.resolve().as_uri()
        tags = {names.SWEEP_ID: self.sweep_id, names.DESCRIPTION: description, **names.EXPERIMENT_TAGS}
        return str(self.client.create_experiment(self.sweep_id, artifact_location=location, tags=tags))

    def _parent(self) -> str:
        return str(self._create("all", f"sweep {self.sweep_id}", {}, None).run_id)

    def _create(self, trial: str, name: str, tags: dict[str, str], started_ms: int | None) -> RunInfo:
        """Make a run. Where no answer comes, a server that hung may yet make it, and `close` looks for it."""
        tags = {**tags, names.SWEEP_ID: self.sweep_id, names.TRIAL: trial}
        try:
            return self.client.create_run(self.experiment_id, started_ms, tags, name).info
        except Exception:
            self._new = False
            self._in_doubt.touch()
            raise

    def _find(self, trial: int | None) -> str | None:
        """The run that an earlier process made for a trial (None: the parent). Of two, the one that got params."""
        if self._new:
            return None
        wanted = "all" if trial is None else str(trial)
        query = f"tags.{names.SWEEP_ID} = '{self.sweep_id}' and tags.{names.TRIAL} = '{wanted}'"
        found = sorted(self.client.search_runs([self.experiment_id], query), key=lambda run: not run.data.params)
        return str(found[0].info.run_id) if found else None

    def _earlier(self) -> dict[int, str]:
        """Runs of trials that an earlier process made, which may have died before anybody heard of them."""
        if self._new:
            return {}
        found: dict[int, str] = {}
        with_params: set[int] = set()
        query, token = f"tags.{names.SWEEP_ID} = '{self.sweep_id}'", None
        while token is None or token:
            page = self.client.search_runs([self.experiment_id], query, page_token=token)
            for run in page:
                trial = run.data.tags[names.TRIAL]
                if trial == "all":
                    continue
                if int(trial) not in found or (run.data.params and int(trial) not in with_params):  # as `_find`
                    found[int(trial)] = run.info.run_id
                if run.data.params:
                    with_params.add(int(trial))
            token = page.token or ""
        return found

    def _delete_doubles(self) -> None:
        """Delete runs that a server made late, after the recorder had given up waiting and had made another."""
        known: dict[str, str] = {str(trial): run_id for trial, run_id in self.run_ids.items()}
        known["all"] = self.parent_id
        query, token = f"tags.{names.SWEEP_ID} = '{self.sweep_id}'", None
        while token is None or token:
            page = self.client.search_runs([self.experiment_id], query, page_token=token)
            for run in page:
                trial = run.data.tags[names.TRIAL]
                if trial not in known:
                    known[trial] = self._find(int(trial)) or run.info.run_id
                if run.info.run_id != known[trial]:
                    logger.warning("a second run of trial %s is deleted", trial)
                    self.client.delete_run(run.info.run_id)
            token = page.token or ""
        self._in_doubt.unlink()

    def _begin(self, begun: TrialBegun, at_end: Mapping[str, str]) -> bool:
        """Make a trial's run, or find the one that it has; whether it is new, and so has tags `at_end`, too."""
        run_id = self.run_ids.get(begun.trial) or self._find(begun.trial)
        new = run_id is None
        if run_id is None:
            tags = {**begun.tags, **at_end, "mlflow.parentRunId": self.parent_id}
            made = self._create(str(begun.trial), begun.name, tags, begun.started_ms)
            run_id, artifacts = str(made.run_id), str(made.artifact_uri)
        else:
            artifacts = self._again(run_id, begun)
        self.open_trials.begin(begun)
        self.run_ids[begun.trial] = run_id
        self.runs[begun.trial] = OpenRun(run_id, begun, artifacts)
        return new

    def _again(self, run_id: str, begun: TrialBegun) -> str:
        """A trial goes on: its run says so, and no longer why it was cut short."""
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in begun.tags.items()])
        run = self.client.get_run(run_id)
        if names.CAUSE in run.data.tags:
            self.client.delete_tag(run_id, names.CAUSE)
        self.client.update_run(run_id, status="RUNNING")
        return str(run.info.artifact_uri)

    def _reopened(self, trial: int) -> OpenRun | None:
        """A trial that an earlier recorder, or an earlier driver, left open."""
        begun = self.open_trials.begun(trial)
        run_id = self.run_ids.get(trial) or (self._find(trial) if begun else None)
        if begun is None or run_id is None:
            return None
        self.run_ids[trial] = run_id
        self.runs[trial] = OpenRun(run_id, begun, str(self.client.get_run(run_id).info.artifact_uri))
        return self.runs[trial]

    def _end(self, run: OpenRun, over: TrialOver, told: Told) -> OpenRun:
        """End a trial's run, and tell it what it was to be told before, in the same call as its curves."""
        curves = self.open_trials.curves(over.trial)  # on disk until now, and they come in order of update
        arrays = curves.arrays
        timestamp = run.begun.started_ms + over.update
        interrupted = over.tags.get(names.OUTCOME) == Outcome.INTERRUPTED
        if not interrupted:  # it may be resumed, and a point that is written stays
            told.metrics += [Metric(name, value, timestamp, 0) for name, value in over.finals.items()]
            told.metrics += _curve_metrics(run, arrays)
        self._log(run.run_id, told)
        kept = trial_folder(self.folder, over.trial) / names.CURVES_FILE
        curves.save(kept)
        self._keep(run, kept)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / names.SPEC_FILE).write_text(run.begun.spec_yaml)
            (Path(folder) / names.RESULT_FILE).write_text(json.dumps(over.result, indent=1))
            repository = get_artifact_repository(run.artifacts, self.tracking_uri)
            repository.log_artifacts(folder)  # type: ignore[no-untyped-call]
        self.client.set_terminated(run.run_id, over.status, over.ended_ms)
        self.undrawn.add(run)  # before the trial is forgotten: a recorder that dies here draws it when it is back
        self.runs.pop(over.trial, None)  # not before: a store that refuses half-way is tried again
        if not interrupted:
            self.open_trials.end(over.trial)
        return run

    def _log(self, run_id: str, told: Told) -> None:
        self._points.log(run_id, told.metrics, told.params, told.tags)
        with self._counting:
            self.points += len(told.metrics)

    def _log_text(self, run_id: str, name: str, text: str) -> None:
        self.client.log_text(run_id, text, name)


def _scalars(run: OpenRun, message: UpdateScalars) -> list[Metric]:
    """The points of one update: medians over the replicates that are alive (score: the mean)."""
    timestamp, evaluated = run.begun.started_ms + message.update, names.EVALUATED in message.values
    values: dict[str, float] = {}
    for name, values_S in message.values.items():
        alive_S = values_S[np.isfinite(values_S)]
        if not len(alive_S) or (name in names.AT_EVALUATIONS and not evaluated):
            continue
        value = float(np.mean(alive_S) if name == "score" else np.median(alive_S))
        if name in names.LOGGED:
            value = float(np.log10(max(value, 1e-30)))
            values[names.NORM_MAX] = float(np.log10(max(alive_S.max(), 1e-30)))
        values[names.BY_UPDATE[name]] = value
    alive_S = np.isfinite(message.values["train_loss"])
    if evaluated or not alive_S.all():
        values[names.ALIVE] = float(alive_S.sum())
    return [Metric(name, value, timestamp, message.update) for name, value in values.items()]


def _curve_metrics(run: OpenRun, arrays: Arrays) -> list[Metric]:
    """The charted curves at the first, a middle and the last probed update, median over replicates."""
    rows = charted_rows(arrays) if len(arrays["updates"]) else None
    if rows is None:
        return []
    metrics: list[Metric] = []
    updates = [int(arrays["updates"][row]) for row in rows]
    for name in names.charted(run.begun.depth, run.begun.state):
        if name not in arrays:
            continue
        median_UK = over_replicates({name: arrays[name][list(rows)]}, name)
        steps = names.steps(name, median_UK.shape[1])
        for when, update, values_K in zip(names.WHEN, updates, median_UK[:, steps], strict=True):
            key = names.by_step(name.removesuffix(f"_l{run.begun.depth - 1}"), when)
            shown_K = _log10(values_K) if "log10" in key else values_K
            metrics += [
                Metric(key, value, run.begun.started_ms + update, step)
                for step, value in zip(steps, shown_K.tolist(), strict=True)
                if math.isfinite(value) and value <= CHARTED
            ]
    return metrics


def _log10(values_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 within `LOWEST`, exact zeros there; NaN stays."""
    with np.errstate(divide="ignore"):
        logs: NDArray[np.float64] = np.clip(np.log10(values_K), LOWEST, -LOWEST)
    return logs
