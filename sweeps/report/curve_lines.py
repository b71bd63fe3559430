"""Lines: one trial's loss, gradients and decades, for `rnnlab probe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from rnnlab.curve import LARGEST, Curve
from rnnlab.spec import VerdictSpec
from rnnlab.theory import Theory
from sweeps.recording.arrays import Arrays, charted_rows, complete, log10_of, measured
from sweeps.report.figure_parts import (
    SMALL,
    ZERO,
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
)

SHADES = tuple(colormaps["plasma"](place) for place in (0.78, 0.48, 0.05))
"""First, middle and last probed update, light to dark."""
Shades = Mapping[int, tuple[float, ...]]
"""Row of an archive -> colour of its lines."""
UNITS = {"cross_entropy": "nats", "binary": "nats", "mse": "mean squared error"}
"""A task's objective -> the unit of its loss."""
STYLES = (("-", "solid"), ("--", "dashed"), (":", "dotted"), ("-.", "dash-dot"))
"""Lines of the layers, from the top down; a network has at most four."""
LEAVING = "a line leaves its panel below at a 0 (of G1: below 1e-323 too), above where it explodes"
ABOVE = 6
"""Decades above the first probe's largest value where an axis of logs ends."""
D_ENDS = (-24.0, 12.0)
"""Where the axis of D ends, unless the first probe lies beyond, or below the last."""
WIDTHS = (3.4, 2.2, 1.4)
"""Lines of the first, the middle and the last probe: an earlier one stays visible beneath a later one."""
THEORY: dict[str, Any] = {"color": "#007a5a", "linestyle": (0, (5, 3)), "linewidth": 1.6}
"""How a line of theory is drawn."""
THIN = 12
"""Replicates up to which each has its own line in the panel of decades."""


def curves(
    arrays: Arrays,
    *,
    title: str,
    state: str,
    depth: int,
    lag: int,
    objective: str | None = None,
    theory: Theory | None = None,
) -> Figure:
    """One trial in four panels: loss and ||dL/dh_t||, ||dL/dx_t|| by timestep, G2 by lag, D by update.

    The first three show the first, the middle and the last probe, median and range over replicates. An exact
    0 falls off the lower edge, an explosion off the upper one.

    Args:
        arrays: curves of one trial.
        title: the configuration, as a person calls it.
        state: the state that the verdict reads, `h` or `c`.
        depth: layers; gradients are those of the top one, D is shown for each.
        lag: the task's K, steps.
        objective: the task's, for the unit of the loss; None: no unit.
        theory: what is expected of G2 at update 0; None: no line.
    """
    figure = new_figure(11.0, 8.4, title)
    panels = figure.subplots(2, 2)
    anchor = arrays.get(f"anchor_{state}_l{depth - 1}")
    if anchor is None or not len(arrays["updates"]):
        for axes in panels.flat:
            note(axes, "not measured")
        return figure
    rows = sorted(set(charted_rows(arrays) or ()))
    shades = dict(zip(rows, SHADES[-len(rows) :] if len(rows) < 3 else SHADES, strict=False))
    _loss(panels[0, 0], arrays, shades, objective)
    _gradients(panels[0, 1], arrays, shades, f"total_h_l{depth - 1}")
    _anchor(panels[1, 0], logs(arrays, f"anchor_{state}_l{depth - 1}"), shades, state, lag, theory)
    by_layer = [decades_of(arrays, f"anchor_{state}_l{layer}", lag) for layer in range(depth)]
    _decades(panels[1, 1], arrays["updates"], by_layer, state, lag, anchor.shape[2])
    names = labels(arrays["updates"], measured(anchor))
    told: list[Line2D | Patch] = [
        Line2D([], [], color=shade, linewidth=width, label=f"update {names[row]}")
        for (row, shade), width in zip(shades.items(), widths(len(shades)), strict=True)
    ]
    if anchor.shape[1] > 1:
        told.append(Patch(color="0.8", label=f"range over {anchor.shape[1]} replicates"))
    if theory is not None:
        told.append(Line2D([], [], label=f"theory at update 0: {theory.label}", **THEORY))
    if told:
        figure.legend(
            handles=told,
            title=f"{subject(depth, anchor.shape[1])}; {LEAVING}",
            loc="outside lower center",
            ncols=min(len(told), 5),
            fontsize=SMALL,
            title_fontsize=SMALL,
            frameon=False,
        )
    return figure


