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

from rnnlab.errors import DataError, PlaceError
from rnnlab.spec import TrialSpec
from rnnlab.training.checkpoint import restore, save, update_of
from rnnlab.training.outcome import Outcome
from rnnlab.training.scale import HIGHEST
from rnnlab.training.stack import Stack
from sweeps.home import CHECKPOINT_FILE, ENDED_FILE, ERROR_FILE, STOP_FILE, place_behind, trial_folder
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
    """A trial, or several of one shape side by side. `config` holds `number`, `spec` (JSON) and `told` of the first,
    `beside`: the same of the others, and `sweep_id` and `folder`, the sweep's own.

    Trials side by side share a network and nothing else: each has its checkpoint and its recorder. Those that are not
    at the same update, where an earlier worker died between two checkpoints, are trained one group after another; and
    where something goes wrong in a group, its halves are trained one after the other, and theirs, so that an error is
    told of the one it belongs to, and what does not fit into memory together is trained apart.
    """

    def setup(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(config["cpus"])
        self._name = worker_name()
        # a GPU's driver maps more memory than a limit of this process would leave it
        self._memory = HeldMemory(None if config["gpus"] else config["memory"])
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in this process: starting one and importing torch costs seconds."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        check_place(Path(config["folder"]), config["place"])
        self.take(config, ray.get_actor(actor_name(config["sweep_id"])))

    def take(self, config: dict[str, Any], actor: Any) -> None:
        """Get ready for other trials, told to a recorder's handle."""
        self._config, self._folder = config, Path(config["folder"])
        members = (config, *config.get("beside", ()))
        ended = _ended(self._folder) if members[1:] else set()
        self.members = {member["number"]: member for member in members if member["number"] not in ended}
        self.recorders = {number: ActorRecorder(actor, number) for number in self.members}
        self._split = ""
        """Why a group was taken apart, until the driver has been told."""
        self._open = set(self.members)
        """Trials of which it has not been told that they are over."""
        self._groups: list[list[int]] | None = None
        self.trainer: Stack | None = None
        """Of the first group, once it trains."""

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation; finite numbers only.

        An error is a result too: the trial ends as failed with its cause, and this process takes the next one. A disk
        that is full, or a recorder that cannot record, says nothing of the trial: `place` stops the sweep.
        """
        try:
            return self._told(self._advance())
        except Exception as error:
            place = place_behind(error)
            if place is None and not isinstance(error, RayActorError):
                raise
            cause = str(place or f"the recorder died: {str(error).splitlines()[0]}")
            return {"score": HIGHEST, "updates": 0, "done": True, "interrupted": True, "place": cause}

    def _advance(self) -> list[dict[str, Any]]:
        """What the trials of the first group came to at their next evaluation; of one that fails: that."""
        if self._groups is None:
            self._groups = self._grouped()
        while self._groups:
            group = self._groups[0]
            try:
                with self._memory.held():
                    found = self._trained(group)
            except Exception as error:
                self.trainer = None  # what it holds is the next trial's
                if place_behind(error) or isinstance(error, RayActorError):
                    raise
                self._groups.pop(0)
                if len(group) == 1:
                    return [self._failed(group[0], error)]
                left = [number for number in group if number in self._open]
                middle = (len(left) + 1) // 2
                self._groups[:0] = [half for half in (left[:middle], left[middle:]) if half]
                self._split = f"{len(group)} trials side by side, now in halves: {type(error).__name__}: {error}"
            else:
                self._open -= {result["number"] for result in found if result["over"]}
                if not self._open & set(group):
                    self.trainer = None
                    self._groups.pop(0)
                return found
        return []

    def _told(self, found: list[dict[str, Any]]) -> dict[str, Any]:
        """The first as Tune is told of it, the others as JSON: Tune would flatten a mapping."""
        if not found:  # the driver knows how each of them ended
            return {"score": HIGHEST, "updates": 0, "done": True, "interrupted": True}
        first, *others = found
        if self._split:
            first, self._split = {**first, "split": self._split.splitlines()[0]}, ""
        beside = {"beside": json.dumps(others)} if others else {}
        return {**first, **beside, "done": not self._groups}

    def _failed(self, number: int, error: Exception) -> dict[str, Any]:
        (trial_folder(self._folder, number) / ERROR_FILE).write_text(traceback.format_exc())
        self.recorders[number].flush()  # what comes after the end is not recorded
        return {
            "number": number,
            "score": HIGHEST,
            "updates": 0,
            "over": True,
            "failed": self._memory.cause(error) or f"{type(error).__name__}: {error}",
            "worker": self._name,
        }

    def _trained(self, group: list[int]) -> list[dict[str, Any]]:
        if self.trainer is None:
            self.trainer = self._started(group)
            told = min(self.members[number]["told"] for number in group)
            if self.trainer.done > told and self.trainer.done in self.trainer.evaluate_at:
                # the driver may have died before it heard of this
                return [self._result(trial, number) for trial, number in enumerate(group)]
        self.trainer.train_on()
        # before the result: a pruner may end the trial on it, and what comes after the end is not recorded. A
        # checkpoint counts only where what was recorded before it cannot be lost: both are written at the same time
        moved = [(trial, number) for trial, number in enumerate(group) if number in self._open]
        for _, number in moved:
            self.recorders[number].send()
        for trial, number in moved:
            save(self.trainer, self._checkpoint(number), before=self.recorders[number].flush, trial=trial)
        return [self._result(trial, number) for trial, number in moved]

    def _result(self, trial: int, number: int) -> dict[str, Any]:
        """What Tune is told of a trial at an evaluation, or at its end."""
        assert self.trainer is not None
        result = self.trainer.results[trial]
        return {
            **(self._keep_weights(trial, number) if result.done else {}),
            "number": number,
            "score": result.score,
            "updates": result.updates,
            "verdict": result.verdict,
            "decades": result.decades,
            "probed": result.probed,
            "in_a_row": result.in_a_row,
            "over": result.done,
            "interrupted": result.outcome is Outcome.INTERRUPTED,
            "worker": self._name,
            "trial_result": json.dumps(result.as_dict()),  # Tune would flatten a mapping
        }

    def _started(self, group: list[int]) -> Stack:
        """The trials of a group where their checkpoints left them."""
        specs = [TrialSpec.model_validate_json(self.members[number]["spec"]) for number in group]
        recorders = [self.recorders[number] for number in group]
        trainer = Stack(specs, recorders, StopFile(self._folder), device_of(self._config["gpus"], self._name))
        files = [self._checkpoint(number) for number in group]
        if files[0].exists():
            restore(trainer, *files)
        return trainer

    def _grouped(self) -> list[list[int]]:
        """Trials that can be trained side by side: those that are at the same update, furthest behind first.

        One whose checkpoint is spoilt begins again, which costs time alone.
        """
        groups: dict[int, list[int]] = {}
        for number, member in self.members.items():
            path, at = self._checkpoint(number), -1
            if path.exists():
                try:
                    at = update_of(path, TrialSpec.model_validate_json(member["spec"]))
                except DataError:
                    path.unlink()
            groups.setdefault(at, []).append(number)
        return [groups[at] for at in sorted(groups)]

    def _checkpoint(self, number: int) -> Path:
        return trial_folder(self._folder, number) / CHECKPOINT_FILE

    def _keep_weights(self, trial: int, number: int) -> dict[str, str]:
        """Keep the trained weights, from which the sweep's best model is made; what hindered it, if anything."""
        assert self.trainer is not None
        try:
            keep(self.trainer, number, self._folder, trial)
        except Exception as error:  # weights are an extra: a full disk must not cost the result
            return {"weights_lost": f"{type(error).__name__}: {error}"}
        return {}


def _ended(folder: Path) -> set[int]:
    """Trials that the driver knows to be over: an earlier worker of this stack told it so, and died."""
    path = folder / ENDED_FILE
    return {int(line) for line in path.read_text().split()} if path.exists() else set()


def device_of(gpus: float, worker: str) -> str:
    """Where a trial trains that has this much of a GPU: on it, and without one on the CPU.

    Args:
        worker: its name, for a person.

    Raises:
        PlaceError: there is a GPU for it, and torch cannot use it.
    """
    if not gpus:
        return "cpu"
    if not torch.cuda.is_available():
        raise PlaceError(
            f"a trial is to train on a GPU (resources.gpus is {gpus:g}), but torch {torch.__version__} on "
            f"{worker} finds none: install a torch that has CUDA there, or set gpus to 0"
        )
    return "cuda"
