"""What every task promises: splits, lag, trivial baseline, success criterion, and where its loss is.

Shapes: T timesteps, N sequences of a split, S lanes, B sequences of an update, I inputs, O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rnnlab.errors import SpecError
from rnnlab.spec import LossSpec, TaskSpec

Objective = Literal["mse", "cross_entropy", "binary"]
"""What is compared: numbers (mse), classes by logits (cross_entropy), one yes or no by a logit (binary)."""
Split = Literal["validation", "test"]


@dataclass(frozen=True)
class Batch:
    """Sequences and what they should give.

    Args:
        x_TNI: inputs, float32.
        y_TN: targets by timestep: class numbers (int64) for cross_entropy, 0.0 or 1.0 for binary; for mse
            (T, N, O) float32. A task with one target a sequence repeats it along T (a view, no copy).
    """

    x_TNI: Tensor
    y_TN: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(self.x_TNI.to(device), self.y_TN.to(device))

    def first(self, count: int) -> Batch:
        """The first sequences."""
        return Batch(self.x_TNI[:, :count], self.y_TN[:, :count])


@dataclass(frozen=True)
class Success:
    """When a replicate has solved a task: its test metric passes a threshold.

    `loss` and `relative_loss` (loss over the trivial baseline) must be at most, `accuracy` at least, it.
    """

    metric: Literal["loss", "relative_loss", "accuracy"]
    threshold: float
    source: str
    """Whose criterion it is; "project" where the literature has none."""

    def met(self, loss: float, baseline: float, accuracy: float | None) -> bool:
        """Whether these test values solve the task."""
        if self.metric == "accuracy":
            return accuracy is not None and accuracy >= self.threshold
        return (loss if self.metric == "loss" else loss / baseline) <= self.threshold


class Task(ABC):
    """A task of one length. Splits are fixed: the same for every trial, block and replicate.

    Training data comes from `draw`, with a generator of the replicate's own, so that a data stream depends
    on the seeds alone and not on what is trained with it.
    """

    length: int
    """T, timesteps of a sequence."""
    inputs: int
    """I, numbers read at each step."""
    outputs: int
    """O, numbers given at each step."""
    lag: int
    """K, how far back the needed information lies in the worst case; at most T - 1."""
    objective: Objective
    natural_loss: LossSpec
    """Where the loss sits by the task's definition."""
    success: Success
    tolerance: float | None = None
    """For mse: a step counts as right where every output is nearer to its target than this; None: nothing counts."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    @abstractmethod
    def draw(self, generator: torch.Generator, count: int) -> Batch:
        """`count` training sequences, drawn with `generator` alone."""

    @abstractmethod
    def make_split(self, split: Split) -> Batch:
        """The whole of a held-out split; called once each."""

    @abstractmethod
    def baseline_by_timestep(self, split: Split) -> Tensor:
        """Loss at each timestep (T,) of the best guess that does not look at the sequence; of a forecast also of
        repeating the value just read, where that is nearer."""

    @cached_property
    def validation(self) -> Batch:
        """Held-out sequences for early decisions: pruning, scores, probes."""
        return self.make_split("validation")

    @cached_property
    def test(self) -> Batch:
        """Held-out sequences that are looked at once, at the end."""
        return self.make_split("test")

    @property
    def loss(self) -> LossSpec:
        """Where the loss sits: as the spec says, else by definition."""
        return self.spec.loss or self.natural_loss

    @cached_property
    def positions(self) -> list[int]:
        """Timesteps that carry a loss, ascending, 0-based.

        Raises:
            SpecError: `loss.at` names a timestep outside the sequence.
        """
        at = self.loss.at
        if at == "every":
            return list(range(self.length))
        if at == "last":
            return [self.length - 1]
        for t in at:
            if not -self.length <= t < self.length:
                raise SpecError(
                    f"task.loss.at names timestep {t}, but task {self.spec.kind!r} has {self.length} "
                    f"timesteps; use 0 to {self.length - 1}, or -1 for the last"
                )
        if not at:
            raise SpecError("task.loss.at must name at least one timestep; use [-1] for the last")
        return sorted({t % self.length for t in at})

    @property
    def where(self) -> str:
        """Where the loss sits, in words: `every`, `last`, `40 to 99`, or `0, 5, 9`."""
        if isinstance(self.loss.at, str):
            return self.loss.at
        first, last = self.positions[0], self.positions[-1]
        if last - first + 1 == len(self.positions) > 2:
            return f"{first} to {last}"
        return ", ".join(map(str, self.positions))

    @property
    def accuracy_positions(self) -> list[int]:
        """Timesteps that accuracy is counted over; those with a loss unless a task says otherwise."""
        return self.positions

    def combine(self, loss_T: Tensor) -> Tensor:
        """L from L_1 ... L_T along the first axis, as `loss` says; shape (T, ...) -> (...)."""
        return self.combined(loss_T if len(self.positions) == self.length else loss_T[self.positions])

    def combined(self, chosen_P: Tensor) -> Tensor:
        """The same from the losses at `positions` alone."""
        return chosen_P.mean(0) if self.loss.combine == "mean" else chosen_P.sum(0)

    def baseline(self, split: Split) -> float:
        """The trivial loss that scores are relative to, combined as the loss is.

        Raises:
            SpecError: it is 0 where `loss.at` puts the loss, so that nothing can be relative to it.
        """
        trivial = float(self.combine(self.baseline_by_timestep(split).double()))
        if trivial <= 0:
            raise SpecError(
                f"task.loss.at must name a timestep with something to predict, but at {self.where} a "
                f"trivial guess is always right on the {split} split of task {self.spec.kind!r}; "
                f"name a later one, such as -1"
            )
        return trivial


def loss_by_timestep(objective: Objective, out_TNO: Tensor, y_TN: Tensor) -> Tensor:
    """Loss of every timestep and sequence, (T, ..., N), not yet averaged; any axes between T and N.

    Targets without those axes serve all of them.
    """
    y_TN = _beside(y_TN, out_TNO.ndim - (objective != "mse"))
    if objective == "mse":
        return (out_TNO - y_TN).square().mean(-1)
    if objective == "binary":
        return functional.binary_cross_entropy_with_logits(
            out_TNO.squeeze(-1), y_TN.to(out_TNO.dtype).expand(out_TNO.shape[:-1]), reduction="none"
        )
    shape = out_TNO.shape[:-1]
    logits = out_TNO.reshape(-1, out_TNO.shape[-1])
    return functional.cross_entropy(logits, y_TN.expand(shape).reshape(-1), reduction="none").view(shape)


def correct_by_timestep(
    objective: Objective, out_TNO: Tensor, y_TN: Tensor, tolerance: float | None = None
) -> Tensor | None:
    """Whether each timestep's class is right, (T, ..., N) of 0.0 and 1.0.

    For mse: whether every output is nearer to its target than `tolerance`; None without one.
    """
    if objective == "mse":
        if tolerance is None:
            return None
        return ((out_TNO - _beside(y_TN, out_TNO.ndim)).abs() < tolerance).all(-1).float()
    guess = (out_TNO.squeeze(-1) > 0).to(y_TN.dtype) if objective == "binary" else out_TNO.argmax(-1)
    return (guess == _beside(y_TN, guess.ndim)).float()


def _beside(y_TN: Tensor, axes: int) -> Tensor:
    """Targets with axes of size 1 after T, so that they broadcast over lanes and not over time."""
    return y_TN.reshape(y_TN.shape[0], *[1] * (axes - y_TN.ndim), *y_TN.shape[1:])


def one_hot(symbols_TN: Tensor, kinds: int) -> Tensor:
    """(T, N) symbols as (T, N, kinds) float32."""
    return functional.one_hot(symbols_TN, kinds).float()


def repeated(y_N: Tensor, length: int) -> Tensor:
    """One target a sequence as a view over T timesteps: (N, ...) -> (T, N, ...)."""
    return y_N.expand(length, *y_N.shape)
