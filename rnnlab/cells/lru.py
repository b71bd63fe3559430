"""The linear recurrent unit: complex numbers that turn and fade."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, States, Weights, affine, affine_over_time, vectors_of
from rnnlab.cells.linear_scan import linear_scan
from rnnlab.inits.draws import Draws, LayerWeights


class LRU(Cell):
    """s' = lambda s + gamma B x, h = phi(Re(C s') + D x + b), s complex, lambda = exp(-e^nu + i e^theta) a unit.

    |lambda| < 1 whatever is learned, so nothing explodes, and nothing but lambda carries memory: h feeds nothing back.
    W_ih holds the rows re and im of B and those of D, W_hh re and im of C, the vectors nu, theta and ln gamma. States
    are h and both parts of s; verdicts read `re`, whose gradient over lag k is Re(lambda^k).

    With the init `default`, the only one, |lambda|² is uniform on [r_min², r_max²] and its angle on [0, phase],
    gamma = √(1 - |lambda|²), B is N(0, 1 / 2I), C is N(0, 1/H) in both parts, D is N(0, 1/I), biases are 0.
    All timesteps are computed together (`linear_scan`).

    Source: Orvieto 2023. Its layers stand between others with a nonlinearity; here phi is that, else a network of
    these would be linear in its inputs. In its code D is a number a unit, N(0, 1), as inputs and outputs are as many
    there; here it is a matrix that adds the same variance. b is added.

    Args:
        activation: phi.
        r_min, r_max: the ring in which lambda begins, 0 <= r_min < r_max < 1.
        phase: largest angle at the start, radians; small ones for long tasks.
    """

    gates: ClassVar[tuple[str, ...]] = ("re", "im", "d")
    recurrent: ClassVar[tuple[str, ...]] = ("re", "im")
    vectors: ClassVar[tuple[str, ...]] = ("nu", "theta", "ln_gamma")
    states: ClassVar[tuple[str, ...]] = ("h", "re", "im")
    anchor_state: ClassVar[str] = "re"
    judged: ClassVar[tuple[str, ...]] = ("re",)
    reads_h: ClassVar[bool] = False

    def __init__(
        self, activation: Activation | None, r_min: float = 0.9, r_max: float = 0.999, phase: float = 2 * math.pi
    ) -> None:
        assert activation is not None
        assert 0 <= r_min < r_max < 1
        self.activation = activation
        self.r_min, self.r_max, self.phase = r_min, r_max, phase

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        size, inputs = draws.hidden, draws.inputs
        u_2H = (draws.uniform("vectors", 2, size) + 1) / 2
        square_H = self.r_min**2 + u_2H[0] * (self.r_max**2 - self.r_min**2)
        # a draw of exactly 0 would be -inf in the logarithms
        angle_H = (self.phase * u_2H[1]).clamp(min=1e-6)
        normal = draws.normal("weight_ih", 3, size, inputs) / inputs**0.5
        normal[:2] /= 2**0.5
        layer.w_ih_GI = normal.flatten(0, 1)
        layer.w_hh_GH = size**-0.5 * draws.normal("weight_hh", 2 * size, size)
        layer.b_ih_G, layer.b_hh_G = draws.zero_biases()
        nu_H = (-square_H.clamp(min=1e-12).log() / 2).log()
        return torch.stack([nu_H, angle_H.log(), (1 - square_H).log() / 2])

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nu, theta, ln_gamma = vectors_of(weights)
        size, gamma = torch.exp(-torch.exp(nu)), torch.exp(ln_gamma)
        cos, sin = size * torch.cos(torch.exp(theta)), size * torch.sin(torch.exp(theta))
        from_re, from_im, direct = affine(weights.w_ih_SGI, weights.b_ih_SG, x_SBI).chunk(3, -1)
        _, re, im = state
        re, im = cos * re - sin * im + gamma * from_re, sin * re + cos * im + gamma * from_im
        c_SHC, b_SH = _readout(weights)
        return self.activation(direct + affine(c_SHC, b_SH, torch.cat([re, -im], -1))), re, im

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        probes = probes or {}
        turning, re, im, direct = self._linear(weights, x_TSBI)
        fed = torch.complex(re, im)
        pushed = torch.complex(re + probes["re"] if "re" in probes else re, im + probes["im"] if "im" in probes else im)
        s = linear_scan(turning.expand_as(fed), pushed)
        # h reads the state before its probe is added
        read = fed + turning * torch.cat([torch.zeros_like(s[:1]), s[:-1]]) if {"re", "im"} & set(probes) else s
        h = self._read(weights, read, direct)
        return {"h": h + probes["h"] if "h" in probes else h, "re": s.real, "im": s.imag}

    def onward(self, weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        turning, re, im, direct = self._linear(weights, x_TSBI)
        fed = torch.complex(re, im)
        s = linear_scan(turning.expand_as(fed), fed, torch.complex(*state[1:]))
        h_TSBH = self._read(weights, s, direct)
        return h_TSBH, (h_TSBH[-1], s[-1].real, s[-1].imag)

    def _linear(self, weights: Weights, x_TSBI: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """lambda, both parts of what is added to s at every timestep, and D x + b."""
        nu, theta, ln_gamma = vectors_of(weights)
        turning = torch.complex(-torch.exp(nu), torch.exp(theta)).exp()
        from_re, from_im, direct = affine_over_time(weights.w_ih_SGI, weights.b_ih_SG, x_TSBI).chunk(3, -1)
        gamma = torch.exp(ln_gamma)
        return turning, gamma * from_re, gamma * from_im, direct

    def _read(self, weights: Weights, s: Tensor, direct_TSBH: Tensor) -> Tensor:
        """h at all timesteps from s, complex."""
        return self.activation(direct_TSBH + affine_over_time(*_readout(weights), torch.cat([s.real, -s.imag], -1)))


def _readout(weights: Weights) -> tuple[Tensor, Tensor]:
    """C as a matrix (S, H, 2H) of [Re s, -Im s], and its bias (S, H)."""
    return torch.cat(weights.w_hh_SGH.chunk(2, 1), -1), torch.stack(weights.b_hh_SG.chunk(2, 1)).sum(0)
