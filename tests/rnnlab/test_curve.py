"""Curves: norms over float64's whole range, names, logarithms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnlab.curve import Curve, rms_norm
from rnnlab.training.seeding import generator_for
from rnnlab.verdict import FLOOR


def random(scale: float = 1.0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(5, 3, 4, 6, generator=generator_for("curve"), dtype=torch.float64)
    return (values * scale).to(dtype)


def twin(gradient_TSBH: torch.Tensor) -> np.ndarray:
    """The definition, number by number: RMS over the batch of the norm of each sequence's gradient."""
    steps, lanes, batch, _ = gradient_TSBH.shape
    values = np.zeros((lanes, steps))
    for s in range(lanes):
        for t in range(steps):
            norms = [math.hypot(*gradient_TSBH[t, s, b].tolist()) for b in range(batch)]
            values[s, t] = math.hypot(*norms) / math.sqrt(batch)  # hypot neither under- nor overflows
    return values


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e-300, 1e200, 1e300])
def test_rms_norm_is_the_definition(scale: float) -> None:
    gradient = random(scale)
    found = rms_norm(gradient)
    assert found.dtype == np.float64
    # 24 squares and a root in float64
    np.testing.assert_allclose(found, twin(gradient), rtol=1e-14)
    assert (found > 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_float32_gradient_is_not_squared_in_float32(scale: float) -> None:
    gradient = random(scale, torch.float32)
    # the numbers are float32's own: from there on all is float64
    np.testing.assert_allclose(rms_norm(gradient), twin(gradient.double()), rtol=1e-14)


def test_a_timestep_of_zeros_and_one_of_small_numbers_stand_side_by_side() -> None:
    gradient = random()
    gradient[1] = 0
    gradient[2, 1] *= 1e-200
    found = rms_norm(gradient)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found, twin(gradient), rtol=1e-14)


def test_signs_do_not_cancel_over_the_batch() -> None:
    gradient = random()
    gradient[:, :, 1] = -gradient[:, :, 0]
    gradient = gradient[:, :, :2]
    expected = gradient[:, :, 0].norm(dim=2).T
    np.testing.assert_allclose(rms_norm(gradient), expected, rtol=1e-14)


def test_what_is_not_finite_stays_visible() -> None:
    gradient = random()
    gradient[0, 0, 0, 0], gradient[1, 1, 0, 0] = torch.inf, torch.nan
    found = rms_norm(gradient)
    assert found[0, 0] == np.inf
    assert np.isnan(found[1, 1])
    assert np.isfinite(found).sum() == found.size - 2


def curve(values: list[float], **given: object) -> Curve:
    return Curve("anchor", "lag", np.array([values]), **given)  # type: ignore[arg-type]


def test_log10_has_floors_for_what_has_no_logarithm() -> None:
    found = curve([1.0, 1e-200, 0.0, np.inf, np.nan, 1e300]).log10_SK[0]
    np.testing.assert_allclose(found, [0, -200, FLOOR, -FLOOR, -FLOOR, 300], atol=1e-12)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20))
def test_log10_is_always_finite(values: list[float]) -> None:
    found = curve(values).log10_SK
    assert np.isfinite(found).all()
    assert (np.abs(found) <= -FLOOR).all()


def test_names() -> None:
    assert curve([1.0], state="c", layer=0).name == "anchor_c_l0"
    assert Curve("loss", "timestep", np.zeros((1, 1))).name == "loss"
    assert Curve("total", "timestep", np.zeros((1, 1)), "h", 2).name == "total_h_l2"


def test_only_an_anchor_has_a_verdict() -> None:
    flat = np.ones((2, 60))
    flat[1] = 0.5 ** np.arange(60)
    for kind in ("loss", "anytime_loss", "total", "inputs"):
        with pytest.raises(ValueError, match=rf"kind 'anchor'.*{kind}"):
            Curve(kind, "timestep", flat).verdict()  # type: ignore[arg-type]
    anchor = Curve("anchor", "lag", flat, "h", 0)
    assert anchor.verdict().name == "healthy"
    assert anchor.verdict(lane=1).name == "vanishing"
    # the default lag is T - 1, and a lag beyond the curve reads what there is
    assert anchor.verdict(lane=1) == anchor.verdict(59, 1) == anchor.verdict(500, 1)
    assert anchor.verdict(12, 1).name == "too_short"
