"""A trial on a Ray worker: trains to the next evaluation at every step, and tells Tune one small result."""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import HIGHEST
from sweeps.home import ERROR_FILE, STOP_FILE, trial_folder
from sweeps.recording.actor import ActorRecorder, actor_name

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
        torch.set_num_threads(1)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in this process: starting one and importing torch costs seconds."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        actor = ray.get_actor(actor_name(config["sweep_id"]))
        self.recorder = ActorRecorder(actor, config["number"])
        self._config = config
        self.trainer: Trainer | None = None

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation; finite numbers only.

        An error is a result too: the trial ends as failed with its cause, and this process takes the next one.
        """
        try:
            return self._advance()
        except Exception as error:
            folder = trial_folder(Path(self._config["folder"]), self._config["number"])
            (folder / ERROR_FILE).write_text(traceback.format_exc())
            return {
                "score": HIGHEST,
                "updates": 0,
                "done": True,
                "failed": f"{type(error).__name__}: {error}",
            }

    def _advance(self) -> dict[str, Any]:
        if self.trainer is None:
            spec = TrialSpec.model_validate_json(self._config["spec"])
            self.trainer = Trainer(spec, self.recorder, StopFile(Path(self._config["folder"])))
        result = self.trainer.advance()
        # before the result: a pruner may end the trial on it, and what comes after the end is not recorded
        self.recorder.flush()
        return {
            "score": result.score,
            "updates": result.updates,
            "done": result.done,
            "worker": f"{socket.gethostname()}:{os.getpid()}",
            "trial_result": json.dumps(result.as_dict()),  # Tune would flatten a mapping
        }
