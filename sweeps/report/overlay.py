"""Two configurations in one picture, for `rnnlab probe A.yaml --against B.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnnlab.spec import VerdictSpec
from rnnlab.theory import Theory
from sweeps.recording.arrays import Arrays, complete, measured
from sweeps.report.curve_lines import (
    THIN,
    UNITS,
    WIDTHS,
    decades_of,
    expected,
    frame_of_decades,
    frame_of_lags,
    healthy_band,
    held,
    powers_of_ten,
)
from sweeps.report.figure_parts import (
    MEDIUM,
    SMALL,
    Array,
    dress,
    finite_range,
    labels,
    logs,
    new_figure,
    note,
    reference_lag,
    relative,
    spread,
    subject,
    wrapped,
)

THEORY: dict[str, Any] = {"linestyle": (0, (5, 3)), "linewidth": 1.4}
"""How a line of theory is drawn, in the colour of its side."""
HUES = (("#9ecae9", "#1f5fa8"), ("#fdbe85", "#c64600"))
"""Colours of each configuration: at update 0, and at the last probe."""


@dataclass(frozen=True)
class Side:
    """One of the configurations: its name, its curves, what `curves` is told of it, and its task's name."""

    name: str
    label: str
    arrays: Arrays
    state: str
    depth: int
    lag: int
    objective: str | None = None
    theory: Theory | None = None
    task: str = ""

    @property
    def anchor(self) -> str:
        """The name of G2 of the top layer's state that the verdict reads."""
        return f"anchor_{self.state}_l{self.depth - 1}"

    @property
    def anchor_USK(self) -> Array:
        """Its values."""
        return self.arrays[self.anchor]

    @property
    def relative_USK(self) -> Array:
        """Its decades relative to lag 5."""
        return relative(logs(self.arrays, self.anchor))

    @property
    def ends(self) -> list[int]:
        """Rows of the first and the last probe at which every living replicate was measured."""
        rows = complete(measured(self.anchor_USK))
        return sorted({rows[0], rows[-1]}) if rows else []

    @property
    def steps(self) -> int:
        """T."""
        return int(self.anchor_USK.shape[2])


def overlay(sides: Sequence[Side]) -> Figure:
    """G2 by lag (large), loss by timestep, and D by update, each at the first and the last probe of both."""
    figure = new_figure(11.0, 7.2, " against ".join(side.name for side in sides))
    panels = figure.subplot_mosaic([["lags", "loss"], ["lags", "decades"]], width_ratios=[1.25, 1])
    _lags(panels["lags"], sides)
    _loss(panels["loss"], sides)
    _decades(panels["decades"], sides)
    columns = max(len(_handles(side, hues)) for side, hues in zip(sides, HUES, strict=True))
    told = []  # a legend fills column by column: a side a column, blanks below the shorter one
    for side, hues in zip(sides, HUES, strict=True):
        handles = _handles(side, hues)
        told += handles + [Line2D([], [], color="none", label=" ")] * (columns - len(handles))
    figure.legend(handles=told, loc="outside lower center", ncols=len(sides), fontsize=SMALL, frameon=False)
    return figure


def _handles(side: Side, hues: tuple[str, str]) -> list[Line2D]:
    """The legend of one side: what it is, its lines, its theory."""
    replicates = side.anchor_USK.shape[1]
    band = ", band: their range" if replicates > 1 else ""
    about = (
        wrapped(f"{side.name}: {side.label}", 60, 1),
        f"{side.task} T = {side.steps}, K = {side.lag}, {side.state}; {subject(side.depth, replicates)}{band}".lstrip(),
    )
    made = [Line2D([], [], color="none", label=text) for text in about]
    names = labels(side.arrays["updates"], measured(side.anchor_USK))
    for row, hue, width in zip(side.ends, _shades(side, hues), _widths(side), strict=True):
        made.append(Line2D([], [], color=hue, linewidth=width, label=f"update {names[row]}"))
    if side.theory is not None:
        label = f"theory at update 0: {side.theory.label}"
        made.append(Line2D([], [], label=label, color=hues[1], **THEORY))
    return made


def _shades(side: Side, hues: tuple[str, str]) -> tuple[str, ...]:
    return hues[2 - len(side.ends) :]


def _widths(side: Side) -> tuple[float, ...]:
    return (WIDTHS[0], WIDTHS[-1])[2 - len(side.ends) :]


