"""Heatmaps: gradient norms by timestep or lag (x) over probed updates (y, 0 at the bottom)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from sweeps.recording.arrays import Arrays, complete, measured
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
    thinned,
    wrapped,
)

DECADES = Normalize(-6, 6)
"""The colour scale of G2, the same in every picture: blue vanished, white kept, red exploded."""
DIVERGING, SEQUENTIAL = "RdBu_r", "cividis"
"""Colour maps that colour-blind people can read."""
SHOWN = 12
"""Decades that a G1 heatmap tells apart."""
ROOM = 4
"""Decades above the untrained network's largest norm, beyond which a G1 heatmap shows one colour."""
COLUMNS, BEST, WORST = 4, 12, 12
"""Panels in a row; how many are shown of a sweep with more than `BEST + WORST`."""
PLACES = ((0.1, 0.16, 0.3, 0.66), (0.41, 0.16, 0.01, 0.66), (0.57, 0.16, 0.3, 0.66), (0.88, 0.16, 0.01, 0.66))
"""Left, bottom, width and height of a trial's two panels, each before its scale. Fixed: to find a layout takes as long
as to draw, and a sweep has one such picture a trial."""
RED, HATCHED = "#c1121f", "0.55"
DIVERGED = "no finite gradient"


@dataclass(frozen=True, eq=False)
class Panel:
    """One configuration in `small_multiples`.

    Args:
        label: what it is, in a few words.
        arrays: its curves, as `load_curves` gives them.
        state: the state that its verdict reads, `h` or `c`.
        depth: layers; the top one is drawn.
        lag: the task's K, steps.
        verdict_init, verdict: at update 0 and at the last probe.
        score: log10(validation loss / baseline), lower is better; None: unknown.
        exploded: whether a replicate did.
    """

    label: str
    arrays: Arrays
    state: str
    depth: int
    lag: int
    verdict_init: str
    verdict: str
    score: float | None
    exploded: bool = False


def heatmap(arrays: Arrays, *, title: str, state: str, depth: int, lag: int) -> Figure:
    """One trial: G1 by timestep and G2 by lag over all probed updates, medians over replicates.

    G1 is absolute, log10 ||dL/dh_t||; G2 is in decades relative to lag 5 on a scale that never changes, so
    that pictures of different runs compare. A triangle and a dashed line mark the task's lag. Rows with no
    number are hatched; rows at which only some replicates were measured say how many.

    Args:
        arrays: curves of one trial.
        title: the configuration, as a person calls it.
        state: the state that the verdict reads, `h` or `c`.
        depth: layers; the top one is drawn.
        lag: the task's K, steps.
    """
    figure = new_figure(11.0, 4.9, title, placed=True)
    left, right = (figure.add_axes(place) for place in PLACES[::2])
    left_bar, right_bar = (figure.add_axes(place, label="<colorbar>") for place in PLACES[1::2])
    of_total, of_anchor = f"total_h_l{depth - 1}", f"anchor_{state}_l{depth - 1}"
    total, anchor = arrays.get(of_total), arrays.get(of_anchor)
    rows = len(arrays["updates"])
    dress(left, title="G1: total gradient dL/dh at each timestep", x="timestep t", y="update")
    dress(right, title=_anchor_title(state), x=f"lag k (steps back from the end); ▼ the task's lag K = {lag}")
    empty = False
    if total is None or not rows:
        left_bar.set_visible(False)
        note(left, "not measured")
    else:
        shown_UK = spread(logs(arrays, of_total)).middle_UK
        image = _paint(left, shown_UK, SEQUENTIAL, _sequential(shown_UK, complete(measured(total))))
        _rows(left, labels(arrays["updates"], measured(total)), most=16)
        bar = figure.colorbar(image, cax=left_bar, extend="both")
        bar.set_label(r"log10 ||dL/dh$_t$||", fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)
        empty |= bool(np.isnan(shown_UK).all(axis=1).any())
    if anchor is None or not rows:
        right_bar.set_visible(False)
        note(right, "not measured")
    else:
        shown_UK = spread(relative(logs(arrays, of_anchor))).middle_UK
        image = _paint(right, shown_UK, DIVERGING, DECADES)
        _rows(right, labels(arrays["updates"], measured(anchor)), most=16)
        _mark(right, lag, shown_UK.shape[1])
        _decades_bar(figure, image, reference_lag(shown_UK.shape[1]), cax=right_bar)
        empty |= bool(np.isnan(shown_UK).all(axis=1).any())
    some = next((curves for curves in (anchor, total) if curves is not None), None)
    told = [subject(depth, some.shape[1])] if some is not None and rows else []
    if some is not None and (measured(some).sum(axis=1) % some.shape[1]).any():
        told.append(f"(n of {some.shape[1]}): the others had diverged or were not probed")
    told += [f"hatched: {DIVERGED}"] * empty
    figure.supxlabel("; ".join(told), fontsize=SMALL, color="0.3", y=0.02)
    return figure


