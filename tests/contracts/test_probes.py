"""What every probe promises, for every cell, activation, depth and state, against slow autograd twins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlab import gradient_curve
from rnnlab.activations import ACTIVATIONS
from rnnlab.cells import CELLS
from rnnlab.cells.base import loop
from rnnlab.curve import Curve
from rnnlab.errors import SpecError
from rnnlab.model import Network, build
from rnnlab.probes.anchor import anchor_gradients, directions
from rnnlab.probes.context import zero_probes
from rnnlab.probes.renormalised import anchor_log10_norms
from rnnlab.spec import ModelSpec
from rnnlab.training.seeding import generator_for

KINDS = [(cell, None) for cell in CELLS if cell != "rnn"] + [("rnn", phi) for phi in ACTIVATIONS]
TWIN: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-300}
"""float64: some hundred sums in another order, of gradients that shrink by orders of magnitude."""


def network(cell: str, phi: str | None, depth: int = 1, seeds: tuple[int, ...] = (1, 2), **more: Any) -> Network:
    spec = ModelSpec.model_validate({"cell": cell, "activation": phi, "hidden": 6, "depth": depth, **more})
    return build(spec, 3, None, 12, list(seeds))


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator_for("probes"), dtype=torch.float64)


def twin(made: Network, x_TBI: Tensor, last_B: list[int], layer: int, state: str) -> NDArray[np.float64]:
    """The curve sequence by sequence, through autograd of a loop over timesteps."""
    theta = made.theta.detach().double()
    v_BH = directions(len(last_B), made.hidden, 0)
    squares = np.zeros((made.lanes, max(last_B) + 1))
    count = np.zeros(max(last_B) + 1)
    for b, last in enumerate(last_B):
        x = x_TBI[: last + 1, None, b : b + 1].expand(-1, made.lanes, -1, -1)
        probes = zero_probes(made, x)
        for number, weights in enumerate(made.layers(theta)):
            seen = loop(made.cell, weights, x, probes[number])
            x = seen["h"]
        (g,) = torch.autograd.grad((seen[state][-1] * v_BH[b]).sum(), [probes[layer][state]], allow_unused=True)
        g = torch.zeros_like(probes[layer][state]) if g is None else g  # the last c of a lower layer feeds nothing
        squares[:, : last + 1] += g.square().sum((2, 3)).flip(0).T.numpy()
        count[: last + 1] += 1
    found: NDArray[np.float64] = np.sqrt(squares / count)
    return found


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(("cell", "phi"), KINDS)
class TestAnchorAgainstItsTwin:
    @pytest.mark.parametrize("lengths", [None, [9, 1, 4, 9, 7], [3, 3, 1, 2, 3]])
    def test_ragged_or_not(self, cell: str, phi: str | None, depth: int, lengths: list[int] | None) -> None:
        made, x = network(cell, phi, depth), noise(9, 5, 3)
        last_B = [8] * 5 if lengths is None else [length - 1 for length in lengths]
        padded = x.clone()
        for b, last in enumerate(last_B):
            padded[last + 1 :, b] = torch.nan  # what is padded is not read
        for layer in range(depth):
            for state in made.cell.states:
                found = gradient_curve(made, padded, layer=layer, state=state, lengths=lengths)
                np.testing.assert_allclose(found.values_SK, twin(made, x, last_B, layer, state), **TWIN)

    @pytest.mark.parametrize(("steps", "batch", "seeds"), [(1, 4, (1, 2)), (7, 1, (1, 2)), (7, 4, (1,)), (1, 1, (1,))])
    def test_a_single_step_sequence_or_lane(
        self, cell: str, phi: str | None, depth: int, steps: int, batch: int, seeds: tuple[int, ...]
    ) -> None:
        made, x = network(cell, phi, depth, seeds), noise(steps, batch, 3)
        for state in made.cell.states:
            for lengths in (None, [steps] * batch):
                found = gradient_curve(made, x, layer=0, state=state, lengths=lengths).values_SK
                assert found.shape == (len(seeds), steps)
                np.testing.assert_allclose(found, twin(made, x, [steps - 1] * batch, 0, state), **TWIN)

    def test_input_that_is_not_contiguous(self, cell: str, phi: str | None, depth: int) -> None:
        made, x = network(cell, phi, depth), noise(3, 5, 18).permute(2, 1, 0)[::2]
        assert not x.is_contiguous()
        for lengths in (None, [9, 1, 4, 9, 7]):
            found = gradient_curve(made, x, layer=0, lengths=lengths).values_SK
            expected = gradient_curve(made, x.contiguous(), layer=0, lengths=lengths).values_SK
            np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_rescaled_it_is_the_same(self, cell: str, phi: str | None, depth: int) -> None:
        made = network(cell, phi, depth)
        x = noise(40, 2, 4, 3)
        theta, last_B = made.theta.detach().double(), torch.tensor([39, 20, 39, 0])
        state = made.cell.anchor_state
        plain = anchor_gradients(made, x, theta, state=state, last_B=last_B)
        logs = anchor_log10_norms(made, x, theta, directions(4, 6, 0), last_B, state=state)
        for layer in range(depth):
            for name in made.cell.states:
                expected = plain[layer][name].norm(dim=-1)
                # an exact 0 is -inf in both
                torch.testing.assert_close(logs[layer][name], expected.log10(), rtol=0, atol=1e-9)


def test_a_batch_of_lengths_is_its_sequences() -> None:
    made, x = network("gru", None), noise(9, 2, 3)
    assert gradient_curve(made, x, lengths=[4, 4]).values_SK.shape == (2, 4)
    whole = gradient_curve(made, x[:4]).values_SK
    np.testing.assert_allclose(gradient_curve(made, x, lengths=[4, 4]).values_SK, whole, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lengths": [4, 0]}, r"lengths must be 2 whole numbers of 1 to 9, but got \[4, 0\]"),
        ({"lengths": [4, 10]}, "lengths must be"),
        ({"lengths": [4]}, "lengths must be"),
        ({"lengths": [4.0, 2.5]}, "lengths must be"),
        ({"lengths": [4, 2], "anchor": 3}, "own last step; leave anchor=3 out"),
    ],
)
def test_wrong_lengths_are_told(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        gradient_curve(network("rnn", "tanh"), noise(9, 2, 3), **given)


class TestUnderflow:
    def test_an_exact_curve_goes_below_float64(self) -> None:
        steps = 1200
        made = build(ModelSpec.model_validate({"activation": "linear", "hidden": 4}), 3, None, 12, [1])
        with torch.no_grad():
            made.named()["weight_hh_l0"].copy_(0.5 * torch.eye(4))
        found = gradient_curve(made, noise(steps, 2, 3))
        expected = math.log10(0.5) * np.arange(steps)
        assert expected[-1] < -360
        # powers of two are exact; what rounds is the logarithm
        np.testing.assert_allclose(found.log10_SK[0], expected, rtol=1e-12, atol=1e-12)
        verdict = found.verdict()
        assert (verdict.name, verdict.underflow) == ("vanishing", False)
        assert verdict.slope == pytest.approx(math.log(0.5), rel=1e-9)

    def test_what_overflows_has_exploded(self) -> None:
        made = build(ModelSpec.model_validate({"activation": "linear", "hidden": 4}), 3, None, 12, [1])
        with torch.no_grad():
            made.theta.zero_()
            made.named()["weight_hh_l0"].copy_(2.0 * torch.eye(4))
        found = gradient_curve(made, noise(1200, 2, 3))
        np.testing.assert_allclose(found.log10_SK[0, :1000], math.log10(2) * np.arange(1000), atol=1e-11)
        assert found.log10_SK[0, -1] == 320
        assert found.verdict().name == "exploding"

    def test_a_lane_does_not_change_because_another_fades(self) -> None:
        made = build(ModelSpec.model_validate({"activation": "linear", "hidden": 4}), 3, None, 12, [1, 2, 3])
        with torch.no_grad():
            for lane, rate in enumerate((0.9, 0.1, torch.nan)):
                made.named()["weight_hh_l0"][lane] = rate * torch.eye(4)
        found = gradient_curve(made, noise(400, 2, 3))
        assert found.exact_log10_SK is not None
        assert found.log10_SK[1, -1] == pytest.approx(-399, abs=1e-4)  # the rate is float32's 0.1
        assert found.log10_SK[2, -1] == 320
        with torch.no_grad():
            made.named()["weight_hh_l0"][1] = torch.eye(4)
        other = gradient_curve(made, noise(400, 2, 3))
        assert other.exact_log10_SK is None
        assert np.array_equal(found.values_SK[0], other.values_SK[0])
        assert np.array_equal(found.log10_SK[0], other.log10_SK[0])

    def test_layers_that_fade_at_different_rates(self) -> None:
        steps = 500
        made = build(ModelSpec.model_validate({"activation": "linear", "hidden": 4, "depth": 2}), 4, None, 9, [1])
        made = made.double()
        named = made.named()
        with torch.no_grad():
            for name, rate in (("weight_hh_l0", 0.9), ("weight_ih_l1", 1.0), ("weight_hh_l1", 0.1)):
                named[name].copy_(rate * torch.eye(4, dtype=torch.float64))
        bottom, top = (gradient_curve(made, noise(steps, 2, 4), layer=layer).log10_SK[0] for layer in (0, 1))
        lags = np.arange(float(steps))
        # 500 products, and the bottom's sum of them
        np.testing.assert_allclose(top, -lags, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(bottom, np.log10((0.9 ** (lags + 1) - 0.1 ** (lags + 1)) / 0.8), atol=1e-11)

    @pytest.mark.parametrize("depth", [1, 2])
    def test_the_default_plain_network_over_2000_steps(self, depth: int) -> None:
        made = build(ModelSpec.model_validate({"hidden": 32, "depth": depth}), 1, None, 2000, [0])
        x = noise(2000, 2, 1)
        found = gradient_curve(made, x, layer=0)
        assert found.values_SK[0, -1] == 0
        log10_K = found.log10_SK[0]
        assert log10_K[-1] < -360  # .585 a step at depth 1
        verdict = found.verdict()
        assert (verdict.name, verdict.underflow) == ("vanishing", False)
        assert verdict.decades < -320
        # the first lags do not depend on what came a thousand steps before: the plain pass tells them
        plain = gradient_curve(made, x[-501:], layer=0)
        assert plain.exact_log10_SK is None
        np.testing.assert_allclose(log10_K[:200], plain.log10_SK[0, :200], atol=1e-9)

    def test_against_an_adjoint_in_long_logs(self) -> None:
        """A step-by-step product in ordinary numbers, rescaled by hand after every step."""
        made = build(ModelSpec.model_validate({"hidden": 8}), 1, None, 2000, [3])
        x = noise(1500, 1, 1)
        theta = made.theta.detach().double()
        w_hh = made.named(theta)["weight_hh_l0"][0]
        h_TH = made.states(x[:, None].double(), theta)[0]["h"][:, 0, 0]
        g, log10, expected = directions(1, 8, 0)[0], 0.0, []
        for t in range(1499, -1, -1):
            expected.append(log10)
            g = (g * (1 - h_TH[t] ** 2)) @ w_hh
            log10 += math.log10(float(g.norm()))
            g = g / g.norm()
        found = gradient_curve(made, x).log10_SK[0]
        assert expected[-1] < -330
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_a_true_zero_stays_one(self) -> None:
        made = network("rnn", "relu", seeds=(1,))
        with torch.no_grad():
            made.named()["bias_ih_l0"].fill_(-100.0)  # every unit is dead
        found = gradient_curve(made, noise(60, 2, 3))
        assert found.exact_log10_SK is None
        assert (found.values_SK[0, 1:] == 0).all()
        verdict = found.verdict()
        assert (verdict.name, verdict.underflow) == ("vanishing", True)

    def test_a_true_zero_below_float64(self) -> None:
        logs = np.array([np.arange(0.0, -600.0, -10.0)])
        logs[0, 50:] = -np.inf
        found = Curve("anchor", "lag", 10.0**logs, "h", 0, 0, logs)
        assert found.log10_SK.min() == found.log10_SK[0, -1] == -490
        assert found.zero_SK.sum() == 10
        assert found.verdict().underflow
        assert not found.verdict(40).underflow
        assert found.verdict(40).decades < -300
