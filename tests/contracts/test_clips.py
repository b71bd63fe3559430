"""What every line of the table of clips promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rnnlab.choices import choose, options_of
from rnnlab.clipping import CLIPS
from rnnlab.clipping.base import Clip, row_norm
from rnnlab.training.seeding import generator_for

NUMBERS = 40


def make(name: str, **given: Any) -> Clip:
    clip = choose(CLIPS, name).load()(**options_of(CLIPS, name, given))
    assert isinstance(clip, Clip)
    return clip


def gradients(dtype: torch.dtype = torch.float64) -> Tensor:
    """Six lanes with norms from 1e-7 to 1e4, one of them 0."""
    draw = generator_for("clips")
    sizes_S1 = torch.tensor([[1e-8], [0.01], [0.2], [3.0], [1e3], [0.0]], dtype=torch.float64)
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
    @pytest.mark.parametrize("threshold", [0.05, 1.0, 10.0])
    def test_is_torchs_lane_by_lane(self, name: str, threshold: float) -> None:
        given = {"threshold": threshold} if CLIPS[name].options else {}
        for dtype in (torch.float32, torch.float64):
            g_SP = gradients(dtype)
            found = make(name, **given)(g_SP.clone(), row_norm(g_SP))
            assert found.dtype == dtype
            for lane in range(len(g_SP)):
                # the same rule: a norm and a product round differently by a few units
                expected = torchs(name, g_SP[lane], threshold)
                torch.testing.assert_close(found[lane], expected, rtol=4 * torch.finfo(dtype).eps, atol=0)

    def test_lanes_are_independent(self, name: str) -> None:
        g_SP = gradients()
        whole = make(name)(g_SP.clone(), row_norm(g_SP))
        for lane in range(len(g_SP)):
            part = g_SP[lane : lane + 1]
            assert torch.equal(make(name)(part.clone(), row_norm(part)), whole[lane : lane + 1])

    def test_a_frozen_lanes_zeros_stay(self, name: str) -> None:
        g_SP = gradients()
        assert torch.equal(make(name)(g_SP.clone(), row_norm(g_SP))[5], torch.zeros(NUMBERS).double())

    def test_norms_that_float32_cannot_square(self, name: str) -> None:
        # float32 squares overflow above 1.8e19: torch's own clip by norm makes zeros of such a gradient
        g_SP = torch.full((1, NUMBERS), 1e25)
        norm_S = row_norm(g_SP)
        # 1e25 in float32 is off by up to 6e-8
        torch.testing.assert_close(float(norm_S), 1e25 * NUMBERS**0.5, rtol=1e-7, atol=0)
        found = make(name)(g_SP.clone(), norm_S)
        assert found.isfinite().all()
        expected = {"none": 1e25, "norm": NUMBERS**-0.5, "value": 1.0}[name]
        torch.testing.assert_close(found, torch.full_like(g_SP, expected), rtol=1e-6, atol=0)
        assert row_norm(found) > 0


@pytest.mark.parametrize("name", [name for name, line in CLIPS.items() if line.options])
def test_a_threshold_a_lane(name: str) -> None:
    g_SP = gradients()
    thresholds = [0.5, 1e-3, 2.0, 0.1, 30.0, 1.0]
    kind = choose(CLIPS, name).load()
    found = kind(torch.tensor(thresholds))(g_SP.clone(), row_norm(g_SP))
    for lane, threshold in enumerate(thresholds):
        part = g_SP[lane : lane + 1]
        alone = make(name, threshold=threshold)(part.clone(), row_norm(part))
        # thresholds came as float32: they differ from the numbers by a rounding of 6e-8
        torch.testing.assert_close(found[lane : lane + 1], alone, rtol=1e-7, atol=0)


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
