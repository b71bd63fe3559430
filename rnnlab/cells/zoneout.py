"""Units that keep their state now and then, around any cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, States, Weights, loop


class Zoneout(Cell):
    """s_t = m s_(t-1) + (1 - m) s~_t, s~_t what the cell gives; m is 1 with probability p, else 0.

    In training m is drawn for every unit, timestep and sequence (`noisy`). Everywhere else (`step`, `scan`: evaluation
    and probes) m is p, its expected value, as in the paper; so G2 is that of the mean network. The candidate of h of
    an LSTM follows from the candidate of c, not from the mixed one. Forces the loop through autograd.

    Args:
        inner: the cell.
        keep: p of each of its states, in their order.

    Source: Krueger 2017 (z_c = 0.5 and z_h = 0.05 there).
    """

    def __init__(self, inner: Cell, keep: Sequence[float]) -> None:
        self.inner: Any = inner
        self.keep = tuple(keep)
        # of the inner cell: what is read of a cell's class
        for name in ("gates", "states", "anchor_state", "judged", "recurrent", "vectors", "writes", "reads_h"):
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def pre_activations(self, *given: Any) -> Any:
        """The inner cell's."""
        return self.inner.pre_activations(*given)

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.mixed(weights, x_SBI, state, self.keep)

    def mixed(
        self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...], keep: Sequence[float | Tensor]
    ) -> tuple[Tensor, ...]:
        """The states after one timestep, with these values of m: numbers, or masks (S, B, H) of 0 and 1."""
        after = self.inner.step(weights, x_SBI, state)
        return tuple(new + m * (old - new) for new, old, m in zip(after, state, keep, strict=True))

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        return loop(self, weights, x_TSBI, probes)

    def noisy(
        self,
        weights: Weights,
        x_TSBI: Tensor,
        masks: Sequence[Tensor],
        probes: Mapping[str, Tensor] | None = None,
    ) -> States:
        """`scan` with m drawn: a mask (T, S, B, H) a state."""
        return loop(self.drawn(masks), weights, x_TSBI, probes)

    def drawn(self, masks: Sequence[Tensor]) -> Cell:
        """This cell over the timesteps of `masks`, (T, S, B, H) a state, once."""
        return _Drawn(self, masks)

    def masks(self, steps: int, batch: int, hidden: int, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """m of every state, (T, S, B, H), bool, on the CPU; a lane's from its own generator."""
        return [
            torch.stack([torch.rand(steps, batch, hidden, generator=g) < p for g in generators], 1) for p in self.keep
        ]


class _Drawn(Zoneout):
    """A zoneout whose steps are taken in order, each with its own masks."""

    def __init__(self, whole: Zoneout, masks: Sequence[Tensor]) -> None:
        super().__init__(whole.inner, whole.keep)
        self.by_step = iter(zip(*(mask.unbind(0) for mask in masks), strict=True))

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.mixed(weights, x_SBI, state, [m.to(state[0]) for m in next(self.by_step)])
