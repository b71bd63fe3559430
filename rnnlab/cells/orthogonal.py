"""A plain recurrent network whose matrix is orthogonal at every update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, summed
from rnnlab.cells.rnn import RNN
from rnnlab.inits.draws import Draws, LayerWeights
from rnnlab.inits.rotation import turns

By = Literal["expm", "cayley"]


class Orthogonal(Cell):
    """h' = phi(W_ih x + b_ih + Q h + b_hh), Q orthogonal: with A = X - X^T of the lower triangle X of W_hh, either
    expm: Q = e^A, or cayley: Q = (I - A/2)^-1 (I + A/2).

    W_hh holds X; what stands on and above its diagonal is not read. The maps, and the 1/2, are those of
    torch.nn.utils.parametrizations.orthogonal, which itself turns a parameter of a module and not the lanes of a flat
    theta, of which W_hh is a view. Q is made once a sequence, lane by lane. Cayley's Q has no eigenvalue -1: the signs
    D of Helfrich 2018 are left out. With the init `default` Q turns pairs of units by angles U(-pi, pi) (expm) or
    U(0, pi/2) (cayley), W_ih is as glorot's, biases are 0, so modrelu begins as the identity.

    Sources: Lezcano-Casado 2019 (expRNN); Helfrich 2018 (scoRNN). They train A with a tenth of the learning rate.

    Args:
        activation: phi, modrelu in the sources.
        by: the map.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    makes_matrix: ClassVar[bool] = True

    def __init__(self, activation: Activation | None, by: By = "expm") -> None:
        assert activation is not None
        self.activation = activation
        self.by: By = by
        self._folded = RNN(activation)

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        if own:
            angles = turns(draws, "henaff" if self.by == "expm" else "cayley")
            x_HH = torch.zeros_like(layer.w_hh_GH)
            even = torch.arange(0, draws.hidden - 1, 2)
            x_HH[even + 1, even] = -(angles if self.by == "expm" else 2 * torch.tan(angles / 2))
            layer.w_ih_GI, layer.w_hh_GH = draws.glorot_inputs(), x_HH
            layer.b_ih_G, layer.b_hh_G = draws.zero_biases()
        return super().begin(draws, layer, length, own)

    def matrix(self, w_hh_SHH: Tensor) -> Tensor:
        """Q of every lane; NaN of one that is not finite."""
        lower_SHH = w_hh_SHH.tril(-1)
        a_SHH = lower_SHH - lower_SHH.transpose(1, 2)
        make = MAPS[self.by]
        return torch.stack([make(a) if bool(a.isfinite().all()) else a * math.nan for a in a_SHH])

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self._folded.step(self._fold(weights), x_SBI, state)

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        return self._folded.scan(self._fold(weights), x_TSBI, probes)

    def folded(self, weights: Weights) -> tuple[Cell, Weights]:
        return self._folded, self._fold(weights)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {"h": summed(self._fold(weights), x_SBI, state[0])[0]}

    def _fold(self, weights: Weights) -> Weights:
        return weights._replace(w_hh_SGH=self.matrix(weights.w_hh_SGH))


def cayley(a_HH: Tensor) -> Tensor:
    """(I - A/2)^-1 (I + A/2)."""
    eye_HH = torch.eye(len(a_HH), dtype=a_HH.dtype, device=a_HH.device)
    q_HH: Tensor = torch.linalg.solve(eye_HH - a_HH / 2, eye_HH + a_HH / 2)
    return q_HH


MAPS: dict[By, Callable[[Tensor], Tensor]] = {"expm": torch.linalg.matrix_exp, "cayley": cayley}
"""From a skew matrix to an orthogonal one."""
