"""Curves of a run as arrays: merged, saved, and summed up over replicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnnlab.curve import Curve
from sweeps.recording.arrays import CurveArchive, charted_rows, load_curves, over_replicates

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
