"""What every line of the table of clips promises; what each claims for itself is in tests/rnnlab/test_clips_claims.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rnnlab.choices import choose, options_of
from rnnlab.clipping import CLIPS
from rnnlab.clipping.base import Clip, row_norm
from rnnlab.model import Network, build
from rnnlab.spec import ModelSpec
from rnnlab.training.seeding import generator_for

UPDATES = 8
TORCHS = {"none": 1e25, "norm": None, "value": 1.0}
"""Clips that torch has; what they make of entries of 1e25."""
EAGER: dict[str, dict[str, Any]] = {"zscore": {"warmup": 2, "z": 0.5}, "skip_nonfinite": {"threshold": 1.0}}
"""Options with which a clip acts within a few updates."""


def network(seeds: list[int]) -> Network:
    spec = ModelSpec.model_validate({"hidden": 4, "depth": 2, "init": "orthogonal"})
    return build(spec, 2, 1, 10, seeds)


SEEDS = [1, 2, 3, 4, 5, 6]
NUMBERS = network([1]).theta.shape[1]


def make(name: str, seeds: list[int] | None = None, **given: Any) -> Clip:
    """A clip that has seen its network, with a lane a seed."""
    clip = choose(CLIPS, name).load()(**options_of(CLIPS, name, given))
    assert isinstance(clip, Clip)
    clip.attach(network(SEEDS if seeds is None else seeds))
    return clip


def gradients(dtype: torch.dtype = torch.float64, update: int = 0) -> Tensor:
    """Six lanes with norms from 1e-7 to 1e4, one of them 0."""
    draw = generator_for("clips", update)
    sizes_S1 = torch.tensor([[1e-8], [0.01], [0.2], [3.0], [1e3], [0.0]], dtype=torch.float64)
    # a few times longer and shorter from update to update
    sizes_S1 = sizes_S1 * (1 + update % 3)
    return (torch.randn(6, NUMBERS, generator=draw, dtype=torch.float64) * sizes_S1).to(dtype)


def torchs(name: str, g_P: Tensor, threshold: float) -> Tensor:
    parameter = torch.zeros_like(g_P).requires_grad_()
    parameter.grad = g_P.clone()
    if name == "norm":
        torch.nn.utils.clip_grad_norm_([parameter], threshold)
    elif name == "value":
        torch.nn.utils.clip_grad_value_([parameter], threshold)
    else:
        assert name == "none"
    return parameter.grad


@pytest.mark.parametrize("name", CLIPS)
class TestClip:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_it_shortens_or_leaves_and_says_by_how_much(self, name: str, dtype: torch.dtype) -> None:
        clip = make(name, **EAGER.get(name, {}))
        for update in range(UPDATES):
            g_SP = gradients(dtype, update)
            norm_S = row_norm(g_SP)
            found = clip(g_SP.clone(), norm_S)
            assert found.dtype == dtype
            left_S = row_norm(found)
            # a rounding of every entry
            assert (left_S <= norm_S * (1 + torch.finfo(dtype).eps)).all()
            assert (found * g_SP >= 0).all()
            kept_S = clip.kept(norm_S, left_S)
            assert kept_S[5] == 1
            # the one that clips delta_t leaves its mark before this
            expected_S = torch.ones(6).double() if name == "timestep" else left_S / norm_S
            torch.testing.assert_close(kept_S[:5], expected_S[:5], rtol=1e-12, atol=0)

    def test_lanes_are_independent(self, name: str) -> None:
        given = EAGER.get(name, {})
        whole, alone = make(name, **given), [make(name, [seed], **given) for seed in SEEDS]
        for update in range(UPDATES):
            g_SP = gradients(update=update)
            together = whole(g_SP.clone(), row_norm(g_SP))
            for lane, clip in enumerate(alone):
                part = g_SP[lane : lane + 1]
                assert torch.equal(clip(part.clone(), row_norm(part)), together[lane : lane + 1])

    def test_a_frozen_lanes_zeros_stay_and_leave_no_trace(self, name: str) -> None:
        given = EAGER.get(name, {})
        steady, paused = make(name, **given), make(name, **given)
        for update in range(UPDATES):
            g_SP = gradients(update=update)
            zeros = torch.zeros_like(g_SP)
            assert torch.equal(paused(zeros.clone(), row_norm(zeros)), zeros)
            assert torch.equal(paused(g_SP.clone(), row_norm(g_SP)), steady(g_SP.clone(), row_norm(g_SP)))

    def test_norms_that_float32_cannot_square(self, name: str) -> None:
        # float32 squares overflow above 1.8e19: torch's own clip by norm makes zeros of such a gradient
        g_SP = torch.full((1, NUMBERS), 1e25)
        norm_S = row_norm(g_SP)
        # 1e25 in float32 is off by up to 6e-8
        torch.testing.assert_close(float(norm_S), 1e25 * NUMBERS**0.5, rtol=1e-7, atol=0)
        found = make(name, [1])(g_SP.clone(), norm_S)
        assert found.isfinite().all()
        assert row_norm(found) > 0
        if name in TORCHS:
            expected = TORCHS[name] or NUMBERS**-0.5
            torch.testing.assert_close(found, torch.full_like(g_SP, expected), rtol=1e-6, atol=0)

    def test_a_first_option_a_lane(self, name: str) -> None:
        if not CLIPS[name].options:
            return
        first, given = next(iter(CLIPS[name].options)), EAGER.get(name, {})
        values = [0.5, 1e-3, 2.0, 0.1, 30.0, 1.0]
        kind = choose(CLIPS, name).load()
        clip = kind(**{**given, first: torch.tensor(values)})
        clip.attach(network(SEEDS))
        alone = [make(name, [seed], **{**given, first: value}) for seed, value in zip(SEEDS, values, strict=True)]
        for update in range(UPDATES):
            g_SP = gradients(update=update)
            found = clip(g_SP.clone(), row_norm(g_SP))
            for lane, other in enumerate(alone):
                part = g_SP[lane : lane + 1]
                # values came as float32: they differ from the numbers by a rounding of 6e-8, which z squares
                torch.testing.assert_close(
                    found[lane : lane + 1], other(part.clone(), row_norm(part)), rtol=3e-7, atol=0
                )


@pytest.mark.parametrize("threshold", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("name", TORCHS)
def test_is_torchs_lane_by_lane(name: str, threshold: float) -> None:
    given: dict[str, Any] = {"threshold": threshold} if CLIPS[name].options else {}
    for dtype in (torch.float32, torch.float64):
        g_SP = gradients(dtype)
        found = make(name, **given)(g_SP.clone(), row_norm(g_SP))
        for lane in range(len(g_SP)):
            # the same rule: a norm and a product round differently by a few units
            expected = torchs(name, g_SP[lane], threshold)
            torch.testing.assert_close(found[lane], expected, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_small_norms_are_not_read_as_zero() -> None:
    # float32 squares vanish below 1e-23
    g_SP = torch.full((2, 4), 1e-30)
    # 1e-30 in float32 is off by up to 6e-8
    torch.testing.assert_close(row_norm(g_SP), torch.full((2,), 2e-30).double(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("threshold", [0.25, 1.0, 10.0])
def test_what_clipping_by_norm_leaves(threshold: float) -> None:
    g_SP = gradients()[3:5] * 10
    norm_S = row_norm(g_SP)
    left_S = row_norm(make("norm", threshold=threshold)(g_SP.clone(), norm_S))
    # SCIENCE.md section 4.12: c / (1 + 1e-6 / norm), to a few roundings of float64
    torch.testing.assert_close(left_S, threshold / (1 + 1e-6 / norm_S), rtol=1e-14, atol=0)
    assert (left_S < threshold).all()


def test_clipping_by_norm_keeps_the_direction_and_by_value_does_not() -> None:
    g_SP = gradients()[4:5]
    by_norm = make("norm")(g_SP.clone(), row_norm(g_SP))
    by_value = make("value")(g_SP.clone(), row_norm(g_SP))
    cosine = torch.nn.functional.cosine_similarity
    assert float(cosine(by_norm, g_SP)) == pytest.approx(1, abs=1e-12)
    assert float(cosine(by_value, g_SP)) < 0.95
