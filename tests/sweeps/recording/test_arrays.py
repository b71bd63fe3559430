"""Curves of a run as arrays: merged, saved, and summed up over replicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnnlab.curve import LARGEST, Curve
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.training.loop import Trainer
from rnnlab.written import validated
from sweeps.recording.arrays import CurveArchive, charted_rows, load_curves, log10_of, over_replicates

NAN = np.nan


def anchor(values: list[list[float]], update: int = 0, layer: int = 0) -> Curve:
    return Curve("anchor", "lag", np.array(values), "h", layer, update)


def test_updates_are_stacked_in_order_however_they_came() -> None:
    archive = CurveArchive()
    for update in (10, 0, 2):
        archive.add(update, [anchor([[update, 1], [update, 2]]), anchor([[5, 5], [update, 6]], layer=1)])
    arrays = archive.arrays
    assert list(arrays) == ["updates", "anchor_h_l0", "anchor_h_l1"]
    assert arrays["updates"].tolist() == [0, 2, 10]
    assert arrays["anchor_h_l0"].shape == (3, 2, 2)
    assert arrays["anchor_h_l0"][:, 0].tolist() == [[0, 1], [2, 1], [10, 1]]
    assert arrays["anchor_h_l1"][2].tolist() == [[5, 5], [10, 6]]


def test_nothing_yet_is_no_updates() -> None:
    assert list(CurveArchive().arrays) == ["updates"]
    assert CurveArchive().arrays["updates"].shape == (0,)


def test_a_second_probe_of_an_update_fills_what_is_missing_and_changes_nothing_else() -> None:
    archive = CurveArchive()
    archive.add(3, [anchor([[1, 2], [NAN, NAN]])])
    archive.add(3, [anchor([[9, 9], [3, 4]])])
    archive.add(3, [anchor([[NAN, NAN], [8, 8]])])
    assert archive.arrays["anchor_h_l0"].tolist() == [[[1, 2], [3, 4]]]


def test_a_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    archive = CurveArchive()
    archive.add(0, [anchor([[1e-300, 0], [NAN, 1e308]]), Curve("loss", "timestep", np.array([[0.5, 1], [2, 3.0]]))])
    archive.save(tmp_path / "curves.npz")
    again = load_curves(tmp_path / "curves.npz")
    assert list(again) == list(archive.arrays)
    for name, values in archive.arrays.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == np.float64


def sunk(log10: list[list[float]], update: int = 0) -> Curve:
    """A G2 curve as its probe gives it where norms fall below float64's range."""
    with np.errstate(over="ignore"):
        values_SK = np.power(10.0, log10)
    return Curve("anchor", "lag", np.where(np.isinf(values_SK), LARGEST, values_SK), "h", 0, update, np.array(log10))


def test_norms_below_what_a_float_holds_come_back_from_a_file_and_an_exact_zero_stays_one(tmp_path: Path) -> None:
    archive = CurveArchive()
    archive.add(0, [anchor([[1, 0.1, 0], [1, 1, LARGEST]])])
    archive.add(5, [sunk([[0, -200, -450], [0, -450, -np.inf]], 5)])
    archive.save(tmp_path / "curves.npz")
    again = load_curves(tmp_path / "curves.npz")
    assert list(again) == ["updates", "anchor_h_l0", "anchor_h_l0/log10"]
    assert again["anchor_h_l0"][1].tolist() == [[1, 1e-200, 0], [1, 0, 0]]
    expected = [[[0, -1, -np.inf], [0, 0, np.inf]], [[0, -200, -450], [0, -450, -np.inf]]]
    np.testing.assert_array_equal(log10_of(again, "anchor_h_l0"), expected)


def test_log10_of_a_file_that_keeps_values_alone() -> None:
    found = log10_of({"x": np.array([1e-300, 0, NAN, LARGEST, np.inf])}, "x")
    np.testing.assert_allclose(found, [-300, -np.inf, NAN, np.inf, np.inf])


@pytest.mark.parametrize("exact_first", [True, False])
def test_a_second_probe_fills_logarithms_too(exact_first: bool) -> None:
    archive = CurveArchive()
    dead = Curve("anchor", "lag", np.array([[0, 0], [NAN, NAN]]), "h", 0, 3, np.array([[-400.0, -450], [NAN, NAN]]))
    probes = [dead, anchor([[NAN, NAN], [3, 0]], 3)]
    for curve in probes if exact_first else probes[::-1]:
        archive.add(3, [curve])
    archive.add(3, [sunk([[-1, -1], [-1, -1]], 3)])  # changes nothing: all are there
    np.testing.assert_allclose(archive.arrays["anchor_h_l0"], [[[0, 0], [3, 0]]])
    expected = [[[-400, -450], [np.log10(3), -np.inf]]]
    np.testing.assert_allclose(log10_of(archive.arrays, "anchor_h_l0"), expected)


def test_a_replicate_whose_gradient_is_no_number_has_overflowed_and_is_not_unmeasured() -> None:
    archive = CurveArchive()
    exact = np.array([[0.0, -450.0], [0.0, NAN]])
    archive.add(0, [Curve("anchor", "lag", np.array([[1, 0], [1, LARGEST]]), "h", 0, 0, exact)])
    np.testing.assert_array_equal(log10_of(archive.arrays, "anchor_h_l0"), [[[0, -450], [0, np.inf]]])


def test_a_plain_network_over_2000_steps_keeps_its_gradient_in_a_file(tmp_path: Path) -> None:
    spec = {
        "task": {"kind": "adding", "length": 2000},
        "model": {"hidden": 8},
        "replicates": 1,
        "budget": {"updates": 1},
        "probe": {"batch": 2, "measure": ["anchor"]},
    }
    memory = MemoryRecorder()
    Trainer(validated(TrialSpec, spec), memory, stop=lambda: True).advance()
    (curve,) = memory.curves_seen
    archive = CurveArchive()
    archive.add(0, [curve])
    archive.save(tmp_path / "curves.npz")
    again = load_curves(tmp_path / "curves.npz")
    found_K = log10_of(again, "anchor_h_l0")[0, 0]
    np.testing.assert_array_equal(found_K, curve.log10_SK[0])
    assert again["anchor_h_l0"][0, 0, -1] == 0
    assert -1500 < found_K[-1] < -320
    # a straight line goes on where float64 ends
    assert found_K[-1] == pytest.approx(2 * found_K[1000], rel=0.1)


def test_the_median_is_over_the_replicates_that_were_alive() -> None:
    values = np.array([[[1, 2], [3, 4], [8, 9]], [[1, 2], [NAN, NAN], [5, 4]], [[NAN, NAN]] * 3])
    median = over_replicates({"x": values}, "x")
    np.testing.assert_array_equal(median, [[3, 4], [3, 3], [NAN, NAN]])


@pytest.mark.parametrize(
    ("seen", "rows"),
    [
        (["11", "11", "11", "11", "11"], (0, 2, 4)),
        (["11"], (0, 0, 0)),
        (["11", "10", "10"], (0, 1, 2)),  # the second died: its rows count while it lived
        (["11", "11", "01", "10", "10"], (0, 3, 4)),  # at row 2 the dying one alone was measured
        (["11", "01"], (0, 1, 1)),
        (["00"], None),
    ],
)
def test_charted_are_probes_at_which_every_living_replicate_was_measured(
    seen: list[str], rows: tuple[int, int, int] | None
) -> None:
    values = np.array([[[1.0 if mark == "1" else NAN] * 3 for mark in row] for row in seen])
    assert charted_rows({"loss": values * 0, "anchor_h_l0": values}) == rows
