"""What every line of the table of optimisers promises: torch's rule, lane by lane."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rnnlab.choices import choose, options_of
from rnnlab.training import OPTIMISERS
from rnnlab.training.optimiser import Optimiser
from rnnlab.training.seeding import generator_for

UPDATES = 20
CASES: list[tuple[str, dict[str, float]]] = [
    *((name, {}) for name in OPTIMISERS),
    ("sgd", {"momentum": 0.9}),
    ("rmsprop", {"decay": 0.9}),
    ("adam", {"beta1": 0.5, "beta2": 0.9}),
]
LR = [0.1, 0.01, 0.003]
CENTRE = torch.linspace(-2, 2, 9, dtype=torch.float64)


def torchs(name: str, options: dict[str, float], theta: Tensor, lr: float) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD([theta], lr, momentum=options.get("momentum", 0.0))
    if name == "rmsprop":
        return torch.optim.RMSprop([theta], lr, alpha=options.get("decay", 0.99))
    assert name == "adam"
    betas = (options.get("beta1", 0.9), options.get("beta2", 0.999))
    return torch.optim.Adam([theta], lr, betas=betas)


def start() -> Tensor:
    return torch.randn(len(LR), len(CENTRE), generator=generator_for("optimisers"), dtype=torch.float64)


def gradient(theta: Tensor) -> Tensor:
    """Of a bent bowl, so that what an update does changes the next gradient."""
    return (theta - CENTRE) + 0.3 * torch.sin(3 * theta)


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, float]]:
    name, options = request.param
    return name, options


def make(case: tuple[str, dict[str, float]], theta_SP: Tensor, lr: list[float]) -> Optimiser:
    name, given = case
    options: dict[str, Any] = options_of(OPTIMISERS, name, given)
    optimiser = choose(OPTIMISERS, name).load()(theta_SP, torch.tensor(lr, dtype=torch.float64), **options)
    assert isinstance(optimiser, Optimiser)
    return optimiser


class TestOptimiser:
    def test_is_torchs_with_a_learning_rate_a_lane(self, case: tuple[str, dict[str, float]]) -> None:
        theta_SP = start()
        optimiser = make(case, theta_SP, LR)
        alive_S = torch.ones(len(LR), dtype=torch.bool)
        twins = [theta.clone().requires_grad_() for theta in start()]
        others = [torchs(*case, twin, lr) for twin, lr in zip(twins, LR, strict=True)]
        for _ in range(UPDATES):
            optimiser.step(gradient(theta_SP), alive_S)
            for twin, other in zip(twins, others, strict=True):
                twin.grad = gradient(twin.detach())
                other.step()
            # float64 rounds at 1e-16; the order of products differs, twenty times
            expected = torch.stack([twin.detach() for twin in twins])
            torch.testing.assert_close(theta_SP, expected, rtol=1e-12, atol=1e-12)
        assert ((theta_SP - start()).abs() > 1e-6).all()

    def test_a_frozen_lane_does_not_move(self, case: tuple[str, dict[str, float]]) -> None:
        theta_SP, whole_SP = start(), start()
        optimiser, other = make(case, theta_SP, LR), make(case, whole_SP, LR)
        all_S = torch.ones(len(LR), dtype=torch.bool)
        two_S = torch.tensor([True, False, True])
        frozen = None
        for update in range(UPDATES):
            if update == 5:
                frozen = theta_SP[1].clone()
            alive_S = all_S if update < 5 else two_S
            g_SP = gradient(theta_SP)
            optimiser.step(torch.where(alive_S[:, None], g_SP, 0.0), alive_S)
            other.step(gradient(whole_SP), all_S)
        assert frozen is not None
        # momentum and running means would carry it on
        assert torch.equal(theta_SP[1], frozen)
        assert torch.equal(theta_SP[[0, 2]], whole_SP[[0, 2]])

    def test_lanes_are_independent(self, case: tuple[str, dict[str, float]]) -> None:
        whole_SP = start()
        optimiser = make(case, whole_SP, LR)
        parts = [part.clone() for part in start().split(1)]
        others = [make(case, part, [lr]) for part, lr in zip(parts, LR, strict=True)]
        for _ in range(UPDATES):
            optimiser.step(gradient(whole_SP), torch.ones(len(LR), dtype=torch.bool))
            for part, other in zip(parts, others, strict=True):
                other.step(gradient(part), torch.ones(1, dtype=torch.bool))
        assert torch.equal(whole_SP, torch.cat(parts))

    def test_the_gradient_is_left_as_it_was(self, case: tuple[str, dict[str, float]]) -> None:
        theta_SP = start()
        g_SP = gradient(theta_SP)
        before = g_SP.clone()
        make(case, theta_SP, LR).step(g_SP, torch.ones(len(LR), dtype=torch.bool))
        assert torch.equal(g_SP, before)
