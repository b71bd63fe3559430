"""The adding problem of Hochreiter & Schmidhuber 1997."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, repeated
from rnnlab.tasks.generated import GeneratedTask

FIRST = 10
"""Pairs among which the first mark lies."""


class AddingHS97(GeneratedTask):
    """Two numbers of L to 1.1 L are marked; 0.5 + (X1 + X2) / 4 is wanted at the end.

    Inputs: u_t ~ U(-1, 1), and a marker: 1 at one of the first ten pairs and at one of the first L//2 - 1 pairs still
    unmarked, -1 at the first and the last pair unless marked, 0 elsewhere. A marked first pair has the number 0. A
    sequence has l ~ U{L, ..., L + L//10} steps and ends at the last of T = L + L//10; before it begins both inputs
    are 0, so that every sequence's own last step is the last.

    Trivial baseline: predict 1/2; its MSE is (2 - p) / 48, where p = .1 + .9 / (L//2 - 1) is how often the first pair
    is marked (without that case 1/24). Lag T - 1. Source: Hochreiter & Schmidhuber 1997, experiment 4; there solved
    when 2,000 sequences in a row are right (absolute error below 0.04), and then 1 of 2,560 others is wrong; here when
    at most 1 of 1,000 test sequences is.
    """

    inputs = 2
    outputs = 1
    objective = "mse"
    natural_loss = LossSpec(at="last")
    success = Success("accuracy", 0.999, "Hochreiter & Schmidhuber 1997")
    tolerance = 0.04

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.least = spec.options["length"]
        self.length = self.least + self.least // 10
        self.lag = self.length - 1
        self.candidates = self.least // 2 - 1

    def generate(self, generator: torch.Generator, count: int) -> Batch:
        each = torch.arange(count)
        own_N = torch.randint(self.least, self.length + 1, (count,), generator=generator)
        u_TN = 2 * torch.rand(count, self.length, generator=generator).T - 1
        first = torch.randint(0, FIRST, (count,), generator=generator)
        second = torch.randint(0, self.candidates, (count,), generator=generator)
        second = second + (second >= first)
        begin = self.length - own_N
        marker_TN = torch.zeros(self.length, count)
        marker_TN[begin, each] = -1
        marker_TN[-1] = -1
        marker_TN[begin + first, each] = 1
        marker_TN[begin + second, each] = 1
        u_TN[begin, each] *= marker_TN[begin, each] < 0  # a marked first pair has the number 0
        u_TN = u_TN * (torch.arange(self.length)[:, None] >= begin)
        total_N = u_TN[begin + first, each] + u_TN[begin + second, each]
        return Batch(torch.stack([u_TN, marker_TN], -1), repeated((0.5 + total_N / 4)[:, None], self.length))

    def baseline_by_timestep(self, split: Split) -> Tensor:
        marked = 1 / FIRST + (1 - 1 / FIRST) / self.candidates
        return torch.full((self.length,), (2 - marked) / 48, dtype=torch.float64)
