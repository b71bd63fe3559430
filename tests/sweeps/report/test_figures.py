"""What the figures show, read back from their axes; warnings are errors in every test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from rnnlab.curve import LARGEST, Curve
from sweeps.recording.arrays import Arrays, CurveArchive, complete
from sweeps.report import figures
from sweeps.report.curve_lines import decades_of
from sweeps.report.figure_parts import OVERFLOW, ZERO, logs, relative, spread, thinned, wrapped
from sweeps.report.figures import Panel, curves, heatmap, save, small_multiples
from sweeps.report.heatmaps import RED

UPDATES, LANES, STEPS = 4, 3, 40
ABOUT: dict[str, Any] = {"state": "h", "depth": 1, "lag": 39}


def falling(per_lag: float = -0.1) -> NDArray[np.float64]:
    """Norms 10^(per_lag k), the same in every replicate and at every update, (U, S, K)."""
    return np.broadcast_to(10.0 ** (per_lag * np.arange(STEPS)), (UPDATES, LANES, STEPS)).copy()


def archive(depth: int = 1, states: str = "h", per_lag: float = -0.1) -> Arrays:
    made: Arrays = {
        "updates": np.array([0.0, 1.0, 2.0, 1000.0]),
        "loss": np.full((UPDATES, LANES, STEPS), 0.7),
        "inputs": falling(per_lag)[:, :, ::-1] * 0.1,
    }
    for layer in range(depth):
        for state in states:
            made[f"total_{state}_l{layer}"] = falling(per_lag)[:, :, ::-1]
            made[f"anchor_{state}_l{layer}"] = falling(per_lag * (layer + 1))
    return made


def deep() -> Arrays:
    """G2 that falls by 10 decades a lag, to 1e-390: its values read 0 from lag 33 on. Three probes, two replicates."""
    kept = CurveArchive()
    exact_SK = np.tile(-10.0 * np.arange(STEPS), (2, 1))
    for update in (0, 1, 1000):
        kept.add(update, [Curve("anchor", "lag", 10**exact_SK, "h", 0, update, exact_log10_SK=exact_SK)])
    return kept.arrays


def panel(label: str = "tanh", score: float | None = -0.5, exploded: bool = False) -> Panel:
    return Panel(label, archive(), "h", 1, 39, "healthy", "vanishing", score, exploded)


def drawn(figure: Figure) -> list[Axes]:
    """The panels, without colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>" and axes.get_visible()]


