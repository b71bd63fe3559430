"""The copying memory problem."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, one_hot
from rnnlab.tasks.generated import GeneratedTask

SYMBOLS, RECALL = 8, 10
BLANK, DELIMITER = 8, 9


class Copying(GeneratedTask):
    """Ten symbols come first; after T blanks they are wanted again, in order.

    Inputs, one-hot of 10 kinds: 10 symbols of 8, T - 1 blanks, a delimiter, 10 blanks: T + 20 steps. Targets
    of 9 kinds: T + 10 blanks, then the ten symbols. Trivial baseline: blanks for sure, then a guess of 8:
    10 ln 8 / (T + 20) as a mean over all steps. Lag T + 10. Source: Arjovsky 2016; the criterion, recall
    right at 99% of the last ten places, is the project's ("well below baseline" there).
    """

    inputs = SYMBOLS + 2
    outputs = SYMBOLS + 1
    objective = "cross_entropy"
    natural_loss = LossSpec(at="every", combine="mean")
    success = Success("accuracy", 0.99, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.blanks = spec.options["length"]
        self.length = self.blanks + 2 * RECALL
        self.lag = self.blanks + RECALL

    @property
    def accuracy_positions(self) -> list[int]:
        """The last ten steps, where the symbols are recalled (chance 1/8)."""
        return list(range(self.length - RECALL, self.length))

    def generate(self, generator: torch.Generator, count: int) -> Batch:
        symbols = torch.randint(0, SYMBOLS, (RECALL, count), generator=generator)
        return recalled(symbols, self.length, SYMBOLS)

    def baseline_by_timestep(self, split: Split) -> Tensor:
        loss_T = torch.zeros(self.length, dtype=torch.float64)
        loss_T[-RECALL:] = math.log(SYMBOLS)
        return loss_T


def recalled(symbols_RN: Tensor, length: int, kinds: int) -> Batch:
    """Symbols of `kinds` come first, then blanks with a delimiter one step before the recall, then the recall.

    Args:
        symbols_RN: what comes first and is wanted again at the last R steps, 0 to kinds - 1.
        length: timesteps in all. Inputs are one-hot of kinds + 2 (blank, delimiter), targets of kinds + 1 (blank).
    """
    recall, count = symbols_RN.shape
    blank, delimiter = kinds, kinds + 1
    x_TN = torch.full((length, count), blank)
    x_TN[:recall] = symbols_RN
    x_TN[length - recall - 1] = delimiter
    y_TN = torch.full((length, count), blank)
    y_TN[-recall:] = symbols_RN
    return Batch(one_hot(x_TN, kinds + 2), y_TN)
