"""Delayed copy: the bit of some steps ago, at every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnlab.errors import SpecError
from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success
from rnnlab.tasks.words import Words, WordTask


class DelayedCopy(WordTask):
    """At every step the bit of d steps ago is wanted: y_t = s_(t-d).

    Inputs: one bit a step, 0 or 1, each as likely. Binary loss at every t >= 2d (0-based), as Engelken's code has it
    for copy and XOR alike; before t = d nothing is asked and the target is 0. Trivial baseline ln 2. Lag d. Source:
    Engelken 2023 (T = 300, B = 16, H = 80 there); solved at an accuracy of 95%.

    Raises:
        SpecError: no step has a loss: T <= 2d.
    """

    inputs = 1
    outputs = 1
    objective = "binary"
    success = Success("accuracy", 0.95, "Engelken 2023")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length, self.delay = spec.options["length"], spec.options["delay"]
        if self.length <= 2 * self.delay:
            raise SpecError(
                f"task {spec.kind!r} requires length > 2 delay, but got length {self.length} and delay {self.delay}; "
                f"use a length of {2 * self.delay + 1} or more, or a shorter delay"
            )
        self.lag = self.delay
        self.asked_from = self.delay
        """The first step with something to predict."""
        self.natural_loss = LossSpec(at=list(range(2 * self.delay, self.length)), combine="mean")
        self.words = Words(2, self.length, spec.kind)

    def asked(self, symbols_PN: Tensor) -> Batch:
        s_TN = symbols_PN.float()
        y_TN = torch.zeros_like(s_TN)
        y_TN[self.asked_from :] = self.wanted(s_TN)
        return Batch(s_TN[..., None], y_TN)

    def wanted(self, s_TN: Tensor) -> Tensor:
        """Targets of the steps from `asked_from` on."""
        return s_TN[: -self.delay]

    def baseline_by_timestep(self, split: Split) -> Tensor:
        loss_T = torch.full((self.length,), math.log(2), dtype=torch.float64)
        loss_T[: self.asked_from] = 0
        return loss_T