def _lines(axes: Axes, shown_USK: Array, side: Side, hues: tuple[str, str]) -> None:
    """Median at the first and the last probe, and behind it the range over replicates."""
    around = spread(shown_USK)
    steps = np.arange(shown_USK.shape[2])
    marker = "o" if len(steps) == 1 else None
    for row, (hue, width) in enumerate(zip(_shades(side, hues), _widths(side), strict=True)):
        axes.fill_between(steps, around.low_UK[row], around.high_UK[row], color=hue, alpha=0.18, linewidth=0)
        axes.plot(steps, around.middle_UK[row], color=hue, linewidth=width, marker=marker)
    axes.margins(x=0.02)


def _lags(axes: Axes, sides: Sequence[Side]) -> None:
    at = sorted({reference_lag(side.steps) for side in sides})
    same = len({side.lag for side in sides}) == 1
    dress(
        axes,
        title="G2: gradient of the last state at each lag",
        x="lag k (steps back from the end); upright: " + ("the task's" if same else "each task's") + " lag K",
        y=f"decades relative to lag {' and '.join(map(str, at))} (dotted: 10$^{{-3}}$)",
    )
    everything = []
    for side, hues in zip(sides, HUES, strict=True):
        everything.append(side.relative_USK[side.ends])
        _lines(axes, everything[-1], side, hues)
    for side, hues in zip(sides, HUES, strict=True):
        if side.theory is not None:
            everything.append(expected(side.theory, side.steps))
            axes.plot(everything[-1], color=hues[1], **THEORY)
        axes.axvline(side.lag, color="0.5" if same else hues[1], linewidth=0.9, zorder=0)
    frame_of_lags(axes, everything)


def _loss(axes: Axes, sides: Sequence[Side]) -> None:
    units = list(dict.fromkeys(UNITS.get(side.objective or "", "") for side in sides))
    dress(
        axes, title="Loss at each timestep", x="timestep t", y="loss" + (f" ({'; '.join(units)})" if any(units) else "")
    )
    shown, in_logs = [], []
    anytime = []
    for side in sides:
        name = "loss" if "loss" in side.arrays else "anytime_loss"
        if name != "loss":
            anytime.append(side.name)
        of_side = {name: side.arrays.get(name, np.full_like(side.anchor_USK, np.nan))}
        shown.append(held(of_side[name])[side.ends])
        in_logs.append(logs(of_side, name)[side.ends])
    if anytime:
        which = "both" if len(anytime) == len(sides) else anytime[0]
        axes.set_title(f"Loss at each t (of {which}: readout, not trained at every t)", fontsize=MEDIUM, loc="left")
    ends = finite_range(in_logs)
    if ends is None:
        note(axes, "not measured")
        return
    decades = ends[1] - ends[0] > 2
    for side, hues, values in zip(sides, HUES, in_logs if decades else shown, strict=True):
        _lines(axes, values, side, hues)
    if decades:
        powers_of_ten(axes, ends, finite_range([values[:1] for values in in_logs]))


def _decades(axes: Axes, sides: Sequence[Side]) -> None:
    thresholds = VerdictSpec()
    dress(
        axes,
        title=f"D: decades gained or lost from lag {thresholds.first_lag} to K",
        x="update (log spacing; 0 is the untrained network)",
        y=f"D (decades); shaded: |D| < {thresholds.decades:g}",
    )
    everything: list[Array] = []
    for side, (_, hue) in zip(sides, HUES, strict=True):
        if min(side.lag + 1, side.steps) - thresholds.first_lag < thresholds.least_lags:
            continue
        updates_U, d_US = side.arrays["updates"], decades_of(side.arrays, side.anchor, side.lag)
        if not everything:
            healthy_band(axes)
        everything.append(d_US)
        if 1 < d_US.shape[1] <= THIN:
            axes.plot(updates_U, d_US, color=hue, linewidth=0.7, alpha=0.4)
        rows = complete(~np.isnan(d_US))
        middle_U = spread(d_US[rows][:, :, None]).middle_UK[:, 0]
        axes.plot(updates_U[rows], middle_U, color=hue, linewidth=2, marker="o", markersize=3.5)
    if not everything:
        note(axes, f"too short: fewer than {thresholds.least_lags} lags from lag {thresholds.first_lag} to K")
        return
    frame_of_decades(axes, everything, max(float(side.arrays["updates"][-1]) for side in sides))
