"""The latching problem."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnlab.errors import SpecError
from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, repeated
from rnnlab.tasks.generated import GeneratedTask


class Latch(GeneratedTask):
    """The first L steps carry the sign of one of two classes, all others noise; the class is wanted at the end.

    Inputs: +1 (class 1) or -1 (class 0) for t < L, then N(0, noise²). Trivial baseline ln 2. Lag T - L: the last step
    that tells is L - 1. Source: Bengio 1994, where the inputs of the first L steps are learned too; here they are
    fixed. Success, project-defined: 99% right (there: the share of runs that converge falls sharply with T).

    Raises:
        SpecError: no noise is left: L >= T.
    """

    inputs = 1
    outputs = 1
    objective = "binary"
    natural_loss = LossSpec(at="last")
    success = Success("accuracy", 0.99, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length, self.signal = spec.options["length"], spec.options["signal"]
        self.noise = spec.options["noise"]
        if self.signal >= self.length:
            raise SpecError(
                f"task 'latch' requires signal < length, but got signal {self.signal} and length {self.length}; "
                f"use a longer length or fewer steps of signal"
            )
        self.lag = self.length - self.signal

    def generate(self, generator: torch.Generator, count: int) -> Batch:
        class_N = torch.randint(0, 2, (count,), generator=generator).float()
        x_TN = self.noise * torch.randn(count, self.length, generator=generator).T
        x_TN[: self.signal] = 2 * class_N - 1
        return Batch(x_TN[..., None], repeated(class_N, self.length))

    def baseline_by_timestep(self, split: Split) -> Tensor:
        return torch.full((self.length,), math.log(2), dtype=torch.float64)