def small_multiples(panels: Sequence[Panel], *, title: str) -> Figure:
    """A whole sweep: one G2 heatmap a configuration on one colour scale, its verdicts and score below it.

    Panels keep their order. More than 24: the best and the worst 12 by score, best first; the title says so.
    Exploded ones have a red frame.
    """
    chosen = list(panels)
    if len(chosen) > BEST + WORST:
        by_score = sorted(chosen, key=lambda panel: np.inf if panel.score is None else panel.score)
        title = f"{title} (best {BEST} and worst {WORST} of {len(chosen)} by score)"
        chosen = by_score[:BEST] + by_score[-WORST:]
    columns = max(1, min(COLUMNS, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    width, height = 1.8 + 2.3 * columns, 1.1 + 2.45 * rows
    figure = new_figure(width, height, title)
    if not chosen:
        note(figure.subplots(), "no configuration has curves yet")
        return figure
    grid = [*figure.subplots(rows, columns, squeeze=False).flat]
    for axes, panel in zip(grid, chosen, strict=False):
        _small(axes, panel)
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    beside = {"ax": grid, "pad": 0.02, "aspect": 30, "shrink": min(1.0, 6 / height), "anchor": (0.0, 1.0)}
    _decades_bar(figure, ScalarMappable(DECADES, DIVERGING), _shared_reference(chosen), **beside)
    figure.supxlabel("lag k (steps back from the end); ▼ the task's lag", fontsize=MEDIUM)
    figure.supylabel("update", fontsize=MEDIUM)
    return figure


def _small(axes: Axes, panel: Panel) -> None:
    dress(axes)
    axes.set_title(wrapped(panel.label, 34, 2), fontsize=8.5, pad=8, parse_math=False)
    score = "unknown" if panel.score is None else f"{round(panel.score, 2) + 0.0:.2f}"  # no "-0.00"
    told = f"{panel.verdict_init} → {panel.verdict}".replace("_", " ")
    told += f"\nscore {score}".replace("-", "−")
    colour = "black"
    if panel.exploded:
        told, colour = f"{told}, exploded", RED
        for side in axes.spines.values():
            side.set(color=RED, linewidth=2.5)
    axes.set_xlabel(told, fontsize=SMALL, color=colour)
    axes.tick_params(labelsize=8)
    name = f"anchor_{panel.state}_l{panel.depth - 1}"
    if name not in panel.arrays or not len(panel.arrays["updates"]):
        note(axes, "not measured")
        return
    shown_UK = spread(relative(logs(panel.arrays, name))).middle_UK
    _paint(axes, shown_UK, DIVERGING, DECADES)
    _rows(axes, [f"{int(update):,}" for update in panel.arrays["updates"]], most=6)
    _mark(axes, panel.lag, shown_UK.shape[1])


def _anchor_title(state: str) -> str:
    return f"G2: gradient of the last {state} at each lag"


def _shared_reference(panels: Sequence[Panel]) -> int:
    shapes = [panel.arrays.get(f"anchor_{panel.state}_l{panel.depth - 1}") for panel in panels]
    return max((reference_lag(curves.shape[2]) for curves in shapes if curves is not None), default=5)


def _sequential(shown_UK: Array, rows: list[int]) -> Normalize:
    """A scale that one exploding row does not take over."""
    low, high = finite_range([shown_UK[rows]]) or (-1.0, 0.0)
    first = finite_range([shown_UK[rows[:1]]])
    high = min(high, first[1] + ROOM) if first else high
    low, high = np.floor(max(low, high - SHOWN)), np.ceil(high)
    return Normalize(low, max(high, low + 1))


def _paint(axes: Axes, shown_UK: Array, colours: str, scale: Normalize) -> AxesImage:
    """Equal rows, update 0 at the bottom; rows without a number are hatched."""
    rows, columns = shown_UK.shape
    image = axes.imshow(
        np.ma.masked_invalid(shown_UK),
        cmap=colours,
        norm=scale,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, columns - 0.5, -0.5, rows - 0.5),
    )
    axes.set_facecolor("0.88")
    for row in np.flatnonzero(np.isnan(shown_UK).all(axis=1)):
        axes.axhspan(row - 0.5, row + 0.5, facecolor="0.88", edgecolor=HATCHED, hatch="////", linewidth=0)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
    return image


def _rows(axes: Axes, names: Sequence[str], *, most: int) -> None:
    """Every row's name, or evenly some."""
    places = thinned(len(names), most)
    axes.set_yticks(places, [names[place] for place in places])


def _mark(axes: Axes, lag: int, lags: int) -> None:
    """The task's lag: a dashed line and a triangle on the frame."""
    if lag < lags:
        axes.axvline(lag, color="black", linestyle=(0, (3, 3)), linewidth=1)
        axes.plot([lag], [1.0], "kv", markersize=7, transform=axes.get_xaxis_transform(), clip_on=False, zorder=5)


def _decades_bar(figure: Figure, image: AxesImage | ScalarMappable, reference: int, **place: Any) -> None:
    """The scale of G2; `place`: as of `Figure.colorbar`."""
    bar = figure.colorbar(image, extend="both", ticks=[-6, -3, 0, 3, 6], **place)
    bar.ax.set_yticklabels(["−6", "−3", "0: kept", "+3", "+6"])
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label(f"decades relative to lag {reference}\n(blue vanished, red exploded)", fontsize=SMALL)
