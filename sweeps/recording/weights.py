"""The weights of a sweep's best trial: a file in each trial's folder when it ends, of which only the best stays.

The files themselves say which is best, so that a recorder that was started again needs no memory.
Shapes: P parameters of a lane, B sequences, T timesteps, I inputs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome
from sweeps.home import trial_folder
from sweeps.recording.names import WEIGHTS_FILE

if TYPE_CHECKING:
    from torch import nn

    from rnnlab.training.stack import Stack

EXAMPLES = 2
"""Validation sequences kept beside the weights: the model's input example."""


@dataclass(frozen=True)
class Weights:
    """One replicate's trained weights, and what it takes to use them.

    Args:
        trial: number. score: the trial's, on validation; lower is better.
        replicate: whose weights. replicate_score: its own score.
        inputs, outputs, objective, at: of the task: I, O, what is compared, and where the loss sits.
        spec: the trial's. theta_P: float32. example_BTI: sequences of the validation split.
    """

    trial: int
    score: float
    replicate: int
    replicate_score: float
    inputs: int
    outputs: int
    objective: str
    at: str
    spec: TrialSpec
    theta_P: NDArray[np.float32]
    example_BTI: NDArray[np.float32]

    def module(self) -> nn.Module:
        """The network as a module of its own."""
        import torch

        from rnnlab.architecture import load_architecture
        from rnnlab.exported import exported
        from rnnlab.model import Network, load_cell

        model = self.spec.model
        cell = load_cell(model.cell, model.activation)
        theta_1P = torch.from_numpy(self.theta_P)[None]
        architecture = load_architecture(model)
        network = Network(cell, self.inputs, model.hidden, model.depth, self.outputs, theta_1P, architecture)
        return exported(network, 0)


def keep(trainer: Stack, trial: int, sweep_folder: Path, place: int = 0) -> Path | None:
    """Keep the weights of a trial that used its budget, of its best replicate by validation score; the file.

    None where no replicate finished. Float32: 4 P bytes and two sequences.

    Args:
        trial: its number. place: which of several trials side by side it is.

    Raises:
        OSError: the file cannot be written.
    """
    result = trainer.results[place]
    finished = [r for r in result.replicates if r.outcome is Outcome.FINISHED]
    if not finished:
        return None
    best = min(finished, key=lambda r: (r.score, r.number))
    task = trainer.task
    said = {
        "trial": trial,
        "score": result.score,
        "replicate": best.number,
        "replicate_score": best.score,
        "inputs": task.inputs,
        "outputs": task.outputs,
        "objective": task.objective,
        "at": task.where,
        "spec": trainer.specs[place].model_dump_json(),
    }
    path = trial_folder(sweep_folder, trial) / WEIGHTS_FILE
    half_written = path.with_suffix(".part")
    try:
        with half_written.open("wb") as file:
            np.savez(
                file,
                said=np.array(json.dumps(said)),
                theta_P=trainer.network.theta.detach()[trainer.rows(place)][best.number].float().cpu().numpy(),
                example_BTI=task.validation.x_TNI[:, :EXAMPLES].transpose(0, 1).float().numpy(),
            )
        os.replace(half_written, path)
    except OSError:
        half_written.unlink(missing_ok=True)
        raise
    return path


def load_weights(path: Path) -> Weights:
    """What `keep` wrote."""
    said = _said(path)
    said["spec"] = TrialSpec.model_validate_json(said["spec"])
    with np.load(path) as stored:
        return Weights(**said, theta_P=stored["theta_P"], example_BTI=stored["example_BTI"])


def best_of(sweep_folder: Path) -> Path | None:
    """The weights of the best trial that has any: the lowest validation score, ties to the lower number."""
    return min(files_in(sweep_folder), key=_rank, default=None)


def forget_all_but_best(sweep_folder: Path, kept: Iterable[Path], trial: int, complete: bool) -> list[Path]:
    """A trial has ended: of its weights and those `kept` so far all but the best's are deleted; what stays.

    Those of an incomplete trial are deleted whatever they are. No folder is listed: that would take longer the more
    trials there are.
    """
    mine = trial_folder(sweep_folder, trial) / WEIGHTS_FILE
    if not complete:
        mine.unlink(missing_ok=True)
    there = [path for path in {*kept, mine} if path.is_file()]
    best = min(there, key=_rank, default=None)
    for path in there:
        if path != best:
            path.unlink(missing_ok=True)
    return [] if best is None else [best]


def files_in(sweep_folder: Path) -> list[Path]:
    """All weights that are there."""
    return sorted((sweep_folder / "trials").glob(f"*/{WEIGHTS_FILE}"))


def _rank(path: Path) -> tuple[float, int]:
    said = _said(path)
    return said["score"], said["trial"]


def _said(path: Path) -> dict[str, Any]:
    with np.load(path) as stored:
        said: dict[str, Any] = json.loads(str(stored["said"]))
    return said
