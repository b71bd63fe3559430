"""What every line of the table of activations promises."""

from __future__ import annotations

import pytest
import torch

from rnnlab.activations import ACTIVATIONS
from rnnlab.activations.base import Activation
from rnnlab.choices import choose, options_of
from rnnlab.training.seeding import generator_for

CASES = [(name, {}) for name in ACTIVATIONS] + [("leaky_relu", {"slope": 0.3})]
POINTS = torch.linspace(-6, 6, 2401, dtype=torch.float64)
"""Steps of 0.005, with 0, the kinks and many a period of sin among them."""
GAMMA = {
    "tanh": 1.0, "relu": 1.0, "leaky_relu": 1.0, "hardtanh": 1.0, "softsign": 1.0, "sin": 1.0, "linear": 1.0,
}  # fmt: skip
"""max |phi'|, SCIENCE.md 1.1; a new line of the table adds its own here."""


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *map(str, case[1].values())]))
def case(request: pytest.FixtureRequest) -> tuple[str, Activation]:
    name, given = request.param
    return name, choose(ACTIVATIONS, name).load()(**options_of(ACTIVATIONS, name, given))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestActivation:
    def test_slope_is_autograds(self, case: tuple[str, Activation], dtype: torch.dtype) -> None:
        _, phi = case
        # kinks too: relu, leaky relu and hard tanh take torch's side of them
        a = POINTS.to(dtype).clone().requires_grad_()
        h = phi(a)
        (expected,) = torch.autograd.grad(h.sum(), [a])
        found = phi.slope((h if phi.slope_from_output else a).detach())
        assert found.dtype == dtype
        # 1 - h² loses the digits that h = tanh a has lost near 1: a few roundings of 1
        close = 1e-15 if dtype == torch.float64 else 5e-7
        torch.testing.assert_close(found, expected, rtol=0, atol=4 * close)

    def test_in_place_is_the_call(self, case: tuple[str, Activation], dtype: torch.dtype) -> None:
        _, phi = case
        a = POINTS.to(dtype)
        written = a.clone()
        result = phi.apply_(written)
        assert result.data_ptr() == written.data_ptr()
        # the same operation, or one reordered by softsign: a rounding at most
        torch.testing.assert_close(written, phi(a), rtol=2 * torch.finfo(dtype).eps, atol=0)

    def test_slope_leaves_what_it_reads(self, case: tuple[str, Activation], dtype: torch.dtype) -> None:
        _, phi = case
        kept = torch.randn(50, generator=generator_for("slope"), dtype=dtype)
        before = kept.clone()
        assert phi.slope(kept).data_ptr() != kept.data_ptr()
        assert torch.equal(kept, before)

    def test_steepest_bounds_the_slope_and_is_reached(self, case: tuple[str, Activation], dtype: torch.dtype) -> None:
        name, phi = case
        a = POINTS.to(dtype)
        slope = phi.slope(phi(a) if phi.slope_from_output else a).abs()
        assert phi.steepest == GAMMA[name]
        # reached at a point of the grid, to a rounding
        torch.testing.assert_close(float(slope.max()), phi.steepest, rtol=1e-6, atol=0)


def test_values_of_the_table() -> None:
    a = torch.tensor([-2.0, 0.5, 2.0], dtype=torch.float64)
    expected = {
        "tanh": [-0.9640275800758169, 0.46211715726000973, 0.9640275800758169],
        "relu": [0.0, 0.5, 2.0],
        "leaky_relu": [-0.02, 0.5, 2.0],
        "hardtanh": [-1.0, 0.5, 1.0],
        "softsign": [-2 / 3, 1 / 3, 2 / 3],
        "sin": [-0.9092974268256817, 0.479425538604203, 0.9092974268256817],
        "linear": [-2.0, 0.5, 2.0],
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        phi = choose(ACTIVATIONS, name).load()(**options_of(ACTIVATIONS, name, {}))
        # the constants have 16 digits
        torch.testing.assert_close(phi(a), torch.tensor(values, dtype=torch.float64), rtol=1e-14, atol=0)