def bars(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


def y_of(line: Line2D) -> NDArray[np.float64]:
    return np.asarray(line.get_ydata(), dtype=np.float64)


def image_of(axes: Axes) -> Any:
    (image,) = axes.images
    return np.ma.asarray(image.get_array())


def row_names(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


def hatched(axes: Axes) -> int:
    return sum(patch.get_hatch() is not None for patch in axes.patches)


def written(figure: Figure, folder: Path) -> tuple[int, int]:
    """Width and height of the PNG; drawing it is what would warn."""
    save(figure, folder / "figure.png")
    data = (folder / "figure.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


class TestNumbers:
    def test_logs_are_finite_but_for_NaN(self) -> None:
        found = logs({"x": np.array([1e-300, 0.0, np.inf, LARGEST, np.nan, 100.0])}, "x")
        np.testing.assert_allclose(found, [-300, ZERO, OVERFLOW, OVERFLOW, np.nan, 2])

    def test_logs_below_what_a_float_holds_are_read_where_they_are_kept(self) -> None:
        arrays = {"x": np.array([1e-300, 0.0, 0.0]), "x/log10": np.array([-300, -450, -np.inf])}
        np.testing.assert_allclose(logs(arrays, "x"), [-300, -450, ZERO])

    def test_relative_is_zero_at_lag_five_and_scale_free(self) -> None:
        curve = falling() * np.array([1.0, 1e-200, 1e100])[:, None]
        np.testing.assert_allclose(relative(np.log10(curve)), np.log10(falling()) + 0.5, atol=1e-9)

    def test_an_exact_zero_at_lag_five_compares_with_nothing(self) -> None:
        curve = {"x": np.array([[[1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]]])}
        assert relative(logs(curve, "x"))[0, 0].tolist() == [0, 0, *[ZERO] * 5]

    def test_a_curve_of_three_lags_is_relative_to_its_last(self) -> None:
        np.testing.assert_allclose(relative(np.array([[[2.0, 1.0, 0.0]]]))[0, 0], [2, 1, 0])

    def test_spread_ignores_NaN_as_numpy_does(self) -> None:
        values = np.random.default_rng(0).normal(size=(5, 6, 7))
        values[np.random.default_rng(1).random((5, 6, 7)) < 0.3] = np.nan
        values[:, 0] = 1.0  # numpy warns where all are NaN; ours need not
        found = spread(values)
        np.testing.assert_array_equal(found.middle_UK, np.nanmedian(values, axis=1))
        np.testing.assert_array_equal(found.low_UK, np.nanmin(values, axis=1))
        np.testing.assert_array_equal(found.high_UK, np.nanmax(values, axis=1))

    def test_spread_of_nothing_is_NaN(self) -> None:
        assert np.isnan(spread(np.full((2, 3, 4), np.nan)).middle_UK).all()

    def test_rows_of_the_dying_alone_are_not_complete(self) -> None:
        seen = np.array([[1, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]], dtype=bool)
        assert complete(seen) == [0, 2, 3]

    def test_decades_of_known_curves(self) -> None:
        curve = falling()[:1]
        curve[0, 1] = np.nan
        curve[0, 2, 1:] = 0
        # 35 lags from 5 to 39: medians of the first and last four, 31 lags apart
        np.testing.assert_allclose(decades_of({"x": curve}, "x", 39), [[-3.1, np.nan, ZERO]])

    def test_decades_below_what_a_float_holds(self) -> None:
        np.testing.assert_allclose(decades_of(deep(), "anchor_h_l0", 39), np.full((3, 2), -310))

    def test_thinned_keeps_the_ends(self) -> None:
        assert thinned(3, 6) == [0, 1, 2]
        assert thinned(101, 6) == [0, 20, 40, 60, 80, 100]

    def test_wrapped_keeps_to_its_lines(self) -> None:
        assert wrapped("a word and another word", 10, 2) == "a word and\nanother …"
        assert wrapped("", 10, 2) == ""


class TestHeatmap:
    def test_two_panels_with_names_units_and_the_fixed_scale(self, tmp_path: Path) -> None:
        figure = heatmap(archive(), title="tanh, default", **ABOUT)
        left, right = drawn(figure)
        assert (left.get_xlabel(), left.get_ylabel()) == ("timestep t", "update")
        assert right.get_xlabel().startswith("lag k (steps")
        assert "K = 39" in right.get_xlabel()
        assert right.images[0].get_clim() == (-6, 6)
        labels = [axes.get_ylabel() for axes in bars(figure)]
        assert labels[0] == "log10 ||dL/dh$_t$||"
        assert labels[1].startswith("decades relative to lag 5")
        assert figure.get_suptitle() == "tanh, default"
        assert written(figure, tmp_path) == (1430, 637)

    def test_values_and_update_zero_at_the_bottom(self) -> None:
        left, right = drawn(heatmap(archive(), title="t", **ABOUT))
        np.testing.assert_allclose(image_of(right)[0], 0.5 - 0.1 * np.arange(STEPS), atol=1e-12)
        np.testing.assert_allclose(image_of(left)[0], -0.1 * np.arange(STEPS)[::-1], atol=1e-12)
        assert row_names(right) == ["0", "1", "2", "1,000"]
        assert right.get_ylim() == (-0.5, 3.5)

    def test_the_scale_of_G2_never_changes(self) -> None:
        for per_lag in (-3.0, 0.0, 3.0):
            _, right = drawn(heatmap(archive(per_lag=per_lag), title="t", **ABOUT))
            assert right.images[0].get_clim() == (-6, 6)

    def test_one_exploding_row_does_not_take_the_scale_of_G1(self) -> None:
        arrays = archive()
        arrays["total_h_l0"][2] *= 1e200
        left, _ = drawn(heatmap(arrays, title="t", **ABOUT))
        assert left.images[0].get_clim() == (-4, 4)

    def test_the_top_layer_and_the_state_that_the_verdict_reads(self, tmp_path: Path) -> None:
        arrays = archive(depth=2, states="hc")
        figure = heatmap(arrays, title="t", state="c", depth=2, lag=39)
        _, right = drawn(figure)
        assert "last c" in right.get_title("left")
        np.testing.assert_allclose(image_of(right)[0], 1.0 - 0.2 * np.arange(STEPS), atol=1e-12)
        assert "top layer of 2, median of 3 replicates" in figure.get_supxlabel()
        written(figure, tmp_path)

    def test_rows_without_a_number_are_hatched_and_partial_rows_counted(self, tmp_path: Path) -> None:
        arrays = archive()
        for name in ("total_h_l0", "anchor_h_l0"):
            arrays[name][2, 1:] = np.nan
            arrays[name][3] = np.nan
        figure = heatmap(arrays, title="t", **ABOUT)
        for axes in drawn(figure):
            assert hatched(axes) == 1
            assert row_names(axes) == ["0", "1", "2 (1 of 3)", "1,000"]
        assert "hatched: no finite gradient" in figure.get_supxlabel()
        assert "(n of 3)" in figure.get_supxlabel()
        written(figure, tmp_path)

    def test_zeros_show_as_vanished(self, tmp_path: Path) -> None:
        arrays = archive()
        arrays["anchor_h_l0"][:, :, 1:] = 0
        arrays["total_h_l0"][:] = 0
        figure = heatmap(arrays, title="t", **ABOUT)
        assert (image_of(drawn(figure)[1])[:, 1:] < -6).all()
        written(figure, tmp_path)

    def test_norms_below_what_a_float_holds_are_drawn_where_they_are(self, tmp_path: Path) -> None:
        figure = heatmap(deep(), title="t", **ABOUT)
        np.testing.assert_allclose(image_of(drawn(figure)[1])[0], 50 - 10.0 * np.arange(STEPS))
        written(figure, tmp_path)

    def test_many_updates_have_few_labels(self, tmp_path: Path) -> None:
        arrays: Arrays = {"updates": np.arange(200.0)}
        for name in ("total_h_l0", "anchor_h_l0"):
            arrays[name] = np.ones((200, 1, STEPS))
        figure = heatmap(arrays, title="t", **ABOUT)
        assert len(row_names(drawn(figure)[1])) == 16
        assert "1 replicate" in figure.get_supxlabel()
        written(figure, tmp_path)

    def test_only_the_anchor_was_measured(self, tmp_path: Path) -> None:
        arrays = archive()
        del arrays["total_h_l0"]
        figure = heatmap(arrays, title="t", **ABOUT)
        left, right = drawn(figure)
        assert [text.get_text() for text in left.texts] == ["not measured"]
        assert len(right.images) == 1
        written(figure, tmp_path)


class TestCurves:
    def test_four_panels_with_names_and_units(self, tmp_path: Path) -> None:
        figure = curves(archive(), title="lstm", objective="binary", **ABOUT)
        loss, gradients, anchor, decades = drawn(figure)
        assert (loss.get_xlabel(), loss.get_ylabel()) == ("timestep t", "loss (nats)")
        assert (gradients.get_xlabel(), gradients.get_ylabel()) == ("timestep t", "norm (loss per unit of h or x)")
        assert anchor.get_ylabel().startswith("decades relative to lag 5")
        assert decades.get_xscale() == "symlog"
        assert decades.get_ylabel().startswith("D (decades)")
        assert written(figure, tmp_path) == (1430, 1092)

    def test_no_legend_lies_in_a_panel(self) -> None:
        figure = curves(archive(), title="t", **ABOUT)
        assert all(axes.get_legend() is None for axes in drawn(figure))
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [
            "update 0",
            "update 2",
            "update 1,000",
            "range over 3 replicates",
        ]

    def test_lines_hold_the_values(self) -> None:
        _, gradients, anchor, decades = drawn(curves(archive(), title="t", **ABOUT))
        np.testing.assert_allclose(y_of(anchor.lines[0]), 0.5 - 0.1 * np.arange(STEPS), atol=1e-12)
        solid, dashed = gradients.lines[0], gradients.lines[3]
        assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
        np.testing.assert_allclose(np.subtract(y_of(solid), y_of(dashed)), 1, atol=1e-12)
        median = decades.lines[-1]
        np.testing.assert_allclose(y_of(median), -3.1)
        np.testing.assert_array_equal(median.get_xdata(), [0, 1, 2, 1000])

    @pytest.mark.parametrize(
        ("objective", "label"),
        [(None, "loss"), ("mse", "loss (mean squared error)"), ("cross_entropy", "loss (nats)")],
    )
    def test_the_loss_has_its_unit(self, objective: str | None, label: str) -> None:
        assert drawn(curves(archive(), title="t", objective=objective, **ABOUT))[0].get_ylabel() == label

    def test_an_anytime_readout_says_so(self) -> None:
        arrays = archive()
        arrays["anytime_loss"] = arrays.pop("loss")
        assert "Anytime" in drawn(curves(arrays, title="t", **ABOUT))[0].get_title("left")

    def test_every_layer_has_its_decades(self, tmp_path: Path) -> None:
        figure = curves(archive(depth=2, states="hc"), title="t", state="c", depth=2, lag=39)
        axes = drawn(figure)[3]
        thick = [line for line in axes.lines if line.get_linewidth() == 2]
        assert [line.get_linestyle() for line in thick] == ["--", "-"]
        np.testing.assert_allclose(y_of(thick[0]), -3.1)
        np.testing.assert_allclose(y_of(thick[1]), -6.2)
        assert "solid layer 2, dashed layer 1" in axes.get_xlabel()
        written(figure, tmp_path)

    def test_many_replicates_are_a_band(self, tmp_path: Path) -> None:
        arrays = {name: np.repeat(a, 10, axis=1) if a.ndim == 3 else a for name, a in archive().items()}
        figure = curves(arrays, title="t", **ABOUT)
        assert len(drawn(figure)[3].lines) == 2  # zero and the median
        written(figure, tmp_path)

    def test_a_short_curve_has_no_decades(self, tmp_path: Path) -> None:
        figure = curves(archive(), title="t", state="h", depth=1, lag=10)
        assert "too short" in drawn(figure)[3].texts[0].get_text()
        written(figure, tmp_path)

    def test_an_explosion_does_not_flatten_the_rest(self, tmp_path: Path) -> None:
        arrays = archive()
        arrays["loss"][3] = 1e300
        arrays["total_h_l0"][3] = np.inf
        arrays["inputs"][3] *= 1e100
        arrays["anchor_h_l0"][3] = 10.0 ** (2 * np.arange(STEPS))
        figure = curves(arrays, title="t", **ABOUT)
        loss, gradients, _, decades = drawn(figure)
        assert loss.get_ylim()[1] < 8
        assert gradients.get_ylim()[1] < 8
        assert decades.get_ylim()[1] <= 14
        written(figure, tmp_path)

    def test_what_has_vanished_far_stays_in_the_panels(self, tmp_path: Path) -> None:
        figure = curves(deep(), title="t", **ABOUT)
        *_, anchor, decades = drawn(figure)
        for axes, expected in ((anchor, -340), (decades, -310)):
            lines = [y_of(line) for line in axes.lines if len(y_of(line)) in (STEPS, 3)]
            assert min(line.min() for line in lines) == pytest.approx(expected)
            assert expected - 40 < axes.get_ylim()[0] < expected
        written(figure, tmp_path)

    def test_an_exact_zero_leaves_the_panel_and_does_not_stretch_it(self, tmp_path: Path) -> None:
        arrays = archive()
        arrays["anchor_h_l0"][2, :, 20:] = 0
        figure = curves(arrays, title="t", **ABOUT)
        *_, anchor, decades = drawn(figure)
        assert min(y_of(line).min() for line in anchor.lines) == ZERO
        assert anchor.get_ylim()[0] > -6
        assert decades.get_ylim()[0] > -6
        written(figure, tmp_path)

    def test_the_last_update_is_named_on_the_axis(self) -> None:
        arrays = archive() | {"updates": np.array([0.0, 1.0, 2.0, 60.0])}
        axes = drawn(curves(arrays, title="t", **ABOUT))[3]
        assert axes.get_xticks().tolist() == [0, 1, 10, 60]

    def test_an_earlier_probe_is_visible_beneath_a_later_one(self) -> None:
        anchor = drawn(curves(archive(), title="t", **ABOUT))[2]
        first, middle, last = (line.get_linewidth() for line in anchor.lines[:3])
        assert first > middle > last


@pytest.mark.parametrize("draw", [heatmap, curves])
class TestOddArchives:
    def test_one_update_and_one_replicate(self, draw: Callable[..., Figure], tmp_path: Path) -> None:
        arrays = {name: values[:1] if values.ndim == 1 else values[:1, :1] for name, values in archive().items()}
        written(draw(arrays, title="t", **ABOUT), tmp_path)

    def test_every_replicate_diverged_from_the_start(self, draw: Callable[..., Figure], tmp_path: Path) -> None:
        arrays = {
            name: values if name == "updates" else np.full_like(values, np.nan) for name, values in archive().items()
        }
        written(draw(arrays, title="t", **ABOUT), tmp_path)

    def test_a_column_of_NaN_in_a_living_row(self, draw: Callable[..., Figure], tmp_path: Path) -> None:
        arrays = archive()
        arrays["anchor_h_l0"][3, :, 20:] = np.nan
        arrays["total_h_l0"][3, :, :20] = np.nan
        written(draw(arrays, title="t", **ABOUT), tmp_path)

    def test_all_zero(self, draw: Callable[..., Figure], tmp_path: Path) -> None:
        arrays = {name: values if name == "updates" else np.zeros_like(values) for name, values in archive().items()}
        written(draw(arrays, title="t", **ABOUT), tmp_path)

    def test_no_probe_at_all(self, draw: Callable[..., Figure], tmp_path: Path) -> None:
        figure = draw({"updates": np.array([])}, title="t", **ABOUT)
        assert all(axes.texts[0].get_text() == "not measured" for axes in drawn(figure))
        written(figure, tmp_path)

    def test_one_timestep(self, draw: Callable[..., Figure], tmp_path: Path) -> None:
        arrays = {name: values if values.ndim == 1 else values[:, :, :1] for name, values in archive().items()}
        written(draw(arrays, title="t", state="h", depth=1, lag=0), tmp_path)

    def test_a_title_is_text_and_not_mathematics(self, draw: Callable[..., Figure], tmp_path: Path) -> None:
        written(draw(archive(), title="cost $x_{ and " + 40 * "long " + "$", **ABOUT), tmp_path)


class TestSmallMultiples:
    def test_a_panel_says_verdicts_and_score(self) -> None:
        (axes,) = drawn(small_multiples([panel()], title="t"))
        assert axes.get_xlabel() == "healthy → vanishing\nscore −0.50"
        assert axes.get_title() == "tanh"
        assert axes.images[0].get_clim() == (-6, 6)

    def test_four_columns_one_colour_bar(self, tmp_path: Path) -> None:
        figure = small_multiples([panel(f"c{n}") for n in range(6)], title="t")
        assert len(drawn(figure)) == 6
        assert len(bars(figure)) == 1
        place = drawn(figure)[5].get_subplotspec()
        assert place is not None
        assert place.get_gridspec().get_geometry() == (2, 4)
        assert [axes.get_title() for axes in drawn(figure)] == [f"c{n}" for n in range(6)]
        width, _ = written(figure, tmp_path)
        assert 1200 <= width <= 1500

    def test_exploded_ones_have_a_red_frame(self) -> None:
        calm, wild = drawn(small_multiples([panel(), panel(exploded=True)], title="t"))
        assert wild.spines["left"].get_edgecolor()[:3] == pytest.approx(
            [int(RED[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        )
        assert calm.spines["left"].get_edgecolor()[:3] == (0, 0, 0)
        assert wild.get_xlabel().endswith("exploded")

    def test_of_more_than_24_the_best_and_the_worst(self) -> None:
        panels = [panel(f"c{n}", score=(n * 7 % 30) / 10) for n in range(30)]
        figure = small_multiples(panels, title="Sweep")
        assert figure.get_suptitle() == "Sweep (best 12 and worst 12 of 30 by score)"
        scores = [float(axes.get_xlabel().split("score ")[1]) for axes in drawn(figure)]
        assert scores == [n / 10 for n in [*range(12), *range(18, 30)]]

    def test_24_are_all_shown(self) -> None:
        assert len(drawn(small_multiples([panel()] * 24, title="t"))) == 24

    def test_odd_panels(self, tmp_path: Path) -> None:
        short = {name: values if values.ndim == 1 else values[:, :, :3] for name, values in archive().items()}
        dead = {**archive(), "anchor_h_l0": np.full((UPDATES, LANES, STEPS), np.nan)}
        panels = [
            panel("two words " * 20),
            replace(panel(), arrays=short, lag=2),
            replace(panel(score=None), arrays={"updates": np.array([])}),
            replace(panel(score=-0.001), arrays=dead),
            replace(panel("$a_b"), arrays=archive(2, "hc"), depth=2, state="c"),
        ]
        figure = small_multiples(panels, title="t")
        first, _, unmeasured, diverged, _ = drawn(figure)
        assert first.get_title().count("\n") == 1
        assert unmeasured.get_xlabel().endswith("score unknown")
        assert hatched(diverged) == UPDATES
        assert diverged.get_xlabel().endswith("score 0.00")
        written(figure, tmp_path)

    def test_no_panels(self, tmp_path: Path) -> None:
        figure = small_multiples([], title="t")
        assert "no configuration" in drawn(figure)[0].texts[0].get_text()
        written(figure, tmp_path)


class TestSave:
    def test_replaces_and_leaves_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "heatmap.png"
        path.write_text("old")
        save(heatmap(archive(), title="t", **ABOUT), path)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert 10_000 < path.stat().st_size < 500_000
        assert list(tmp_path.iterdir()) == [path]

    def test_others_may_read_it(self, tmp_path: Path) -> None:
        mask = os.umask(0o022)
        try:
            save(small_multiples([], title="t"), tmp_path / "a.png")
        finally:
            os.umask(mask)
        assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o644

    def test_a_failure_keeps_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_text("old")

        class Broken(Figure):
            def savefig(self, *args: object, **kwargs: object) -> None:
                raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            save(Broken(), path)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]


def test_public_names() -> None:
    assert figures.__all__ == ["DPI", "Panel", "Side", "curves", "heatmap", "overlay", "save", "small_multiples"]


def test_no_window_system_is_loaded() -> None:
    code = "import sys, sweeps.report.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
