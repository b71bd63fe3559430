"""Networks: torch's modules and back, parameters as views, and `gradient_curve` on either."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnnlab import Network, from_torch, gradient_curve
from rnnlab.errors import SpecError
from rnnlab.model import build
from rnnlab.parameters import WEIGHTS
from rnnlab.spec import ModelSpec
from rnnlab.training.seeding import generator_for

MODULES: dict[str, Any] = {
    "tanh": lambda **o: nn.RNN(3, 8, **o),
    "relu": lambda **o: nn.RNN(3, 8, nonlinearity="relu", **o),
    "lstm": lambda **o: nn.LSTM(3, 8, **o),
    "gru": lambda **o: nn.GRU(3, 8, **o),
}


@pytest.fixture(autouse=True)
def seeded() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator_for("model"))


@pytest.mark.parametrize("kind", MODULES)
class TestFromTorch:
    @pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_layers": 3}, {"batch_first": True}], ids=str)
    def test_outputs_there_and_back(self, kind: str, options: dict[str, Any]) -> None:
        module = MODULES[kind](**options)
        x_TBI = noise(12, 5, 3)
        expected, _ = module(x_TBI.transpose(0, 1) if "batch_first" in options else x_TBI)
        expected = expected.transpose(0, 1) if "batch_first" in options else expected
        network = from_torch(module)
        assert (network.lanes, network.outputs) == (1, None)
        # float32 rounds at 6e-8; a dozen steps of values below 1
        torch.testing.assert_close(network(x_TBI[:, None])[:, 0], expected, rtol=1e-6, atol=1e-6)
        back, _ = network.to_torch()(x_TBI)
        torch.testing.assert_close(back, expected, rtol=1e-6, atol=1e-6)

    def test_float64_stays(self, kind: str) -> None:
        module = MODULES[kind]().double()
        network = from_torch(module)
        assert network.theta.dtype == torch.float64
        assert network.to_torch().weight_hh_l0.dtype == torch.float64
        x = noise(12, 5, 3).double()
        # float64 rounds at 1e-16
        torch.testing.assert_close(network(x[:, None])[:, 0], module(x)[0], rtol=1e-13, atol=1e-13)

    def test_weights_are_copies(self, kind: str) -> None:
        module = MODULES[kind]()
        network = from_torch(module)
        with torch.no_grad():
            network.theta.zero_()
        assert module.weight_hh_l0.any()

    def test_a_subclass_is_what_it_derives_from(self, kind: str) -> None:
        module = MODULES[kind]()
        derived = type("Mine", (type(module),), {})
        module.__class__ = derived
        x = noise(12, 5, 3)
        torch.testing.assert_close(from_torch(module)(x[:, None])[:, 0], module(x)[0], rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"bidirectional": True}, "bidirectional=True"),
            ({"num_layers": 2, "dropout": 0.5}, "dropout=0.5"),
        ],
    )
    def test_what_it_cannot_is_refused(self, kind: str, options: dict[str, Any], words: str) -> None:
        with pytest.raises(SpecError, match=f"one direction, no projection and no dropout.*{words}"):
            from_torch(MODULES[kind](**options))


def test_a_projection_and_other_modules_are_refused() -> None:
    with pytest.raises(SpecError, match="proj_size=4"):
        from_torch(nn.LSTM(3, 8, proj_size=4))
    for other in (nn.Linear(3, 8), nn.LSTMCell(3, 8), "lstm"):
        name = type(other).__name__
        for function in (from_torch, lambda m: gradient_curve(m, noise(5, 2, 3))):
            with pytest.raises(SpecError, match=rf"nn\.RNN, nn\.LSTM or nn\.GRU.*{name}"):
                function(other)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_to_torch_takes_any_lane(cell: str) -> None:
    spec = ModelSpec.model_validate({"cell": cell, "hidden": 8, "depth": 2})
    network = build(spec, 3, 4, 12, [1, 2, 3])
    x = noise(12, 5, 3)
    h_TSBH = network.top(x[:, None])
    for lane in range(3):
        torch.testing.assert_close(network.to_torch(lane)(x)[0], h_TSBH[:, lane], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["sin", "leaky_relu", "hardtanh", "softsign", "linear"])
def test_to_torch_refuses_what_torch_has_not(activation: str) -> None:
    network = build(ModelSpec.model_validate({"hidden": 8, "activation": activation}), 3, 4, 12, [1])
    with pytest.raises(SpecError, match=r"torch\.nn\.RNN has the activations tanh and relu"):
        network.to_torch()


class TestParameters:
    def network(self) -> Network:
        return build(ModelSpec.model_validate({"cell": "gru", "hidden": 8, "depth": 2}), 3, 4, 12, [1, 2])

    def test_names_are_torchs_and_parts_are_views(self) -> None:
        network = self.network()
        named = network.named()
        module = nn.GRU(3, 8, 2)
        recurrent = {name: value for name, value in named.items() if not name.startswith("readout")}
        assert {n: tuple(v.shape[1:]) for n, v in recurrent.items()} == {
            n: tuple(p.shape) for n, p in module.named_parameters()
        }
        assert sum(value[0].numel() for value in named.values()) == network.theta.shape[1]
        for value in named.values():
            with torch.no_grad():
                value.fill_(7.0)
        assert (network.theta == 7).all()
        assert all(len(layer) == len(WEIGHTS) for layer in network.layers())

    def test_another_theta_can_be_read(self) -> None:
        network = self.network()
        other = torch.zeros_like(network.theta)
        assert not network.top(noise(5, 1, 2, 3), other).any()
        assert network.top(noise(5, 1, 2, 3)).any()

    def test_the_readout(self) -> None:
        network = self.network()
        x = noise(5, 1, 2, 3)
        h = network.top(x)
        named = network.named()
        expected = torch.einsum("tsbh,soh->tsbo", h, named["readout.weight"])
        expected = expected + named["readout.bias"][None, :, None]
        torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-6)
        assert network(x).shape == (5, 2, 2, 4)

    def test_a_theta_of_another_size_is_refused(self) -> None:
        network = self.network()
        with pytest.raises(ValueError, match="columns"):
            Network(network.cell, 3, 8, 2, 4, network.theta.data[:, 1:])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_probes_on_the_fast_path_are_those_of_all_states(cell: str, lanes: int) -> None:
    spec = ModelSpec.model_validate({"cell": cell, "hidden": 8, "depth": 2})
    network = build(spec, 3, None, 12, list(range(lanes))).double()
    x = noise(12, 1, 5, 3).double()
    mix = noise(12, lanes, 5, 8).double()
    results = []
    for fast in (True, False):
        probes = [x.new_zeros(12, lanes, 5, 8).requires_grad_() for _ in range(2)]
        if fast:
            h = network.top(x, None, probes)
        else:
            h = network.states(x, None, [{"h": probe} for probe in probes])[-1]["h"]
        found = torch.autograd.grad((h.square() * mix).sum(), [network.theta, *probes])
        results.append([h.detach(), *found])
    # layers are told apart, and the lower one is reached through the upper
    assert not torch.allclose(results[0][2], results[0][3])
    for left, right in zip(*results, strict=True):
        assert left.abs().max() > 0
        # float64 rounds at 1e-16
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


class TestGradientCurve:
    @pytest.mark.parametrize("kind", MODULES)
    def test_a_module_its_network_and_batch_first_agree(self, kind: str) -> None:
        module = MODULES[kind](num_layers=2)
        twin = MODULES[kind](num_layers=2, batch_first=True)
        twin.load_state_dict(module.state_dict())
        x_TBI = noise(30, 5, 3)
        expected = gradient_curve(from_torch(module), x_TBI)
        for found in (gradient_curve(module, x_TBI), gradient_curve(twin, x_TBI.transpose(0, 1))):
            assert np.array_equal(found.values_SK, expected.values_SK)
        assert (expected.name, expected.axis, expected.values_SK.shape) == ("anchor_h_l1", "lag", (1, 30))
        # one unit vector a sequence, at the anchor itself
        assert expected.values_SK[0, 0] == pytest.approx(1, rel=1e-12)

    def test_is_the_slope_of_finite_differences(self) -> None:
        module = nn.LSTM(3, 8).double()
        x = noise(20, 1, 3).double()
        lag, push = 7, 1e-6
        curve = gradient_curve(module, x, state="c")
        # the Jacobian dc_19/dc_12 by pushing c_12; its product with the v of the probe is the curve
        module.requires_grad_(False)
        _, (h, c) = module(x[:13])
        later = [module(x[13:], (h, c + push * unit))[1][1] for unit in torch.eye(8).double()]
        before = [module(x[13:], (h, c - push * unit))[1][1] for unit in torch.eye(8).double()]
        jacobian = torch.stack([(a - b).flatten() / (2 * push) for a, b in zip(later, before, strict=True)], 1)
        v = torch.randn(1, 8, dtype=torch.float64, generator=generator_for("anchor", 0))
        expected = float(((v / v.norm()) @ jacobian).norm())
        # central differences: curvature 1e-12, rounding 1e-10
        # lag 7 of 20 steps is timestep 12
        assert curve.values_SK[0, lag] == pytest.approx(expected, rel=1e-7)

    def test_anchor_layer_state_and_seed(self) -> None:
        module = nn.LSTM(3, 8, 2)
        x = noise(30, 5, 3)
        whole = gradient_curve(module, x)
        assert np.array_equal(gradient_curve(module, x, anchor=29, layer=1).values_SK, whole.values_SK)
        # what comes after the anchor is not read
        early = gradient_curve(module, x, anchor=9)
        assert early.values_SK.shape == (1, 10)
        assert np.array_equal(early.values_SK, gradient_curve(module, x[:10]).values_SK)
        assert gradient_curve(module, x, anchor=0).values_SK.shape == (1, 1)
        assert gradient_curve(module, x, layer=0, state="c").name == "anchor_c_l0"
        for other in ({"layer": 0}, {"state": "c"}, {"seed": 1}):
            assert not np.array_equal(gradient_curve(module, x, **other).values_SK, whole.values_SK)

    def test_lanes(self) -> None:
        network = build(ModelSpec.model_validate({"hidden": 8}), 3, None, 12, [1, 2])
        x = noise(12, 2, 4, 3)
        both = gradient_curve(network, x)
        shared = gradient_curve(network, x[:, 0])
        assert both.values_SK.shape == (2, 12)
        # another batch size of a product may round differently
        np.testing.assert_allclose(shared.values_SK[0], both.values_SK[0], rtol=1e-12)
        assert not np.allclose(shared.values_SK[1], both.values_SK[1])

    def test_leaves_the_module_alone(self) -> None:
        module = nn.GRU(3, 8)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        gradient_curve(module, noise(5, 2, 3).requires_grad_())
        assert all(parameter.grad is None for parameter in module.parameters())
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"anchor": 12}, "anchor must be a timestep of 0 to 11 or negative, but got 12"),
            ({"anchor": -13}, "anchor must be .* got -13"),
            ({"layer": 1}, "layer must be below the depth 1, but got 1"),
            ({"layer": -2}, "layer must be below the depth 1, but got -2"),
            ({"state": "c"}, "state must be one of h, but got 'c'"),
            ({"x": noise(12, 5, 2)}, r"x must be \(T, B, 3\) or \(T, S, B, 3\) with S = 1 .* but is \(12, 5, 2\)"),
            ({"x": noise(12, 3)}, r"x must be .* but is \(12, 3\)"),
            ({"x": noise(12, 2, 5, 3)}, r"x must be .* but is \(12, 2, 5, 3\)"),
            ({"x": noise(0, 5, 3)}, r"x must be .* but is \(0, 5, 3\)"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_wrong_is_told(self, given: dict[str, Any], words: str) -> None:
        x = given.pop("x", noise(12, 5, 3))
        for model in (nn.GRU(3, 8), from_torch(nn.GRU(3, 8))):
            with pytest.raises(SpecError, match=words):
                gradient_curve(model, x, **given)
