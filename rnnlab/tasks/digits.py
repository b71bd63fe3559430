"""Handwritten digits, read as sequences."""

from __future__ import annotations

import math
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, repeated
from rnnlab.tasks.stored import StoredTask
from rnnlab.training.seeding import generator_for

HELD_OUT = 300
"""Digits in the validation split and in the test split; the other 1,197 train."""


class Digits(StoredTask):
    """scikit-learn's 1,797 digits of 8 x 8 grey values: which of ten is it, at the end of the reading.

    `read`: `pixels` gives one pixel a step (T=64, I=1), `permuted` the same in one fixed random order, `rows`
    a row a step (T=8, I=8). Grey values are divided by 16. Splits are one fixed shuffle: 1,197 train, 300
    validate, 300 test. Trivial baseline ln 10. Lag T - 1. Success, project-defined: accuracy 0.9 or more
    (Le 2015 reads MNIST the same way; IRNN 97% there).
    """

    outputs = 10
    objective = "cross_entropy"
    natural_loss = LossSpec(at="last")
    success = Success("accuracy", 0.9, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length, self.inputs = (8, 8) if spec.options["read"] == "rows" else (64, 1)
        self.lag = self.length - 1

    @cached_property
    def _shuffled(self) -> Batch:
        images, classes = digits()
        order = torch.randperm(len(classes), generator=generator_for("digits", "order"))
        pixels_NP = torch.from_numpy(images.astype(np.float32) / 16)[order]
        if self.spec.options["read"] == "permuted":
            pixels_NP = pixels_NP[:, torch.randperm(64, generator=generator_for("digits", "permutation"))]
        x_TNI = pixels_NP.view(len(order), self.length, self.inputs).transpose(0, 1).contiguous()
        return Batch(x_TNI, repeated(torch.from_numpy(classes)[order].long(), self.length))

    def _part(self, start: int | None, stop: int | None) -> Batch:
        return Batch(self._shuffled.x_TNI[:, start:stop], self._shuffled.y_TN[:, start:stop])

    @cached_property
    def training(self) -> Batch:
        return self._part(None, -2 * HELD_OUT)

    def make_split(self, split: Split) -> Batch:
        return self._part(-2 * HELD_OUT, -HELD_OUT) if split == "validation" else self._part(-HELD_OUT, None)

    def baseline_by_timestep(self, split: Split) -> Tensor:
        return torch.full((self.length,), math.log(10), dtype=torch.float64)


def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Grey values (1797, 64) of 0 to 16 and classes (1797,): what `sklearn.datasets.load_digits` returns.

    Its file is read here: to import scikit-learn takes a second, in the driver and in every worker.
    """
    found = find_spec("sklearn")
    assert found is not None
    assert found.origin is not None
    rows_NC = np.loadtxt(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return rows_NC[:, :-1], rows_NC[:, -1].astype(np.int64)
