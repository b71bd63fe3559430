"""Tasks whose sequences are made, not stored: training is an endless stream, held-out splits are fixed."""

from __future__ import annotations

from abc import abstractmethod

import torch

from rnnlab.tasks.base import Batch, Split, Task
from rnnlab.training.seeding import generator_for

HELD_OUT = 1000
"""Sequences in the validation split and in the test split of a generated task."""


class GeneratedTask(Task):
    """A task defined by how a sequence is drawn."""

    @abstractmethod
    def generate(self, generator: torch.Generator, count: int) -> Batch:
        """`count` sequences of the task's distribution."""

    def draw(self, generator: torch.Generator, count: int) -> Batch:
        return self.generate(generator, count)

    def make_split(self, split: Split) -> Batch:
        return self.generate(generator_for("held-out", self.spec.kind, split, self.length), HELD_OUT)
