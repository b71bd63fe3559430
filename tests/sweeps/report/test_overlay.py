"""Two configurations in one picture, theory's line, and the chart of a terminal, read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnnlab.theory import Theory
from sweeps.recording.arrays import Arrays
from sweeps.report.figure_parts import OVERFLOW, ZERO
from sweeps.report.figures import Side, curves, overlay, save
from sweeps.report.text_chart import TextLine, text_chart


def side(name: str = "a", steps: int = 40, per_lag: float = -0.1, **changes: Any) -> Side:
    values = np.broadcast_to(10.0 ** (per_lag * np.arange(steps)), (3, 2, steps)).copy()
    arrays: Arrays = {"updates": np.array([0.0, 1.0, 50.0]), "loss": np.full_like(values, 0.5), "anchor_h_l0": values}
    return replace(Side(name, f"rnn {name}", arrays, "h", 1, steps - 1), **changes)


def theory(per_lag: float, steps: int = 40) -> Theory:
    return Theory("mean field √χ₁ = 0.8 a step", per_lag * np.arange(steps, dtype=np.float64))


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts() if text.get_text().strip()]


def test_both_at_both_ends_with_lengths_named(tmp_path: Path) -> None:
    figure = overlay([side(theory=theory(-0.2)), side("b", steps=60, per_lag=0.05)])
    lags, _, decades = figure.axes
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in lags.lines[:4]]
    assert ends == pytest.approx([-3.4, -3.4, 2.7, 2.7])
    dashed = next(
        line for line in lags.lines if line.get_linestyle() == "--" and len(np.asarray(line.get_ydata())) == 40
    )
    assert float(np.asarray(dashed.get_ydata())[-1]) == pytest.approx(-6.8)
    assert lags.get_ylim()[0] < -6.8
    told = legend(figure)
    assert told[:2] == ["a: rnn a", "T = 40, K = 39, h; median of 2 replicates, band: their range"]
    assert told[2:5] == ["update 0", "update 50", "theory at update 0: mean field √χ₁ = 0.8 a step"]
    assert told[5] == "b: rnn b"
    assert told[6].startswith("T = 60, K = 59, h;")
    assert "each task's" in lags.get_xlabel()
    assert len(decades.lines) >= 3
    save(figure, tmp_path / "x.png")


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 0)])
def test_one_probe_or_none_that_lived(rows: slice, tmp_path: Path) -> None:
    odd = side("odd")
    arrays = {name: values[:1] for name, values in odd.arrays.items()}
    if rows.stop == 0:
        arrays = {
            name: values if name == "updates" else np.full_like(values, np.nan) for name, values in arrays.items()
        }
    save(overlay([side(), replace(odd, arrays=arrays)]), tmp_path / "x.png")


def test_odd_sides(tmp_path: Path) -> None:
    short = side("short", steps=3)
    wild = side("wild", per_lag=5.0)
    wild.arrays["anytime_loss"] = wild.arrays.pop("loss") * 1e200
    figure = overlay([short, wild])
    assert "of wild: readout" in figure.axes[1].get_title("left")
    save(figure, tmp_path / "x.png")


def test_a_line_of_theory_in_the_picture_of_one(tmp_path: Path) -> None:
    one = side()
    figure = curves(one.arrays, title="t", state="h", depth=1, lag=39, theory=theory(-0.3))
    anchor = figure.axes[2]
    assert anchor.get_ylim()[0] < -0.3 * 34
    assert legend(figure)[-1] == "theory at update 0: mean field √χ₁ = 0.8 a step"
    save(figure, tmp_path / "x.png")


def test_a_chart_has_each_line_where_its_values_are() -> None:
    lines = [TextLine("falls", "o", np.linspace(0, -10, 41)), TextLine("stays", "x", np.zeros(21))]
    drawn = text_chart(lines, x="lag", y="decades", rules=(0.0, -3.0), width=41, height=11).splitlines()
    assert drawn[0] == "decades"
    assert drawn[1] == "   +0.0 ┤" + "x" * 21 + "┈" * 20
    assert drawn[4].startswith("   -3.0 ┤┈┈")
    assert drawn[11].startswith("  -10.0 ┤")
    assert drawn[11].endswith("ooo")
    assert drawn[13].split() == ["0", "lag", "40"]
    assert [line.strip() for line in drawn[14:]] == ["o falls", "x stays"]


@pytest.mark.parametrize("value", [0.0, np.nan, ZERO, OVERFLOW, -450.0])
def test_a_chart_of_nothing_much(value: float) -> None:
    drawn = text_chart([TextLine("odd", "o", np.full(1, value))], x="lag", y="y", rules=(-3.0,))
    assert ("exact zeros" in drawn) == (value == ZERO)
