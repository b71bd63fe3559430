"""The adding problem."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, repeated
from rnnlab.tasks.generated import GeneratedTask


class Adding(GeneratedTask):
    """Two numbers of T are marked, one in each half; their sum is wanted at the end.

    Inputs: u_t ~ U(0, 1), and a marker that is 1 at one place in [0, T//2) and one in [T//2, T).
    Trivial baseline: predict 1, MSE 1/6, the variance of a sum of two U(0, 1) (Le 2015 prints 0.1767).
    Lag T - 1. Source: Arjovsky 2016 and Le 2015; solved below MSE 0.01.
    """

    inputs = 2
    outputs = 1
    objective = "mse"
    natural_loss = LossSpec(at="last")
    success = Success("loss", 0.01, "Arjovsky 2016")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length = spec.options["length"]
        self.lag = self.length - 1

    def generate(self, generator: torch.Generator, count: int) -> Batch:
        half = self.length // 2
        u_TN = torch.rand(count, self.length, generator=generator).T
        first = torch.randint(0, half, (count,), generator=generator)
        second = torch.randint(half, self.length, (count,), generator=generator)
        each = torch.arange(count)
        marker_TN = torch.zeros(self.length, count)
        marker_TN[first, each] = 1.0
        marker_TN[second, each] = 1.0
        total_N = u_TN[first, each] + u_TN[second, each]
        return Batch(torch.stack([u_TN, marker_TN], -1), repeated(total_N[:, None], self.length))

    def baseline_by_timestep(self, split: Split) -> Tensor:
        return torch.full((self.length,), 1 / 6, dtype=torch.float64)
