"""What every line of the table of activations promises."""

from __future__ import annotations

import pytest
import torch

from rnnlab.activations import ACTIVATIONS
from rnnlab.activations.base import Activation
from rnnlab.activations.modrelu import ModReLU
from rnnlab.choices import Choice, choose, options_of
from rnnlab.errors import SpecError
from rnnlab.model import build, load_cell
from rnnlab.probes.context import ProbeContext
from rnnlab.probes.saturation import gate_values
from rnnlab.spec import ModelSpec, TaskSpec
from rnnlab.tasks.adding import Adding
from rnnlab.training.seeding import generator_for
from rnnlab.written import validated

CASES: list[tuple[str, dict[str, float]]] = [(name, {}) for name in ACTIVATIONS] + [
    ("leaky_relu", {"slope": 0.3}),
    ("elu", {"alpha": 0.5}),
]
POINTS = torch.linspace(-6, 6, 2401, dtype=torch.float64)
"""Steps of 0.005, with 0, the kinks and many a period of sin among them."""
GAMMA = {
    "tanh": 1.0, "relu": 1.0, "leaky_relu": 1.0, "hardtanh": 1.0, "softsign": 1.0, "sin": 1.0, "linear": 1.0,
    "sigmoid": 0.25, "elu": 1.0, "selu": 1.0507009873554805 * 1.6732632423543772, "modrelu": 1.0,
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
        "sigmoid": [0.11920292202211755, 0.6224593312018546, 0.8807970779778823],
        "elu": [-0.8646647167633873, 0.5, 2.0],
        # l alpha (e^-2 - 1), l / 2, 2 l
        "selu": [-1.5201664685956955, 0.5253504936777402, 2.101401974710961],
        "modrelu": [-2.0, 0.5, 2.0],
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, values in expected.items():
        phi = choose(ACTIVATIONS, name).load()(**options_of(ACTIVATIONS, name, {}))
        # the constants have 16 digits
        torch.testing.assert_close(phi(a), torch.tensor(values, dtype=torch.float64), rtol=1e-14, atol=0)


def test_a_cell_that_takes_none_is_named_beside_those_that_do() -> None:
    for name, line in ACTIVATIONS.items():
        assert line.cells is not None
        for cell in line.cells:
            assert ModelSpec.model_validate({"cell": cell, "activation": name}).activation == Choice(
                kind=name, options=options_of(ACTIVATIONS, name, {})
            )
        expected = f"activation '{name}' requires the cell {' or '.join(line.cells)}, but the cell is 'lstm'"
        with pytest.raises(SpecError, match=expected):
            validated(ModelSpec, {"cell": "lstm", "activation": name})


def test_sigmoid_is_the_tanh_of_half_of_it() -> None:
    phi, tanh = (choose(ACTIVATIONS, name).load()() for name in ("sigmoid", "tanh"))
    torch.testing.assert_close(phi(POINTS), (1 + tanh(POINTS / 2)) / 2, rtol=1e-13, atol=0)


@pytest.mark.parametrize("alpha", [0.25, 1.0, 3.0])
def test_elu_tends_to_alpha_and_is_smooth_at_one(alpha: float) -> None:
    phi = choose(ACTIVATIONS, "elu").load()(alpha)
    assert phi.steepest == max(1.0, alpha)
    near, far = torch.tensor([-1e-9, 1e-9], dtype=torch.float64), torch.tensor([-50.0], dtype=torch.float64)
    assert float(phi(far)) == pytest.approx(-alpha, rel=1e-15)
    # the slope jumps from alpha to 1 at 0, to 1e-9
    assert phi.slope(phi(near)).tolist() == pytest.approx([alpha, 1.0], rel=1e-8)


def test_selu_keeps_mean_zero_and_variance_one() -> None:
    # Gauss-Hermite converges slowly over the kink: 4 million points of N(0, 1) cut at 12 by the midpoint rule
    z = (torch.arange(4_000_000, dtype=torch.float64) + 0.5) * 6e-6 - 12
    weight = torch.exp(-z.square() / 2) * 6e-6 / (2 * torch.pi) ** 0.5
    h = choose(ACTIVATIONS, "selu").load()()(z)
    # Klambauer 2017: the fixed point that defines l and alpha; the rule's error is the square of its step
    assert float((h * weight).sum()) == pytest.approx(0, abs=1e-9)
    assert float((h.square() * weight).sum()) == pytest.approx(1, abs=1e-9)


class TestModReLU:
    """Its bias acts inside phi; what holds of it with a bias of 0 is above."""

    bias_1H = torch.tensor([[-0.7, 0.0, 0.4]], dtype=torch.float64)

    def test_the_modulus_is_shifted_and_the_sign_kept(self) -> None:
        phi, added = ModReLU().bound(self.bias_1H)
        assert not added.any()
        a_SBH = torch.tensor([[[-2.0, -2.0, -2.0], [0.5, 0.5, 0.5], [-0.7, 0.0, -1e-12]]], dtype=torch.float64)
        expected = torch.tensor([[[-1.3, -2.0, -2.4], [0.0, 0.5, 0.9], [0.0, 0.0, -0.4]]], dtype=torch.float64)
        # 1e-12 is added to the last
        torch.testing.assert_close(phi(a_SBH), expected, rtol=0, atol=2e-12)
        torch.testing.assert_close(phi.apply_(a_SBH.clone()), phi(a_SBH), rtol=0, atol=0)

    def test_with_a_bias_it_never_lengthens_a_step_and_without_one_keeps_it(self) -> None:
        a = torch.randn(1, 500, 3, generator=generator_for("modrelu"), dtype=torch.float64)
        shrunk, _ = ModReLU().bound(-self.bias_1H.abs())
        assert (shrunk(a).norm(dim=-1) <= a.norm(dim=-1)).all()
        assert torch.equal(ModReLU()(a), a)

    def test_b_hh_is_the_bias_and_does_not_move_a(self) -> None:
        cell = load_cell(Choice(kind="rnn"), Choice(kind="modrelu"))
        spec = ModelSpec.model_validate({"activation": "modrelu", "hidden": 3, "init": "orthogonal"})
        network = build(spec, 2, None, 5, [4]).double()
        assert not network.named()["bias_hh_l0"].any()  # it begins at 0 (Arjovsky 2016)
        x_TSBI = torch.randn(5, 1, 4, 2, generator=generator_for("modrelu x"), dtype=torch.float64)
        (weights,) = network.layers()
        h_TSBH = cell.scan(weights, x_TSBI)["h"]
        # at b = 0 the network is linear, and with an orthogonal W_hh no norm is lost on the way
        w_ih, w_hh = weights.w_ih_SGI[0], weights.w_hh_SGH[0]
        h_BH = torch.zeros(4, 3, dtype=torch.float64)
        for t in range(5):
            h_BH = x_TSBI[t, 0] @ w_ih.T + h_BH @ w_hh.T
        torch.testing.assert_close(h_TSBH[-1, 0], h_BH, rtol=1e-12, atol=1e-14)
        by_first_HH = torch.linalg.matrix_power(w_hh.detach(), 4)
        # weights were rounded to float32
        torch.testing.assert_close(torch.linalg.svdvals(by_first_HH), torch.ones(3).double(), rtol=1e-6, atol=0)
        silent = weights._replace(b_hh_SG=torch.full_like(weights.b_hh_SG, -100.0))
        assert not cell.scan(silent, x_TSBI)["h"].any()

    def test_saturation_sees_the_same_states(self) -> None:
        task = Adding(TaskSpec.model_validate({"kind": "adding", "length": 9}))
        network = build(ModelSpec.model_validate({"activation": "modrelu", "hidden": 5}), 2, 1, 9, [1, 2])
        context = ProbeContext(network, task, task.draw(generator_for("modrelu task"), 6), 0)
        h, slope = gate_values(context, 0)["h"]
        torch.testing.assert_close(h, context.states[0]["h"], rtol=1e-12, atol=1e-14)
        assert 0 < float(slope.mean()) < 1
