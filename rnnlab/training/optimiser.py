"""Optimisers over rows: each lane has its own learning rate, and a frozen lane does not move.

The rules are torch.optim's to rounding (a test holds that). torch.optim itself knows one learning rate for a
tensor, and lanes are rows of one tensor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

GUARD = 1e-8
"""Added to a root before dividing by it, as torch does."""


class Optimiser(ABC):
    """An update rule on theta (S, P).

    Args:
        theta_SP: the parameters, changed in place.
        lr_S: learning rate of every lane.
    """

    def __init__(self, theta_SP: Tensor, lr_S: Tensor) -> None:
        self.theta_SP = theta_SP
        self.lr_S1 = lr_S.to(theta_SP)[:, None]
        self.done = 0

    def step(self, g_SP: Tensor, alive_S: Tensor) -> None:
        """One update of the lanes that are alive; the others keep every number they have."""
        self.done += 1
        direction_SP = self.direction(g_SP)
        if not alive_S.all():
            direction_SP = torch.where(alive_S[:, None], direction_SP, 0.0)
        self.theta_SP.sub_(self.lr_S1 * direction_SP)

    @abstractmethod
    def direction(self, g_SP: Tensor) -> Tensor:
        """What is multiplied by the learning rate and taken off; gradients are finite, 0 in frozen lanes."""


class SGD(Optimiser):
    """v = momentum v + g, theta -= lr v, as torch.optim.SGD without dampening.

    Args:
        momentum: share of the last step that is kept.
    """

    def __init__(self, theta_SP: Tensor, lr_S: Tensor, momentum: float = 0.0) -> None:
        super().__init__(theta_SP, lr_S)
        self.momentum = momentum
        self.velocity_SP = torch.zeros_like(theta_SP)

    def direction(self, g_SP: Tensor) -> Tensor:
        return self.velocity_SP.mul_(self.momentum).add_(g_SP)


class RMSprop(Optimiser):
    """m = decay m + (1 - decay) g², theta -= lr g / (√m + 1e-8), as torch.optim.RMSprop.

    Args:
        decay: of the running mean (torch: alpha).
    """

    def __init__(self, theta_SP: Tensor, lr_S: Tensor, decay: float = 0.99) -> None:
        super().__init__(theta_SP, lr_S)
        self.decay = decay
        self.square_SP = torch.zeros_like(theta_SP)

    def direction(self, g_SP: Tensor) -> Tensor:
        self.square_SP.mul_(self.decay).addcmul_(g_SP, g_SP, value=1 - self.decay)
        return g_SP / (self.square_SP.sqrt() + GUARD)


class Adam(Optimiser):
    """Bias-corrected running means of g and g², as torch.optim.Adam. Source: Kingma & Ba 2015.

    Args:
        beta1: decay of the mean of g.
        beta2: decay of the mean of g².
    """

    def __init__(self, theta_SP: Tensor, lr_S: Tensor, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(theta_SP, lr_S)
        self.beta1, self.beta2 = beta1, beta2
        self.mean_SP, self.square_SP = torch.zeros_like(theta_SP), torch.zeros_like(theta_SP)

    def direction(self, g_SP: Tensor) -> Tensor:
        self.mean_SP.lerp_(g_SP, 1 - self.beta1)
        self.square_SP.mul_(self.beta2).addcmul_(g_SP, g_SP, value=1 - self.beta2)
        first, second = 1 - self.beta1**self.done, 1 - self.beta2**self.done
        return self.mean_SP / first / ((self.square_SP / second).sqrt() + GUARD)
