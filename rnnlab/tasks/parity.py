"""Parity of bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, repeated
from rnnlab.tasks.words import Words, WordTask


class Parity(WordTask):
    """Whether the number of ones among T random bits is odd is wanted at the end.

    Inputs: one bit a step, 0 or 1. Trivial baseline ln 2: without any one bit the others tell nothing. Lag T - 1. Of
    up to 40 bits the parts share no word; of 12 bits or fewer a split has every eighth. Source: folklore; Bengio 1994
    has it. Success, project-defined: 99% right (Hochreiter & Schmidhuber 1996 show that guessing weights solves it).
    """

    inputs = 1
    outputs = 1
    objective = "binary"
    natural_loss = LossSpec(at="last")
    success = Success("accuracy", 0.99, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length = spec.options["length"]
        self.lag = self.length - 1
        self.words = Words(2, self.length, spec.kind)

    def asked(self, symbols_PN: Tensor) -> Batch:
        return Batch(symbols_PN.float()[..., None], repeated((symbols_PN.sum(0) % 2).float(), self.length))

    def baseline_by_timestep(self, split: Split) -> Tensor:
        return torch.full((self.length,), math.log(2), dtype=torch.float64)
