"""The smallest gated unit, whose gate does not see the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.cells.base import Cell, States, Weights, affine, affine_over_time
from rnnlab.cells.linear_scan import linear_scan
from rnnlab.inits.draws import Draws, LayerWeights


class MinGRU(Cell):
    """z = sigmoid(W_z x + b_z), g = W_g x + b_g, h' = (1 - z) h + z g: linear in h, so there is no W_hh.

    z writes, so that 1 - z keeps: `chrono` and `uniform_gate` give it the sign opposite to that of a torch.nn.GRU's z.
    All timesteps are computed together (`linear_scan`). With the init `default` W_ih and b_ih are U(±1/√I), as of
    torch.nn.Linear. Source: Feng 2024; the form before its logarithms, for which g is made positive there.
    """

    gates: ClassVar[tuple[str, ...]] = ("z", "g")
    recurrent: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ("z",)
    reads_h: ClassVar[bool] = False

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        if own:
            as_linear(draws, layer)
        return super().begin(draws, layer, length, own)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {"z": affine(weights.w_ih_SGI, weights.b_ih_SG, x_SBI).chunk(2, -1)[0]}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        z, g = affine(weights.w_ih_SGI, weights.b_ih_SG, x_SBI).chunk(2, -1)
        return (torch.lerp(state[0], g, torch.sigmoid(z)),)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        kept, written = self._linear(weights, x_TSBI)
        return {"h": linear_scan(kept, written + probes["h"] if probes and "h" in probes else written)}

    def onward(self, weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_TSBH = linear_scan(*self._linear(weights, x_TSBI), state[0])
        return h_TSBH, (h_TSBH[-1],)

    def _linear(self, weights: Weights, x_TSBI: Tensor) -> tuple[Tensor, Tensor]:
        """What a step multiplies h with, and what it adds."""
        z, g = affine_over_time(weights.w_ih_SGI, weights.b_ih_SG, x_TSBI).chunk(2, -1)
        # sigmoid(-z) is 1 - z without its cancellation
        return torch.sigmoid(-z), torch.sigmoid(z) * g


def as_linear(draws: Draws, layer: LayerWeights) -> None:
    """W_ih and b_ih as torch.nn.Linear's: U(±1/√I) instead of the init `default`'s U(±1/√H)."""
    wider = (draws.hidden / draws.inputs) ** 0.5
    layer.w_ih_GI, layer.b_ih_G = wider * layer.w_ih_GI, wider * layer.b_ih_G
