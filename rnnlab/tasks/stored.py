"""Tasks whose sequences are stored: training draws from one split, the others are held out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rnnlab.tasks.base import Batch, Split, Task

Part = Literal["training", "validation", "test"]
PARTS: tuple[Part, ...] = ("training", "validation", "test")
HELD_OUT = 1000
"""Most windows in a held-out split: where there are more, this many, evenly spread, are kept."""


class StoredTask(Task):
    """A task over fixed sequences. Training draws them uniformly, with replacement, so that a stream
    depends on its generator alone and can go on from any update."""

    @property
    @abstractmethod
    def training(self) -> Batch:
        """All training sequences."""

    def draw(self, generator: torch.Generator, count: int) -> Batch:
        index = torch.randint(self.training.x_TNI.shape[1], (count,), generator=generator)
        return Batch(self.training.x_TNI[:, index], self.training.y_TN[:, index])


@dataclass(frozen=True)
class Windows:
    """Stretches of `length` consecutive rows, cut only when asked, so that their overlap costs no memory.

    Args:
        x_RI: inputs of every row R, float32.
        y_R: targets of every row: int64, float32, or (R, O) float32 for mse.
        starts_N: first row of each window.
        length: T, rows in a window.
    """

    x_RI: Tensor
    y_R: Tensor
    starts_N: Tensor
    length: int

    def cut(self, starts_N: Tensor) -> Batch:
        """The windows that begin at these rows."""
        rows_TN = torch.arange(self.length)[:, None] + starts_N
        return Batch(self.x_RI[rows_TN], self.y_R[rows_TN])


class WindowedTask(StoredTask):
    """A task over windows of long stored series, each window inside one part of the data."""

    @abstractmethod
    def windows_of(self, part: Part) -> Windows:
        """The windows of one part; no row and no target of theirs lies in another part."""

    @property
    def training(self) -> Batch:
        windows = self.windows_of("training")
        return windows.cut(windows.starts_N)

    def draw(self, generator: torch.Generator, count: int) -> Batch:
        windows = self.windows_of("training")
        index = torch.randint(len(windows.starts_N), (count,), generator=generator)
        return windows.cut(windows.starts_N[index])

    def make_split(self, split: Split) -> Batch:
        windows = self.windows_of(split)
        return windows.cut(windows.starts_N)


def evenly(starts_N: Tensor) -> Tensor:
    """At most HELD_OUT of them, evenly spread."""
    if len(starts_N) <= HELD_OUT:
        return starts_N
    return starts_N[torch.linspace(0, len(starts_N) - 1, HELD_OUT).round().long()]
