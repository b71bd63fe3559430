"""The smallest LSTM, whose gates do not see the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rnnlab.cells.base import Cell, States, Weights, affine, affine_over_time
from rnnlab.cells.linear_scan import linear_scan
from rnnlab.cells.mingru import as_linear
from rnnlab.inits.draws import Draws, LayerWeights


class MinLSTM(Cell):
    """f, i = sigmoid(W x + b), g = W_g x + b_g, h' = (f h + i g) / (f + i): linear in h, so there is no W_hh.

    h is the memory itself. All timesteps are computed together (`linear_scan`). With the init `default` W_ih and b_ih
    are U(±1/√I), as of torch.nn.Linear. Source: Feng 2024; the form before its logarithms.
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "i", "g")
    recurrent: ClassVar[tuple[str, ...]] = ()
    reads_h: ClassVar[bool] = False

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        if own:
            as_linear(draws, layer)
        return super().begin(draws, layer, length, own)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        f, i, _ = affine(weights.w_ih_SGI, weights.b_ih_SG, x_SBI).chunk(3, -1)
        return {"f": f, "i": i}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        f, i, g = affine(weights.w_ih_SGI, weights.b_ih_SG, x_SBI).chunk(3, -1)
        return (torch.lerp(g, state[0], torch.sigmoid(logsigmoid(f) - logsigmoid(i))),)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        kept, written = self._linear(weights, x_TSBI)
        return {"h": linear_scan(kept, written + probes["h"] if probes and "h" in probes else written)}

    def onward(self, weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_TSBH = linear_scan(*self._linear(weights, x_TSBI), state[0])
        return h_TSBH, (h_TSBH[-1],)

    def _linear(self, weights: Weights, x_TSBI: Tensor) -> tuple[Tensor, Tensor]:
        """What a step multiplies h with, and what it adds."""
        f, i, g = affine_over_time(weights.w_ih_SGI, weights.b_ih_SG, x_TSBI).chunk(3, -1)
        # f / (f + i), and i / (f + i) beside it: no quotient of two small numbers
        apart = logsigmoid(f) - logsigmoid(i)
        return torch.sigmoid(apart), torch.sigmoid(-apart) * g
