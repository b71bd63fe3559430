"""A trial on a Ray worker: trains to the next evaluation at every step, and tells Tune one small result."""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayActorError

from rnnlab.errors import DataError
from rnnlab.spec import TrialSpec
from rnnlab.training.checkpoint import restore, save
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import Outcome, TrialResult
from rnnlab.training.scale import HIGHEST
from sweeps.home import CHECKPOINT_FILE, ERROR_FILE, STOP_FILE, place_behind, trial_folder
from sweeps.recording.actor import actor_name
from sweeps.recording.sending import ActorRecorder
from sweeps.recording.weights import keep
from sweeps.running.nodes import check_place, worker_name
from sweeps.running.resources import HeldMemory

LOOK_EVERY = 0.25
"""Seconds between two looks for the stop file."""


class StopFile:
    """Whether a sweep is to stop, looked up at most every `LOOK_EVERY` seconds."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / STOP_FILE
        self._looked = 0.0
        self._found = False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self._found and now - self._looked > LOOK_EVERY:
            self._looked = now
            self._found = self.path.exists()
        return self._found


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """One trial. `config` holds `number`, `spec` (JSON), `sweep_id` and `folder`, the sweep's own."""

    def setup(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(config["cpus"])
        self._memory = HeldMemory(config["memory"])
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in this process: starting one and importing torch costs seconds."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        check_place(Path(config["folder"]), config["place"])
        actor = ray.get_actor(actor_name(config["sweep_id"]))
        self.recorder = ActorRecorder(actor, config["number"])
        self._config = config
        self.trainer: Trainer | None = None

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation; finite numbers only.

        An error is a result too: the trial ends as failed with its cause, and this process takes the next one. A disk
        that is full, or a recorder that cannot record, says nothing of the trial: `place` stops the sweep.
        """
        try:
            try:
                with self._memory.held():
                    return self._advance()
            except Exception as error:
                self.trainer = None  # what it holds is the next trial's
                if place_behind(error) or isinstance(error, RayActorError):
                    raise
                return self._failed(error)
        except Exception as error:
            place = place_behind(error)
            if place is None and not isinstance(error, RayActorError):
                raise
            cause = str(place or f"the recorder died: {str(error).splitlines()[0]}")
            return {"score": HIGHEST, "updates": 0, "done": True, "interrupted": True, "place": cause}

    def _failed(self, error: Exception) -> dict[str, Any]:
        folder = trial_folder(Path(self._config["folder"]), self._config["number"])
        (folder / ERROR_FILE).write_text(traceback.format_exc())
        self.recorder.flush()  # what comes after the end is not recorded
        return {
            "score": HIGHEST,
            "updates": 0,
            "done": True,
            "failed": self._memory.cause(error) or f"{type(error).__name__}: {error}",
            "worker": worker_name(),
        }

    def _advance(self) -> dict[str, Any]:
        if self.trainer is None:
            spec = TrialSpec.model_validate_json(self._config["spec"])
            self.trainer = self._resumed(spec) if self._checkpoint.exists() else self._new(spec)
            if self.trainer.done > self._config["told"] and self.trainer.done in self.trainer.evaluate_at:
                return self._told(self.trainer.result)  # the driver may have died before it heard of this
        result = self.trainer.advance()
        # before the result: a pruner may end the trial on it, and what comes after the end is not recorded. A
        # checkpoint counts only where what was recorded before it cannot be lost: both are written at the same time
        self.recorder.send()
        save(self.trainer, self._checkpoint, before=self.recorder.flush)
        return self._told(result)

    def _told(self, result: TrialResult) -> dict[str, Any]:
        """What Tune is told of a trial at an evaluation, or at its end."""
        return {
            **(self._keep_weights() if result.done else {}),
            "score": result.score,
            "updates": result.updates,
            "verdict": result.verdict,
            "decades": result.decades,
            "probed": result.probed,
            "in_a_row": result.in_a_row,
            "done": result.done,
            "interrupted": result.outcome is Outcome.INTERRUPTED,
            "worker": worker_name(),
            "trial_result": json.dumps(result.as_dict()),  # Tune would flatten a mapping
        }

    def _new(self, spec: TrialSpec) -> Trainer:
        return Trainer(spec, self.recorder, StopFile(Path(self._config["folder"])))

    def _resumed(self, spec: TrialSpec) -> Trainer:
        """The trial where its checkpoint left it; from its beginning where that is spoilt, which costs time alone."""
        trainer = self._new(spec)
        try:
            restore(trainer, self._checkpoint)
        except DataError:
            self._checkpoint.unlink()
            return self._new(spec)
        return trainer

    @property
    def _checkpoint(self) -> Path:
        return trial_folder(Path(self._config["folder"]), self._config["number"]) / CHECKPOINT_FILE

    def _keep_weights(self) -> dict[str, str]:
        """Keep the trained weights, from which the sweep's best model is made; what hindered it, if anything."""
        assert self.trainer is not None
        try:
            keep(self.trainer, self._config["number"], Path(self._config["folder"]))
        except Exception as error:  # weights are an extra: a full disk must not cost the result
            return {"weights_lost": f"{type(error).__name__}: {error}"}
        return {}
