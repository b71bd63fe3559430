"""Random draws that initialisers share, so that two arms of a block differ in their rule and not in luck."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlab.choices import Choice
from rnnlab.training.seeding import generator_for


@dataclass
class LayerWeights:
    """One layer of one lane, float64: (G, I), (G, H), (G,), (G,); G = gates x H in torch's order, or recurrent x H."""

    w_ih_GI: Tensor
    w_hh_GH: Tensor
    b_ih_G: Tensor
    b_hh_G: Tensor


@dataclass(frozen=True)
class Draws:
    """What an initialiser may draw for one layer of one lane: each tensor from a stream of its own name."""

    seed: int
    """The replicate's seed."""
    layer: int
    gates: tuple[str, ...]
    """Names of the H-row blocks in torch's order."""
    inputs: int
    hidden: int
    activation: Choice | None = None
    """The cell's, where it has one."""
    recurrent: tuple[str, ...] | None = None
    """Names of the H-row blocks of W_hh; None: `gates`."""
    writes: tuple[str, ...] = ("i",)
    """Gates that forget the more the wider they open."""

    @property
    def rows(self) -> int:
        """G, rows of W_ih."""
        return len(self.gates) * self.hidden

    @property
    def back(self) -> tuple[str, ...]:
        """Names of the H-row blocks of W_hh."""
        return self.gates if self.recurrent is None else self.recurrent

    @property
    def back_rows(self) -> int:
        """G, rows of W_hh."""
        return len(self.back) * self.hidden

    def uniform(self, name: str, *shape: int) -> Tensor:
        """U(-1, 1), float64."""
        generator = generator_for("init", self.seed, self.layer, name, "uniform")
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1

    def normal(self, name: str, *shape: int) -> Tensor:
        """N(0, 1), float64."""
        generator = generator_for("init", self.seed, self.layer, name, "normal")
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def glorot_inputs(self) -> Tensor:
        """W_ih, U(±√(6 / (I + H))) per gate block: (G, I)."""
        bound = (6 / (self.inputs + self.hidden)) ** 0.5
        w_ih_GI: Tensor = bound * self.uniform("weight_ih", self.rows, self.inputs)
        return w_ih_GI

    def zero_biases(self) -> tuple[Tensor, Tensor]:
        """b_ih and b_hh of zeros."""
        return torch.zeros(self.rows, dtype=torch.float64), torch.zeros(self.back_rows, dtype=torch.float64)
