"""A trial in the middle of its training, as a file: from it training goes on with the very numbers it would have had.

Parameters, optimiser, clip, data streams, what was counted and what has been found so far are in it; on the CPU the
numbers agree bit for bit with a training that was never interrupted (a test holds that). Trials that are trained side
by side have a file each, and may be taken up in other company.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

from rnnlab.errors import DataError
from rnnlab.spec import TrialSpec
from rnnlab.training.outcome import Outcome, ReplicateResult
from rnnlab.training.stack import Stack

FORMAT = 1
"""Of the file; another one is refused."""
PARTS = ("optimiser", "clip", "regulariser", "watch", "losses")
"""The trainer's parts that remember something."""
COUNTED = ("_probes_S", "_healthy_S", "_clipped_S", "_kept_S")
"""The trainer's own running sums, (S,)."""


def save(trainer: Stack, path: Path, before: Callable[[], None] = lambda: None, trial: int = 0) -> None:
    """Write the state of a trial; a reader sees the old file or the whole new one, also after a power cut.

    Replicates that were interrupted are written as running: whoever takes the file up goes on with them. The file is
    the same whether trials were trained beside it, and on which device.

    Args:
        before: called once the new file is written and before it takes the old one's place; where it fails that stays.
        trial: which one of several side by side.

    Raises:
        OSError: the disk is full or cannot be written; the old file stays.
    """
    rows, result = trainer.rows(trial), trainer.results[trial]
    replicates = [replicate.as_dict() for replicate in result.replicates]
    for fields in replicates:
        if fields["outcome"] == Outcome.INTERRUPTED:
            fields["outcome"] = Outcome.RUNNING.value
    state: dict[str, Any] = {
        "format": FORMAT,
        "spec": trainer.specs[trial].model_dump_json(),
        "done": trainer.done,
        "updates": result.updates,
        "theta": _own(trainer.network.theta.data, rows, trainer),
        "alive": _own(trainer.alive_S, rows, trainer),
        "streams": [stream.get_state() for stream in trainer.streams[rows]],
        **{name: _numbers(getattr(trainer, name), rows, trainer) for name in PARTS},
        "counted": {name: _own(torch.as_tensor(getattr(trainer, name)), rows, trainer) for name in COUNTED},
        "replicates": replicates,
        "finished": all(fields["outcome"] != Outcome.RUNNING for fields in replicates),
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
    }
    state["optimiser"]["theta_SP"] = state["theta"]  # once in the file: they are the same numbers
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


def restore(trainer: Stack, *paths: Path) -> None:
    """Put a trainer of the same trials, just made, where theirs was.

    Args:
        paths: a file a trial; all of the same update.

    Raises:
        DataError: a file is not whole, of another format, or of another spec.
    """
    states = [_read(path, spec) for path, spec in zip(paths, trainer.specs, strict=True)]
    (trainer.done,) = {state["done"] for state in states}
    each = trainer.shared.replicates
    trainer.network.theta.data.copy_(torch.cat([state["theta"] for state in states]))
    trainer.alive_S = torch.cat([state["alive"] for state in states])
    for stream, at in zip(trainer.streams, [at for state in states for at in state["streams"]], strict=True):
        stream.set_state(at)
    for name in PARTS:
        # files from before regularisers have none
        part = getattr(trainer, name)
        _put(part, _beside([state.get(name, {}) for state in states], each, vars(part)))
    for name, value in _beside([state["counted"] for state in states], each, vars(trainer)).items():
        setattr(trainer, name, value.numpy() if name in ("_probes_S", "_healthy_S") else value)
    for result, state in zip(trainer.results, states, strict=True):
        result.replicates = [
            ReplicateResult(**{**fields, "outcome": Outcome(fields["outcome"])}) for fields in state["replicates"]
        ]
        result.done = state["finished"]
        result.updates = state.get("updates", state["done"])  # one that ended beside others may have done fewer
        result.seconds, result.cpu_seconds = state["seconds"], state["cpu_seconds"]


def update_of(path: Path, spec: TrialSpec) -> int:
    """The update that a trial's file was written after.

    Raises:
        DataError: the file is not whole, of another format, or of another spec.
    """
    return int(_read(path, spec)["done"])


def _read(path: Path, spec: TrialSpec) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        found = state["format"]
    except Exception as error:
        raise DataError(
            f"{path} is not a whole checkpoint ({type(error).__name__}); remove it to start again"
        ) from None
    if found != FORMAT:
        raise DataError(f"{path} has the checkpoint format {found}, but this rnnlab reads {FORMAT}; remove it")
    if state["spec"] != spec.model_dump_json():
        raise DataError(f"{path} is a checkpoint of another trial; remove it to start this one from its beginning")
    return state


def _own(value: Tensor, rows: slice, trainer: Stack) -> Tensor:
    """A trial's rows of a tensor that has lanes first, else all of it; on the CPU."""
    if len(trainer.specs) == 1 or not value.ndim or len(value) != len(trainer.streams):
        return value.cpu()
    return value[rows].cpu().clone()  # a file of a view would hold all rows


def _numbers(part: object, rows: slice, trainer: Stack) -> dict[str, Any]:
    """A trial's share of the attributes of an object that training changes: tensors, numbers and queues of them."""
    found: dict[str, Any] = {}
    for name, value in vars(part).items():
        if isinstance(value, int | float):
            found[name] = value
        elif isinstance(value, Tensor):
            found[name] = _own(value, rows, trainer)
        elif isinstance(value, deque):
            found[name] = [_own(torch.as_tensor(one), rows, trainer) for one in value]
    return found


def _beside(parts: list[dict[str, Any]], each: int, there: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of several trials as those of one stack: rows one after another.

    Args:
        each: lanes of a trial. there: what the stack has by these names; a number without an axis stays one.
    """
    first, *others = parts
    if not others:
        return first
    found = dict(first)
    for name, value in first.items():
        if isinstance(value, Tensor) and getattr(there.get(name), "ndim", None) != 0:
            found[name] = _joined([part[name] for part in parts], each)
        elif isinstance(value, list):
            found[name] = [_joined(list(ones), each) for ones in zip(*(part[name] for part in parts), strict=True)]
    return found


def _joined(values: list[Tensor], each: int) -> Tensor:
    """Rows one after another; what a trial has for all its lanes together stands there for each of them."""
    several = [value if value.ndim else value.reshape(1) for value in values]
    rows = [value.expand(each, *value.shape[1:]) if len(value) == 1 else value for value in several]
    return torch.cat(rows) if all(len(value) == each for value in rows) else values[0]


def _put(part: object, numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        there = getattr(part, name)
        if isinstance(there, Tensor) and there.shape == value.shape:
            there.copy_(value)  # in place: the optimiser's parameters are the network's own
        elif isinstance(there, deque):
            there.clear()
            there.extend(value)
        else:
            setattr(part, name, value.to(there.device) if isinstance(there, Tensor) else value)
