"""Noiseless memorisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success
from rnnlab.tasks.copying import RECALL, recalled
from rnnlab.tasks.words import Words, WordTask


class Memorisation(WordTask):
    """Ten symbols of `values` come first; after L blanks they are wanted again, in order.

    Inputs, one-hot of values + 2: 10 symbols, L - 1 blanks, a trigger, 10 blanks: L + 20 steps. Targets of
    values + 1: L + 10 blanks, then the ten symbols. Trivial baseline: blanks for sure, then a guess:
    10 ln v / (L + 20) as a mean over all steps. Lag L + 10. Of 2 values there are only 1,024 words: an eighth
    validates, an eighth tests, the others train; of 5 values 1,000 and 1,000 are held out. Source: Pascanu 2013 (code;
    it holds none out) after Hochreiter & Schmidhuber 1997 and Martens 2011. Solved there with all symbols right in
    99% of sequences, which 99.9% right symbols assure.
    """

    objective = "cross_entropy"
    natural_loss = LossSpec(at="every", combine="mean")
    success = Success("accuracy", 0.999, "Pascanu 2013")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.values = spec.options["values"]
        self.length = spec.options["length"] + 2 * RECALL
        self.lag = self.length - RECALL
        self.inputs, self.outputs = self.values + 2, self.values + 1
        self.words = Words(self.values, RECALL, spec.kind)

    @property
    def accuracy_positions(self) -> list[int]:
        """The last ten steps, where the symbols are recalled."""
        return list(range(self.length - RECALL, self.length))

    def asked(self, symbols_PN: Tensor) -> Batch:
        return recalled(symbols_PN, self.length, self.values)

    def baseline_by_timestep(self, split: Split) -> Tensor:
        loss_T = torch.zeros(self.length, dtype=torch.float64)
        loss_T[-RECALL:] = math.log(self.values)
        return loss_T