def _loss(axes: Axes, arrays: Arrays, shades: Shades, objective: str | None) -> None:
    name = "loss" if "loss" in arrays else "anytime_loss"
    unit = f" ({UNITS[objective]})" if objective in UNITS else ""
    title = "Loss at each timestep" if name == "loss" else "Anytime readout: loss at t, not trained at every t"
    dress(axes, title=title, x="timestep t", y=f"loss{unit}")
    if name not in arrays:
        note(axes, "not measured")
        return
    logs_USK, shown_USK = logs(arrays, name)[list(shades)], held(arrays[name])[list(shades)]
    ends = finite_range([logs_USK])
    if ends and ends[1] - ends[0] > 2:
        band(axes, logs_USK, shades)
        powers_of_ten(axes, ends, finite_range([logs_USK[:1]]))
    else:
        band(axes, shown_USK, shades)


def _gradients(axes: Axes, arrays: Arrays, shades: Shades, total: str) -> None:
    dress(
        axes,
        title="G1: ||dL/dh$_t$|| (solid) and ||dL/dx$_t$|| (dashed)",
        x="timestep t",
        y="norm (loss per unit of h or x)",
    )
    drawn = []
    for name, style in ((total, "-"), ("inputs", "--")):
        if name in arrays:
            drawn.append(logs(arrays, name)[list(shades)])
            band(axes, drawn[-1], shades, style)
    if not drawn:
        note(axes, "not measured")
    elif ends := finite_range(drawn):
        powers_of_ten(axes, ends, finite_range([logs_USK[:1] for logs_USK in drawn]))


def _anchor(axes: Axes, logs_USK: Array, shades: Shades, state: str, lag: int, theory: Theory | None) -> None:
    steps = logs_USK.shape[2]
    at = reference_lag(steps)
    shown_USK = relative(logs_USK)[list(shades)]
    dress(
        axes,
        title=f"G2: gradient of the last {state} at each lag",
        x=f"lag k (steps back from the end); dashed: the task's lag K = {lag}",
        y=f"decades relative to lag {at} (dotted: 10$^{{-3}}$)",
    )
    band(axes, shown_USK, shades)
    everything = [shown_USK]
    if theory is not None:
        everything.append(expected(theory, steps))
        axes.plot(everything[-1], **THEORY)
    frame_of_lags(axes, everything)
    if lag < steps:
        axes.axvline(lag, color="black", linestyle="--", linewidth=1)


def expected(theory: Theory, lags: int) -> Array:
    """Theory's decades relative to the lag that a curve of so many lags is shown relative to."""
    log10_K: Array = theory.log10_K[:lags] - theory.log10_K[reference_lag(lags)]
    return log10_K


def frame_of_lags(axes: Axes, shown: Sequence[Array]) -> None:
    """The ends of an axis of decades around all that is shown, and its lines at 0 and -3."""
    low, high = finite_range(shown) or (0.0, 0.0)
    low, high = min(low, -3.5), max(high, 0.5)
    axes.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    axes.axhline(-3, color="black", linestyle=":", linewidth=1.2)
    axes.axhline(0, color="0.75", linewidth=0.8, zorder=0)


def _decades(axes: Axes, updates_U: Array, by_layer: Sequence[Array], state: str, lag: int, steps: int) -> None:
    """D (U, S) of each layer; the top one is solid, with each replicate or their range behind it."""
    thresholds = VerdictSpec()
    limit, top = thresholds.decades, len(by_layer) - 1
    drawn = [f"{STYLES[top - layer][1]} layer {layer + 1}" for layer in reversed(range(top + 1))]
    layers = f"\n{', '.join(drawn)} (layer {top + 1} is the top)" if top else ""
    dress(
        axes,
        title=f"D of {state}: decades gained or lost from lag {thresholds.first_lag} to K = {lag}",
        x="update (log spacing; 0 is the untrained network)" + layers,
        y=f"D (decades); shaded: |D| < {limit:g}",
    )
    if min(lag + 1, steps) - thresholds.first_lag < thresholds.least_lags:
        note(axes, f"too short: fewer than {thresholds.least_lags} lags from lag {thresholds.first_lag} to K")
        return
    healthy_band(axes)
    for layer, d_US in enumerate(by_layer):
        rows = complete(~np.isnan(d_US))
        around = spread(d_US[rows][:, :, None])
        if layer == top and d_US.shape[1] <= THIN:
            for d_U in d_US.T:
                there = ~np.isnan(d_U)
                axes.plot(updates_U[there], d_U[there], color="0.6", linewidth=0.8, marker=".", markersize=3)
        elif layer == top:
            axes.fill_between(updates_U[rows], around.low_UK[:, 0], around.high_UK[:, 0], color="0.85")
        axes.plot(
            updates_U[rows],
            around.middle_UK[:, 0],
            color="black",
            linestyle=STYLES[top - layer][0],
            linewidth=2,
            marker="o" if layer == top else None,
            markersize=3.5,
        )
    frame_of_decades(axes, by_layer, float(updates_U[-1]))


