"""Coupled oscillators."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rnnlab.activations.base import Activation
from rnnlab.cells.base import Cell, Weights, affine


class CoRNN(Cell):
    """z' = z + dt (tanh(W_ih x + b_ih + W_y y + b_y + W_z z + b_z) - gamma y - epsilon z), y' = y + dt z'; h is y.

    A forced, damped oscillator a unit, y its place and z its speed: gradients through time are bounded while dt is
    small. y and z are of the size of dt times the number of steps. Source: Rusch & Mishra 2021, explicit in z as the
    authors' code; its dt, gamma and epsilon are tuned to each task (0.06, 66, 15 for adding; the defaults are those of
    its pixel-by-pixel digits).

    Args:
        dt: size of a step, over 0. gamma: the spring, the square of the frequency. epsilon: damping.
    """

    gates: ClassVar[tuple[str, ...]] = ("g",)
    recurrent: ClassVar[tuple[str, ...]] = ("y", "z")
    states: ClassVar[tuple[str, ...]] = ("h", "z")
    reads_h: ClassVar[bool] = False

    def __init__(
        self, activation: Activation | None = None, dt: float = 0.042, gamma: float = 2.7, epsilon: float = 4.7
    ) -> None:
        super().__init__(activation)
        self.dt, self.gamma, self.epsilon = dt, gamma, epsilon

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        w_ih, w_hh, b_ih, b_hh, _ = weights
        w_y, w_z = w_hh.chunk(2, 1)
        b_y, b_z = b_hh.chunk(2, 1)
        return {"g": affine(w_ih, b_ih, x_SBI) + affine(w_y, b_y, state[0]) + affine(w_z, b_z, state[1])}

    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        y, z = state
        force = torch.tanh(self.pre_activations(weights, x_SBI, state)["g"])
        z = z + self.dt * (force - self.gamma * y - self.epsilon * z)
        return y + self.dt * z, z
