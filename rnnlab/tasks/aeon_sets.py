"""Labelled series that the package aeon carries."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlab.errors import DataError
from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Batch, Split, Success, repeated
from rnnlab.tasks.stored import StoredTask
from rnnlab.training.seeding import generator_for

VALIDATION = 4
"""One training series in so many of each class validates."""


class Aeon(StoredTask):
    """A set of labelled series that is inside the package aeon: which class is it, at the end of the series.

    Nothing is downloaded. The set's own test part tests; of its training part a fixed quarter of each class, rounded,
    at least one, validates. Channels are standardised with the mean and the deviation (1 where constant) of the series
    that train. Series of unequal lengths end together, at the last of T = the longest one's steps; before a series
    begins its inputs are 0, so that every series' own last step is the last. Classes are numbered in the order of
    their names. Cross-entropy at the last step. Trivial baseline: the training frequencies of the classes as constant
    probabilities, their cross-entropy measured on the split. Lag T - 1. Success is the project's: half of the trivial
    loss. Source: aeon (Middlehurst 2024), after the UCR and UEA archives.

    Raises:
        DataError: aeon is not installed, or does not carry the set.
    """

    objective = "cross_entropy"
    natural_loss = LossSpec(at="last")
    success = Success("relative_loss", 0.5, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        training, classes = _series(spec.options["name"], "TRAIN")
        test, test_classes = _series(spec.options["name"], "TEST")
        self.classes = sorted(set(classes))
        self.inputs, self.outputs = training[0].shape[0], len(self.classes)
        self.length = max(series.shape[1] for series in (*training, *test))
        self.lag = self.length - 1
        chosen = _validating(classes)
        kept = [number for number in range(len(classes)) if number not in chosen]
        steps_IR = np.concatenate([training[number] for number in kept], 1)
        mean_I, deviation_I = steps_IR.mean(1), steps_IR.std(1)
        self._scale = mean_I[:, None], np.where(deviation_I > 0, deviation_I, 1)[:, None]
        self._parts = {
            "training": self._batch([training[number] for number in kept], [classes[number] for number in kept]),
            "validation": self._batch([training[n] for n in sorted(chosen)], [classes[n] for n in sorted(chosen)]),
            "test": self._batch(test, test_classes),
        }

    def _batch(self, series: list[Any], classes: list[str]) -> Batch:
        """Series (I, own length) and their classes, ending together."""
        mean_I1, deviation_I1 = self._scale
        x_TNI = np.zeros((self.length, len(series), self.inputs), np.float32)
        for number, x_IT in enumerate(series):
            x_TNI[self.length - x_IT.shape[1] :, number] = ((x_IT - mean_I1) / deviation_I1).T
        y_N = torch.tensor([self.classes.index(name) for name in classes])
        return Batch(torch.from_numpy(x_TNI), repeated(y_N, self.length))

    @property
    def training(self) -> Batch:
        return self._parts["training"]

    def make_split(self, split: Split) -> Batch:
        return self._parts[split]

    @cached_property
    def _frequency_O(self) -> Tensor:
        y_N = self.training.y_TN[-1]
        return torch.bincount(y_N, minlength=self.outputs).double() / len(y_N)

    def baseline_by_timestep(self, split: Split) -> Tensor:
        return -self._frequency_O.log()[self._parts[split].y_TN].mean(1)


def _series(name: str, part: str) -> tuple[list[Any], list[str]]:
    """The series of one part, each (I, own length) float64, and their classes."""
    try:
        import aeon.datasets
    except ImportError:
        raise DataError(
            "task 'aeon' requires the package aeon, which is not installed here; it holds numpy and pandas back, so "
            "make an environment of its own in a checkout of rnnlab: `python3 -m venv .venv-datasets`, then "
            "`.venv-datasets/bin/pip install --constraint constraints-datasets.txt --editable '.[datasets]'`"
        ) from None
    problem = name.removesuffix("_eq")
    file = Path(aeon.datasets.__file__).parent / "data" / problem / f"{name}_{part}.ts"
    if not file.is_file():
        raise DataError(f"the installed aeon does not carry {name!r}; install aeon 1.6")
    x, y = aeon.datasets.load_from_ts_file(str(file))
    return [np.asarray(series, np.float64) for series in x], [str(one) for one in y]


def _validating(classes: list[str]) -> set[int]:
    """Numbers of the training series that validate: a fixed quarter of each class."""
    chosen: set[int] = set()
    for name in sorted(set(classes)):
        members = [number for number, one in enumerate(classes) if one == name]
        order = torch.randperm(len(members), generator=generator_for("aeon", name)).tolist()
        chosen |= {members[place] for place in order[: max(1, round(len(members) / VALIDATION))]}
    return chosen
