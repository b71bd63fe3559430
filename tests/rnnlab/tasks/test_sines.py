from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from rnnlab.spec import TaskSpec
from rnnlab.tasks.sines import LONGEST, SHORTEST, Sines
from rnnlab.training.seeding import generator_for


def sines(**options: int) -> Sines:
    return Sines(TaskSpec.model_validate({"kind": "sines", **options}))


def test_the_target_is_what_is_read_later() -> None:
    batch = sines(length=40, ahead=3).draw(generator_for(1), 20)
    assert torch.equal(batch.y_TN[:-3], batch.x_TNI[3:])


@pytest.mark.parametrize("components", [1, 3])
def test_mean_0_and_variance_1_at_every_step(components: int) -> None:
    x_TN = sines(length=10, components=components).draw(generator_for(1), 40_000).x_TNI[..., 0].double()
    assert float(x_TN.mean(1).abs().max()) < 0.025
    assert float((x_TN.square().mean(1) - 1).abs().max()) < 0.03


@pytest.mark.parametrize("ahead", [1, 2, 30])
def test_the_baseline_is_the_integral_over_periods(ahead: int) -> None:
    """Persistence or the mean, whichever is nearer, by quadrature and by simulation."""
    integral, _ = quad(lambda s: math.cos(2 * math.pi * ahead / (SHORTEST * (LONGEST / SHORTEST) ** s)), 0, 1)
    expected = min(1.0, 2 * (1 - integral))
    task = sines(length=20, ahead=ahead)
    assert task.baseline("test") == pytest.approx(expected, rel=1e-6)
    batch = task.draw(generator_for(1), 40_000)
    guess = batch.x_TNI if expected < 1 else torch.zeros_like(batch.x_TNI)
    assert float((batch.y_TN - guess).square().mean()) == pytest.approx(expected, rel=0.03)
    assert (ahead == 1) == (expected < 1)


def test_one_sine_obeys_its_recurrence() -> None:
    """Of one sine, x_(t+1) + x_(t-1) is 2 cos(2 pi / p) x_t: forecasting is possible, and p lies in its range."""
    x_TN = sines(length=200, components=1).draw(generator_for(1), 50).x_TNI[..., 0].double().numpy()
    for x in x_TN.T:
        factor = float(np.dot(x[2:] + x[:-2], x[1:-1]) / np.dot(x[1:-1], x[1:-1]))
        np.testing.assert_allclose(x[2:] + x[:-2], factor * x[1:-1], atol=1e-5)  # float32
        assert SHORTEST * 0.999 <= 2 * math.pi / math.acos(factor / 2) <= LONGEST * 1.001
