"""What every line of the tables of initialisations promises, and the numbers of SCIENCE.md 1.2."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnlab.cells import CELLS
from rnnlab.choices import choose
from rnnlab.inits import BIAS_INITS, INITS
from rnnlab.inits.draws import Draws, LayerWeights
from rnnlab.model import build
from rnnlab.spec import ModelSpec

H, I, LENGTH = 64, 3, 40  # noqa: E741
GATES = {name: choose(CELLS, name).load().gates for name in CELLS}
TORCH = ("rnn", "lstm", "gru")
FITTING = [
    (cell, init, bias)
    for cell in CELLS
    for init, line in INITS.items()
    for bias, other in BIAS_INITS.items()
    if all(entry.cells is None or cell in entry.cells for entry in (line, other))
]


def spec_of(cell: str, init: Any = "default", bias: Any = "default", depth: int = 2) -> ModelSpec:
    return ModelSpec.model_validate({"cell": cell, "hidden": H, "depth": depth, "init": init, "bias_init": bias})


def named(spec: ModelSpec, seeds: list[int], length: int = LENGTH) -> dict[str, Tensor]:
    return {name: t.detach() for name, t in build(spec, I, 4, length, seeds).named().items()}


def layer_of(cell: str, init: str, hidden: int = H, seed: int = 5, **options: Any) -> LayerWeights:
    """One layer in float64, before the network rounds it."""
    kind = choose(CELLS, cell).load()
    draws = Draws(seed, 0, kind.gates, I, hidden, recurrent=kind.recurrent)
    weights = choose(INITS, init).load()(draws, **options)
    assert isinstance(weights, LayerWeights)
    return weights


def gate(bias_G: Tensor, cell: str, name: str) -> Tensor:
    start = GATES[cell].index(name) * H
    return bias_G[..., start : start + H]


@pytest.mark.parametrize(("cell", "init", "bias"), FITTING)
class TestInit:
    def test_a_seed_gives_the_same_numbers_whoever_stands_beside_it(self, cell: str, init: str, bias: str) -> None:
        spec = spec_of(cell, init, bias)
        first, again = named(spec, [11, 12, 13]), named(spec, [13, 11])
        for name in first:
            assert torch.equal(first[name][0], again[name][1])
            assert torch.equal(first[name][2], again[name][0])

    def test_replicates_and_layers_differ(self, cell: str, init: str, bias: str) -> None:
        seen = named(spec_of(cell, init, bias, depth=3), [11, 12])
        for name, value in seen.items():
            constant = bool((value == value.flatten()[0]).all()) or (
                "vectors" in name and bool((value == value[..., :1]).all())
            ) or (
                init in ("identity", "delay_line") and "weight_hh" in name
            ) or (bias == "forget_bias" and init != "default" and "bias_ih" in name)  # fmt: skip
            assert torch.equal(value[0], value[1]) == constant, name
            if name.endswith("_l1") and not constant:
                assert not torch.equal(value, seen[name.replace("_l1", "_l2")]), name

    def test_arms_of_a_block_share_their_draws(self, cell: str, init: str, bias: str) -> None:
        seen, plain = named(spec_of(cell, init, bias), [11]), named(spec_of(cell), [11])
        assert torch.equal(seen["readout.weight"], plain["readout.weight"])
        assert torch.equal(seen["readout.bias"], plain["readout.bias"])
        # those that draw W_ih from N(0, 1) are compared with he, the others with default
        normal = init in ("he", "identity", "normal", "np_rnn", "sparse", "critical")
        like = named(spec_of(cell, "he"), [11]) if normal else plain
        both = [which for which in ("ih", "hh") if f"weight_{which}_l0" in seen]
        for which in both if init in ("glorot", "critical") else ("ih",):
            ratio = seen[f"weight_{which}_l0"] / like[f"weight_{which}_l0"]
            # the same draws with another bound or deviation; both were rounded to float32
            torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio), rtol=5e-7, atol=0)
        if bias == "default" or init != "default":
            return
        for which in both:
            assert torch.equal(seen[f"weight_{which}_l0"], plain[f"weight_{which}_l0"])

    def test_everything_is_finite_and_float32(self, cell: str, init: str, bias: str) -> None:
        theta_SP = build(spec_of(cell, init, bias), I, 4, LENGTH, [1, 2]).theta
        assert theta_SP.dtype == torch.float32
        assert theta_SP.isfinite().all()


def fitting(init: str) -> list[str]:
    """Cells that an init is for."""
    return [cell for cell in CELLS if INITS[init].cells is None or cell in INITS[init].cells]  # type: ignore[operator]


@pytest.mark.parametrize("cell", TORCH)
class TestDefault:
    def test_bounds_and_variance(self, cell: str) -> None:
        weights = layer_of(cell, "default", hidden=128)
        bound = 128**-0.5
        for part in vars(weights).values():
            assert part.abs().max() <= bound
            # the largest of n uniform numbers lies within 10 / n of the bound but for e^-10 of the draws
            assert part.abs().max() >= bound * (1 - 10 / part.numel())
        sigma_w = float(weights.w_hh_GH.std()) * 128**0.5
        # 1/√3; the standard error with 16,384 numbers is 0.577 * 0.45 / 128 = 0.002
        assert sigma_w == pytest.approx(3**-0.5, abs=0.008)

    def test_the_torch_module_has_the_same_distribution(self, cell: str) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = getattr(torch.nn, cell.upper())(I, 128)
        mine = vars(layer_of(cell, "default", hidden=128)).values()
        for part, theirs in zip(mine, module.parameters(), strict=True):
            assert part.shape == theirs.shape
            # as above; the smallest part, 128 biases of one gate, has a standard error of 4%
            assert float(part.std()) == pytest.approx(float(theirs.detach().std()), rel=0.2)


@pytest.mark.parametrize("cell", fitting("glorot"))
def test_glorot_has_sigma_w_of_one_in_every_gate(cell: str) -> None:
    weights = layer_of(cell, "glorot", hidden=128)
    for block in weights.w_hh_GH.split(128) if len(weights.w_hh_GH) else ():
        # variance 1 / H; standard error 0.45 / 128 = 0.0035
        assert float(block.std()) * 128**0.5 == pytest.approx(1, abs=0.014)
        assert block.abs().max() <= (3 / 128) ** 0.5
    # √(2 / (I + H)), 384 numbers a gate: standard error 0.023 of it
    assert float(weights.w_ih_GI.std()) == pytest.approx((2 / (I + 128)) ** 0.5, rel=0.1)
    assert not weights.b_ih_G.any()
    assert not weights.b_hh_G.any()


@pytest.mark.parametrize("gain", [0.9, 1.0, 1.4])
@pytest.mark.parametrize("cell", fitting("orthogonal"))
def test_orthogonal_is_so_gate_by_gate(cell: str, gain: float) -> None:
    weights = layer_of(cell, "orthogonal", gain=gain)
    blocks = weights.w_hh_GH.split(H)
    assert len(blocks) == len(GATES[cell])
    for block in blocks:
        # Householder QR in float64: a few roundings a column
        eye = gain**2 * torch.eye(H, dtype=torch.float64)
        torch.testing.assert_close(block.T @ block, eye, rtol=0, atol=1e-12)
        torch.testing.assert_close(block @ block.T, eye, rtol=0, atol=1e-12)
        singular = torch.linalg.svdvals(block)
        torch.testing.assert_close(singular, torch.full_like(singular, gain), rtol=1e-12, atol=0)
    assert len({tuple(block[0].tolist()) for block in blocks}) == len(blocks)
    assert not weights.b_ih_G.any()


def test_orthogonal_is_uniform_over_the_group() -> None:
    # without the sign fix by R's diagonal the first entry would always be of one sign
    first = torch.stack([layer_of("rnn", "orthogonal", 4, seed).w_hh_GH[0, 0] for seed in range(200)])
    # a share of 1/2 with n = 200: standard error 0.035
    assert 0.3 < float((first > 0).double().mean()) < 0.7
    # uniform over the group: the trace has mean 0 and variance 1; standard error 1 / √200 = 0.07
    traces = torch.stack([layer_of("rnn", "orthogonal", 4, s).w_hh_GH.trace() for s in range(200)])
    assert abs(float(traces.mean())) < 0.28
    # its fourth moment is 3 there, so the variance has a standard error of √(2 / 200) = 0.1
    assert float(traces.var()) == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_identity_is_le_2015(scale: float) -> None:
    weights = layer_of("rnn", "identity", hidden=512, scale=scale)
    assert torch.equal(weights.w_hh_GH, scale * torch.eye(512, dtype=torch.float64))
    # 1,536 numbers: standard error 1.8% of the standard deviation
    assert float(weights.w_ih_GI.std()) == pytest.approx(0.001, rel=0.08)
    assert not weights.b_ih_G.any()
    assert not weights.b_hh_G.any()


class TestForgetBias:
    @pytest.mark.parametrize("value", [-1.0, 0.0, 1.0, 5.0])
    @pytest.mark.parametrize("init", ["default", "glorot", "orthogonal"])
    def test_both_biases_sum_to_the_value(self, init: str, value: float) -> None:
        seen = named(spec_of("lstm", init, {"forget_bias": value}), [3, 4])
        for layer in range(2):
            total = seen[f"bias_ih_l{layer}"] + seen[f"bias_hh_l{layer}"]
            assert (gate(total, "lstm", "f") == value).all()

    def test_other_gates_keep_theirs(self) -> None:
        seen, plain = named(spec_of("lstm", "default", "forget_bias"), [3]), named(spec_of("lstm"), [3])
        for which in ("bias_ih_l0", "bias_hh_l0"):
            for name in ("i", "g", "o"):
                assert torch.equal(gate(seen[which], "lstm", name), gate(plain[which], "lstm", name))
                assert gate(seen[which], "lstm", name).any()


class TestChrono:
    @pytest.mark.parametrize("init", ["default", "glorot", "orthogonal"])
    @pytest.mark.parametrize("cell", ["lstm", "gru"])
    def test_range_and_signs(self, cell: str, init: str) -> None:
        longest = 60
        seen = named(spec_of(cell, init, {"chrono": longest}), list(range(20)))
        total = seen["bias_ih_l0"] + seen["bias_hh_l0"]
        keep = gate(total, cell, "f" if cell == "lstm" else "z")
        # positive: torch's z keeps the state, so its sign is the forget gate's
        assert keep.min() >= 0
        assert keep.max() <= math.log(longest - 1)
        # 1,280 draws of U(1, 59): the ends are reached within 10 / n of the range, the mean to 1%
        assert keep.exp().min() < 1 + 10 * 58 / keep.numel()
        assert keep.exp().max() > 59 - 10 * 58 / keep.numel()
        assert float(keep.exp().mean()) == pytest.approx(30, rel=0.06)
        if cell == "lstm":
            assert torch.equal(gate(total, cell, "i"), -keep)
        for name in {"lstm": ("g", "o"), "gru": ("r", "n")}[cell]:
            assert not gate(total, cell, name).any()

    @pytest.mark.parametrize("cell", ["lstm", "gru"])
    def test_T_max_is_the_tasks_length(self, cell: str) -> None:
        by_length = named(spec_of(cell, "default", "chrono"), [7], length=90)
        given = named(spec_of(cell, "default", {"chrono": 90}), [7], length=10)
        other = named(spec_of(cell, "default", "chrono"), [7], length=10)
        assert torch.equal(by_length["bias_ih_l0"], given["bias_ih_l0"])
        assert not torch.equal(by_length["bias_ih_l0"], other["bias_ih_l0"])

    def test_a_length_below_three_is_three(self) -> None:
        seen = named(spec_of("lstm", "default", "chrono"), [7], length=2)
        keep = gate(seen["bias_ih_l0"], "lstm", "f")
        assert keep.min() >= 0
        assert keep.max() <= math.log(2)


def test_depth_takes_the_layer_below_as_input() -> None:
    seen = named(spec_of("gru", "glorot", depth=3), [1])
    assert seen["weight_ih_l0"].shape == (1, 3 * H, I)
    assert seen["weight_ih_l2"].shape == (1, 3 * H, H)
    # the fans of a layer are its own: variance 2 / (H + H), 12,288 numbers, standard error 0.4%
    assert float(seen["weight_ih_l2"].std()) == pytest.approx(H**-0.5, rel=0.02)
