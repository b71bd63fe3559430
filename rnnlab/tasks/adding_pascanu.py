"""The adding problem of Pascanu 2013."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, repeated
from rnnlab.tasks.generated import GeneratedTask


class AddingPascanu(GeneratedTask):
    """Two numbers of L to 1.1 L are marked; their mean is wanted at the end.

    Inputs: u_t ~ U(0, 1), and a marker that is 1 at one place in [0, .1 l) and one in [.1 l, .5 l), of a sequence of
    l ~ U{L, ..., L + floor(.1 L) - 1} steps. It ends at the last of T = L + floor(.1 L) - 1; before it begins both
    inputs are 0, so that every sequence's own last step is the last (the code there draws one l for a whole batch).
    Trivial baseline: predict 1/2, MSE 1/24. Lag T - 1. Source: Pascanu 2013 (code); solved when under 1% of the test
    sequences have a squared error above .04.
    """

    inputs = 2
    outputs = 1
    objective = "mse"
    natural_loss = LossSpec(at="last")
    success = Success("accuracy", 0.99, "Pascanu 2013")
    tolerance = 0.2

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.least = spec.options["length"]
        self.length = self.least + self.least // 10 - 1
        self.lag = self.length - 1

    def generate(self, generator: torch.Generator, count: int) -> Batch:
        each = torch.arange(count)
        own_N = torch.randint(self.least, self.length + 1, (count,), generator=generator)
        u_TN = torch.rand(count, self.length, generator=generator).T
        tenth_N = own_N // 10
        first = _below(tenth_N, generator)
        second = tenth_N + _below(4 * own_N // 10, generator)
        begin = self.length - own_N
        u_TN = u_TN * (torch.arange(self.length)[:, None] >= begin)
        marker_TN = torch.zeros(self.length, count)
        marker_TN[begin + first, each] = 1
        marker_TN[begin + second, each] = 1
        mean_N = (u_TN * marker_TN).sum(0) / 2
        return Batch(torch.stack([u_TN, marker_TN], -1), repeated(mean_N[:, None], self.length))

    def baseline_by_timestep(self, split: Split) -> Tensor:
        return torch.full((self.length,), 1 / 24, dtype=torch.float64)


def _below(ends_N: Tensor, generator: torch.Generator) -> Tensor:
    """One whole number in [0, end) for each end."""
    drawn = torch.rand(len(ends_N), generator=generator, dtype=torch.float64)
    return (drawn * ends_N).long()
