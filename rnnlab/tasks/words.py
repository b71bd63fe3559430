"""Tasks whose sequences are words of a few symbols, and how the parts are kept apart where there are few words.

A short word of bits comes up again: of 10 bits there are 1,024. So held-out words are chosen first, and training
draws from all the others, uniformly.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from rnnlab.tasks.base import Batch, Split, Task
from rnnlab.tasks.generated import HELD_OUT
from rnnlab.training.seeding import generator_for

COUNTED = 2**40
"""Words up to which parts are kept apart; among more, one drawn to train is a held-out one with odds below 2e-9."""
LISTED = 2**20
"""Words up to which all are shuffled to choose the held-out ones."""
SHARE = 8
"""A held-out split has at most every eighth word."""


class Words:
    """Words of `places` symbols of `kinds`, fresh ones to train on and fixed ones held out.

    Args:
        kinds: different symbols, 0 to kinds - 1.
        places: symbols in a word.
        name: of the task, so that tasks hold out words of their own.
    """

    def __init__(self, kinds: int, places: int, name: str) -> None:
        self.kinds, self.places, self.name = kinds, places, name
        self.total = kinds**places
        self.counted = self.total <= COUNTED
        if self.counted:
            self._held = self._chosen(min(HELD_OUT, self.total // SHARE))
            ascending = self._held.flatten().sort().values
            self._gaps = ascending - torch.arange(len(ascending))

    def _chosen(self, count: int) -> Tensor:
        """Numbers of held-out words, (2, count): validation and test."""
        generator = generator_for("held-out words", self.name, self.kinds, self.places)
        if self.total <= LISTED:
            return torch.randperm(self.total, generator=generator)[: 2 * count].view(2, count)
        drawn = torch.randint(self.total, (4 * count,), generator=generator).sort().values
        found = drawn[drawn != drawn.roll(1)]  # a word drawn twice stands once
        return found[torch.randperm(len(found), generator=generator)[: 2 * count]].view(2, count)

    def held(self, split: Split) -> Tensor:
        """The words of a held-out split, (places, N): 1,000, or every eighth of all where that is fewer."""
        if self.counted:
            return self._spelled(self._held[0 if split == "validation" else 1])
        generator = generator_for("held-out words", self.name, self.kinds, self.places, split)
        return torch.randint(self.kinds, (self.places, HELD_OUT), generator=generator)

    def draw(self, generator: torch.Generator, count: int) -> Tensor:
        """`count` words that are not held out, each as likely as any other, (places, count)."""
        if not self.counted:
            return torch.randint(self.kinds, (self.places, count), generator=generator)
        rank = torch.randint(self.total - self._held.numel(), (count,), generator=generator)
        return self._spelled(rank + torch.searchsorted(self._gaps, rank, right=True))

    def _spelled(self, number_N: Tensor) -> Tensor:
        """Symbols of words by their numbers."""
        weights = self.kinds ** torch.arange(self.places)
        return number_N // weights[:, None] % self.kinds


class WordTask(Task):
    """A task defined by what a word asks for."""

    words: Words

    @abstractmethod
    def asked(self, symbols_PN: Tensor) -> Batch:
        """The sequences of these words."""

    def draw(self, generator: torch.Generator, count: int) -> Batch:
        return self.asked(self.words.draw(generator, count))

    def make_split(self, split: Split) -> Batch:
        return self.asked(self.words.held(split))
