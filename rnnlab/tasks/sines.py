"""Forecasting a mixture of sines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success
from rnnlab.tasks.generated import GeneratedTask

SHORTEST, LONGEST = 5, 50
"""Periods, in steps."""


class Sines(GeneratedTask):
    """A sum of k sines of unknown periods is read; its value `ahead` steps later is wanted at every step.

    x_t = √(2/k) Σ sin(2 pi t / p_i + phi_i), phases uniform, periods p_i log-uniform in [5, 50], all drawn anew for
    every sequence, so that x_t has mean 0 and variance 1 at every t. Mse at every step. Trivial baseline, exact: the
    smaller of 1 (guess 0) and 2 (1 - E cos(2 pi a / p)) (guess what was just read). Lag: the longest period, by choice
    (3k values would do if they were exact, by Prony's method). Source: folklore; success, a tenth of the trivial loss,
    is the project's.
    """

    inputs = 1
    outputs = 1
    objective = "mse"
    natural_loss = LossSpec(at="every", combine="mean")
    success = Success("relative_loss", 0.1, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length, self.ahead = spec.options["length"], spec.options["ahead"]
        self.components = spec.options["components"]
        self.lag = min(LONGEST, self.length - 1)

    def generate(self, generator: torch.Generator, count: int) -> Batch:
        shares_NK = torch.rand(2, count, self.components, generator=generator, dtype=torch.float64)
        period_NK = SHORTEST * (LONGEST / SHORTEST) ** shares_NK[0]
        t_T = torch.arange(self.length + self.ahead, dtype=torch.float64)
        angles_TNK = 2 * math.pi * (t_T[:, None, None] / period_NK + shares_NK[1])
        x_TN1 = (math.sqrt(2 / self.components) * angles_TNK.sin().sum(-1, keepdim=True)).float()
        return Batch(x_TN1[: self.length], x_TN1[self.ahead :])

    def baseline_by_timestep(self, split: Split) -> Tensor:
        from scipy.special import sici

        # log-uniform p: E cos(a w) over w from 2 pi/50 to 2 pi/5 is a difference of cosine integrals
        low, high = (float(sici(2 * math.pi * self.ahead / period)[1]) for period in (LONGEST, SHORTEST))
        persistence = 2 * (1 - (high - low) / math.log(LONGEST / SHORTEST))
        return torch.full((self.length,), min(1.0, persistence), dtype=torch.float64)