def healthy_band(axes: Axes) -> None:
    """Behind all: the D that a verdict calls healthy, and 0."""
    limit = VerdictSpec().decades
    axes.axhspan(-limit, limit, color="#e8f3e8", zorder=0)
    axes.axhline(0, color="0.75", linewidth=0.8, zorder=0)


def frame_of_decades(axes: Axes, shown: Sequence[Array], last: float) -> None:
    """An axis of D (U, S) around all that is shown, and one of updates up to `last`; D between may leave."""
    limit = VerdictSpec().decades
    low, high = finite_range(shown) or (0.0, 0.0)
    first = finite_range([d_US[:1] for d_US in shown]) or (0.0, 0.0)
    ends = finite_range([d_US[[0, -1]] for d_US in shown]) or (0.0, 0.0)
    low, high = max(low, min(D_ENDS[0], ends[0])), min(high, max(D_ENDS[1], first[1]))
    low, high = min(low, -limit), max(high, limit)
    room = max(1.0, 0.05 * (high - low))
    axes.set_ylim(low - room, high + room)
    axes.set_xscale("symlog", linthresh=1)
    powers = [0.0, 1.0, *(10.0**power for power in range(1, 12) if 10.0**power <= last)]
    powers += [last] * (last >= 1.5 * powers[-1])
    axes.xaxis.set_major_locator(FixedLocator(powers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{int(value):,}"))
    axes.set_xlim(-0.15, max(last, 1) * 1.25)


def decades_of(arrays: Arrays, name: str, lag: int) -> Array:
    """D of a G2 curve, every replicate at every update, (U, S), as verdicts read it; NaN where it was not measured.

    `ZERO` where the norm at the task's lag is exactly 0: nothing came that far.
    """
    values_USK, log10_USK = arrays[name], log10_of(arrays, name)
    d_US = np.full(values_USK.shape[:2], np.nan)
    for row, lane in np.argwhere(measured(values_USK)):
        curve = Curve("anchor", "lag", values_USK[row], exact_log10_SK=log10_USK[row])
        lost = curve.zero_SK[lane, : lag + 1][-1]
        d_US[row, lane] = ZERO if lost else curve.verdict(lag, int(lane)).decades
    return d_US


def widths(probes: int) -> tuple[float, ...]:
    """Of the lines of so many probes, at most three."""
    return WIDTHS[len(WIDTHS) - probes :]


def held(values: Array) -> Array:
    """Losses, without those that overflowed."""
    return np.where(np.abs(values) < LARGEST, values, np.nan)


def band(axes: Axes, shown_USK: Array, shades: Shades, style: str = "-") -> None:
    """Median, and behind it the range over replicates, one shade a row."""
    around = spread(shown_USK)
    steps = np.arange(shown_USK.shape[2])
    marker = "o" if len(steps) == 1 else None
    for row, (shade, width) in enumerate(zip(shades.values(), widths(len(shades)), strict=True)):
        axes.fill_between(steps, around.low_UK[row], around.high_UK[row], color=shade, alpha=0.15, linewidth=0)
        axes.plot(steps, around.middle_UK[row], color=shade, linestyle=style, linewidth=width, marker=marker)
    axes.margins(x=0.02)


def powers_of_ten(axes: Axes, ends: tuple[float, float], first: tuple[float, float] | None) -> None:
    """An axis of logs that reads as powers of ten, around `ends`, little above the first probe's."""
    if first:
        ends = (ends[0], min(ends[1], first[1] + ABOVE))
    room = max(0.3, 0.05 * (ends[1] - ends[0]))
    axes.set_ylim(ends[0] - room, ends[1] + room)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$10^{{{value:g}}}$"))
