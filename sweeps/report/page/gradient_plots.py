"""Plots of curves: gradients by lag, gradients by update, and loss by timestep."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from rnnlab.spec import VerdictSpec
from sweeps.report.curve_lines import ABOVE, D_ENDS, UNITS
from sweeps.report.figure_parts import Array, finite_range, reference_lag
from sweeps.report.page.curves import ArmCurves, Ends, Map
from sweeps.report.page.plots import (
    BLUE,
    BLUE_BAND,
    GREEN,
    ORANGE,
    ORANGE_BAND,
    Figure,
    axis,
    band,
    layout,
    line,
    rounded,
    rule,
    significant,
)
from sweeps.report.page.subject import Subject
from sweeps.report.page.words import counted, names_of

RED_BLUE = [
    [0.0, "#2166ac"], [0.25, "#67a9cf"], [0.5, "#f7f7f7"], [0.75, "#ef8a62"], [1.0, "#b2182b"],
]  # fmt: skip
"""Blue vanished, white kept, red exploded; colour-blind people can read it."""
SCALE = 6.0
"""Decades at the ends of the colours of G2, the same in every picture."""
SHOWN = 12
"""Decades that a heatmap of G1 tells apart."""


def gradient_curves(subject: Subject, curves: Sequence[ArmCurves]) -> list[Figure]:
    """G2 by lag, a panel an arm, all with the same axis of decades."""
    shown = [_all(one.anchor) for one in curves] + [one.theory_K for one in curves if one.theory_K is not None]
    ends = _frame(shown)
    names = names_of(subject.analysis)
    return [_gradients(subject, one, names[one.place], ends) for one in curves]


def _gradients(subject: Subject, one: ArmCurves, name: str, ends: tuple[float, float]) -> Figure:
    at, lag = one.anchor.at_K, subject.data.lag
    data = _both(one.anchor, rounded)
    if one.theory_K is not None:
        data.append(line(at, rounded(one.theory_K), GREEN, f"theory: {one.theory}", dash="dash", width=2))
    reference = reference_lag(at[-1] + 1)
    limit = VerdictSpec().decades
    shapes = [rule(y=-limit), *([rule(x=lag, dash="dash")] if lag <= at[-1] else [])]
    plot = {
        "data": data,
        "layout": layout(
            axis("lag k (timesteps back)"),
            axis(f"decades vs lag {reference}", range=list(ends)),
            230,
            shapes=shapes,
        ),
    }
    told = [*subject.marks(one.place)]
    note = f"{one.state} of the top layer of {one.depth}" if one.depth > 1 else f"{one.state}"
    note += f"; {counted(one.replicates, 'replicate')} of {counted(one.trials, 'trial')}" + (
        f" (of {one.of})" if one.trials < one.of else ""
    )
    note += f"; last probe at update {_span(one.last)}"
    return Figure(f"gradients-{one.place}", name, plot, "; ".join([*told, note]))


def heatmaps(subject: Subject, curves: Sequence[ArmCurves]) -> list[tuple[Figure, Figure | None]]:
    """G2 by lag and G1 by timestep over updates, of each arm."""
    names = names_of(subject.analysis)
    return [(_anchor_map(one, names[one.place], subject.data.lag), _total_map(one, names[one.place])) for one in curves]


def _anchor_map(one: ArmCurves, name: str, lag: int) -> Figure:
    reference = reference_lag(one.anchor_map.at_K[-1] + 1)
    bar = {
        "title": {"text": f"decades<br>rel. to<br>lag {reference}"},
        "tickvals": [-SCALE, -SCALE / 2, 0, SCALE / 2, SCALE],
        "ticktext": ["≤ −6", "−3", "0", "+3", "≥ +6"],
        "thickness": 12,
    }
    trace = {**_map(one.anchor_map), "colorscale": RED_BLUE, "zmin": -SCALE, "zmax": SCALE, "colorbar": bar}
    trace["hovertemplate"] = "lag %{x}, update %{y}: %{z} decades<extra></extra>"
    dashed = {"color": "#222222", "width": 1, "dash": "dash"}  # the colours beneath are light on any screen
    shapes = [{**rule(x=lag), "layer": "above", "line": dashed}] if lag <= one.anchor_map.at_K[-1] else []
    plot = {"data": [trace], "layout": layout(axis("lag k (timesteps back)"), _updates_axis(), 340, shapes=shapes)}
    return Figure(f"lags-{one.place}", f"Gradient of the last {one.state} by lag (G2): {name}", plot)


def _total_map(one: ArmCurves, name: str) -> Figure | None:
    if one.total_map is None:
        return None
    values_UK = one.total_map.values_UK
    low, high = finite_range([values_UK]) or (-1.0, 0.0)
    first = finite_range([values_UK[:1]])
    high = float(np.ceil(min(high, first[1] + 4) if first else high))  # one exploding row does not take the scale over
    low = float(np.floor(max(low, high - SHOWN)))
    bar = {"title": {"text": "log10<br>‖dL/dh‖"}, "thickness": 12}
    trace = {**_map(one.total_map), "colorscale": "Cividis", "zmin": low, "zmax": max(high, low + 1), "colorbar": bar}
    trace["hovertemplate"] = "timestep %{x}, update %{y}: 10^%{z}<extra></extra>"
    plot = {"data": [trace], "layout": layout(axis("timestep t"), _updates_axis(), 340)}
    return Figure(f"steps-{one.place}", f"Gradient of the loss by timestep (G1): {name}", plot)


def _map(one: Map) -> dict[str, object]:
    return {
        "type": "heatmap",
        "x": one.at_K,
        "y": [f"{update:,}" for update in one.updates_U],
        "z": [rounded(row) for row in one.values_UK],
        "hoverongaps": False,
    }


def _updates_axis() -> dict[str, object]:
    return axis("update", type="category", nticks=10)


def losses(subject: Subject, curves: Sequence[ArmCurves], objective: str | None) -> list[Figure]:
    """Loss by timestep, a panel an arm, all with the same axis."""
    known = [(one, one.loss) for one in curves if one.loss is not None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = finite_range([np.log10(_all(loss)) for _, loss in known]) if known else None
    logarithmic = ends is not None and ends[1] - ends[0] > 2
    unit = UNITS.get(objective or "", "")
    names = names_of(subject.analysis)
    found = []
    for one, loss in known:
        title = f"loss ({unit})" if unit else "loss"
        if logarithmic and ends:
            # an exploded loss spans hundreds of decades: a tick for each would be a black bar
            every = math.ceil((ends[1] - ends[0]) / 6)
            frame = {"type": "log", "range": [ends[0] - 0.2, ends[1] + 0.2], "dtick": every, "exponentformat": "power"}
        else:
            top = max(np.nanmax(np.where(np.isfinite(_all(other)), _all(other), 0)) for _, other in known)
            frame = {"range": [0, float(f"{top * 1.05:.3g}")]}
        data = _both(loss, significant)
        plot = {"data": data, "layout": layout(axis("timestep t"), axis(title, **frame), 230)}
        about = "" if one.trained_everywhere else "readout at t, not trained at every t"
        told = "; ".join([*subject.marks(one.place), *([about] if about else [])])
        found.append(Figure(f"loss-{one.place}", names[one.place], plot, told))
    return found


def _both(ends: Ends, as_numbers: Callable[[Array], list[float | None]]) -> list[dict[str, object]]:
    """Band and median at initialisation and at the last probe."""
    data: list[dict[str, object]] = []
    for one, shade in ((ends.first, BLUE_BAND), (ends.last, ORANGE_BAND)):
        data += band(ends.at_K, as_numbers(one.low_K), as_numbers(one.high_K), shade)
    for one, colour, name in ((ends.first, BLUE, "at initialisation"), (ends.last, ORANGE, "at the last probe")):
        data.append(line(ends.at_K, as_numbers(one.middle_K), colour, name))
    return data


def _all(ends: Ends) -> Array:
    return np.concatenate([one for half in (ends.first, ends.last) for one in (half.low_K, half.middle_K, half.high_K)])


def _frame(shown: Sequence[Array]) -> tuple[float, float]:
    """Around all that is shown, at most `D_ENDS` or a little beyond what theory and the first probes need."""
    low, high = (finite_range(shown) if shown else None) or (0.0, 0.0)
    limit = VerdictSpec().decades
    low, high = min(-limit, max(low, D_ENDS[0])), max(limit / 2, min(high, ABOVE * 2.0))
    room = 0.04 * (high - low)
    return (round(low - room, 2), round(high + room, 2))


def _span(ends: tuple[int, int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"
