"""A trial in the middle of its training, as a file: from it training goes on with the very numbers it would have had.

Parameters, optimiser, clip, data streams, what was counted and what has been found so far are in it; on the CPU the
numbers agree bit for bit with a training that was never interrupted (a test holds that).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

from rnnlab.errors import DataError
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import Outcome, ReplicateResult

FORMAT = 1
"""Of the file; another one is refused."""
COUNTED = ("_probes_S", "_healthy_S", "_clipped_S", "_kept_S")
"""The trainer's own running sums, (S,)."""


def save(trainer: Trainer, path: Path, before: Callable[[], None] = lambda: None) -> None:
    """Write a trainer's state; a reader sees the old file or the whole new one, also after a power cut.

    Replicates that were interrupted are written as running: whoever takes the file up goes on with them.

    Args:
        before: called once the new file is written and before it takes the old one's place; where it fails that stays.

    Raises:
        OSError: the disk is full or cannot be written; the old file stays.
    """
    replicates = [replicate.as_dict() for replicate in trainer.result.replicates]
    for fields in replicates:
        if fields["outcome"] == Outcome.INTERRUPTED:
            fields["outcome"] = Outcome.RUNNING.value
    state = {
        "format": FORMAT,
        "spec": trainer.spec.model_dump_json(),
        "done": trainer.done,
        "theta": trainer.network.theta.data,
        "alive": trainer.alive_S,
        "streams": [stream.get_state() for stream in trainer.streams],
        "optimiser": _numbers(trainer.optimiser),
        "clip": _numbers(trainer.clip),
        "regulariser": _numbers(trainer.regulariser),
        "watch": _numbers(trainer.watch),
        "losses": _numbers(trainer.losses),
        "counted": {name: torch.as_tensor(getattr(trainer, name)) for name in COUNTED},
        "replicates": replicates,
        "finished": all(fields["outcome"] != Outcome.RUNNING for fields in replicates),
        "seconds": trainer.result.seconds,
        "cpu_seconds": trainer.result.cpu_seconds,
    }
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        before()
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def restore(trainer: Trainer, path: Path) -> None:
    """Put a trainer of the same spec, just made, where the file's was.

    Raises:
        DataError: the file is not whole, of another format, or of another spec.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        found = state["format"]
    except Exception as error:
        raise DataError(
            f"{path} is not a whole checkpoint ({type(error).__name__}); remove it to start again"
        ) from None
    if found != FORMAT:
        raise DataError(f"{path} has the checkpoint format {found}, but this rnnlab reads {FORMAT}; remove it")
    if state["spec"] != trainer.spec.model_dump_json():
        raise DataError(f"{path} is a checkpoint of another trial; remove it to start this one from its beginning")
    trainer.done = state["done"]
    trainer.network.theta.data.copy_(state["theta"])
    trainer.alive_S = state["alive"]
    for stream, at in zip(trainer.streams, state["streams"], strict=True):
        stream.set_state(at)
    for name in ("optimiser", "clip", "regulariser", "watch", "losses"):
        _put(getattr(trainer, name), state.get(name, {}))  # files from before regularisers have none
    for name, value in state["counted"].items():
        setattr(trainer, name, value.numpy() if name in ("_probes_S", "_healthy_S") else value)
    trainer.result.replicates = [
        ReplicateResult(**{**fields, "outcome": Outcome(fields["outcome"])}) for fields in state["replicates"]
    ]
    trainer.result.updates, trainer.result.done = state["done"], state["finished"]
    trainer.already(state["seconds"], state["cpu_seconds"])


def _numbers(part: object) -> dict[str, Any]:
    """Attributes of an object that training changes: tensors, numbers and queues of them."""
    found: dict[str, Any] = {}
    for name, value in vars(part).items():
        if isinstance(value, Tensor | int | float):
            found[name] = value
        elif isinstance(value, deque):
            found[name] = [torch.as_tensor(one) for one in value]
    return found


def _put(part: object, numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        there = getattr(part, name)
        if isinstance(there, Tensor) and there.shape == value.shape:
            there.copy_(value)  # in place: the optimiser's parameters are the network's own
        elif isinstance(there, deque):
            there.clear()
            there.extend(value)
        else:
            setattr(part, name, value)
