"""Delayed XOR: whether two earlier bits differ, at every step."""

from __future__ import annotations

from torch import Tensor

from rnnlab.spec import TaskSpec
from rnnlab.tasks.base import Success
from rnnlab.tasks.delayed_copy import DelayedCopy


class DelayedXor(DelayedCopy):
    """At every step it is wanted whether the bits of d and of 2d steps ago differ: y_t = |s_(t-d) - s_(t-2d)|.

    Inputs, loss and trivial baseline as for delayed copy; either bit alone tells nothing, so a linear network stays at
    ln 2. Lag 2d. Source: Engelken 2023 (code); there the accuracy goes to 1, here 95% solves it as for the copy.
    """

    success = Success("accuracy", 0.95, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.lag = self.asked_from = 2 * self.delay

    def wanted(self, s_TN: Tensor) -> Tensor:
        return (s_TN[self.delay : -self.delay] - s_TN[: -2 * self.delay]).abs()
