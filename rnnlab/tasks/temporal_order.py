"""The temporal order problem with two symbols."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, one_hot, repeated
from rnnlab.tasks.generated import GeneratedTask

DISTRACTORS = 4


class TemporalOrder(GeneratedTask):
    """Among distractors, A or B comes at two places; which came in which order is wanted at the end.

    Inputs, one-hot of 6: A, B, and four distractors. Places p0 in [.1L, .2L) and p1 in [.5L, .6L); four
    classes 2 s0 + s1. Trivial baseline ln 4. Lag: L - 1 - floor(.1 L), about .9 L. Source: Pascanu 2013, as
    its code has it (the docstring there differs); solved with under 1% errors.
    """

    inputs = 2 + DISTRACTORS
    outputs = 4
    tenths: ClassVar[tuple[int, ...]] = (1, 5)
    """Tenths of L in which the places lie."""
    objective = "cross_entropy"
    natural_loss = LossSpec(at="last")
    success = Success("accuracy", 0.99, "Pascanu 2013")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length = spec.options["length"]
        self.lag = self.length - 1 - self.length // 10

    def generate(self, generator: torch.Generator, count: int) -> Batch:
        tenth = self.length / 10
        x_TN = 2 + torch.randint(0, DISTRACTORS, (self.length, count), generator=generator)
        symbols = torch.randint(0, 2, (len(self.tenths), count), generator=generator)
        each = torch.arange(count)
        for symbol_N, start in zip(symbols, self.tenths, strict=True):
            place = torch.randint(int(start * tenth), int((start + 1) * tenth), (count,), generator=generator)
            x_TN[place, each] = symbol_N
        weights = 2 ** torch.arange(len(self.tenths)).flip(0)
        return Batch(one_hot(x_TN, self.inputs), repeated((weights[:, None] * symbols).sum(0), self.length))

    def baseline_by_timestep(self, split: Split) -> Tensor:
        return torch.full((self.length,), math.log(self.outputs), dtype=torch.float64)
