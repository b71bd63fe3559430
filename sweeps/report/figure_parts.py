"""What every figure shares: numbers in decades, spread over replicates, text, and an empty figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rnnlab.spec import VerdictSpec
from sweeps.recording.arrays import log10_of

Array = NDArray[np.float64]
ZERO, OVERFLOW = -1e6, 1e6
"""Decades at which an exact 0 and an overflow are drawn: out of every panel."""
BEYOND = 1e5
"""Decades that no norm of a curve has: an exact 0, an overflow, or the median of one and a number."""
FIRST_LAG = VerdictSpec().first_lag
"""The lag that G2 is shown relative to."""
SMALL, MEDIUM, LARGE = 9.0, 10.5, 12.5
"""Font sizes, points."""


@dataclass(frozen=True)
class Spread:
    """Smallest, median and largest over the replicates that were measured, each (U, K); NaN: none was."""

    low_UK: Array
    middle_UK: Array
    high_UK: Array


def logs(arrays: Mapping[str, Array], name: str) -> Array:
    """log10 of a curve's norms as exact as they are kept: `ZERO` for 0, `OVERFLOW` for overflow, NaN stays NaN."""
    return np.clip(log10_of(arrays, name), ZERO, OVERFLOW)


def reference_lag(lags: int) -> int:
    """The lag that a curve of so many lags is shown relative to: `FIRST_LAG`, or the last of fewer."""
    return min(FIRST_LAG, lags - 1)


def relative(logs_USK: Array) -> Array:
    """Decades relative to the replicate's own norm at lag 5, (U, S, K), of what `logs` gives.

    An exact 0 stays `ZERO`, overflow `OVERFLOW`.
    Where lag 5 itself is an exact 0 or overflow, the other lags have nothing to be compared with and show 0.
    """
    at = reference_lag(logs_USK.shape[2])
    at_US1 = logs_USK[:, :, at : at + 1]
    ratio_USK = np.where(np.abs(at_US1) >= OVERFLOW, 0.0, logs_USK - at_US1)
    return np.where(np.isnan(logs_USK) | (np.abs(logs_USK) >= OVERFLOW), logs_USK, ratio_USK)


def spread(values_USK: Array) -> Spread:
    """Over replicates; needs no number to be there, and warns of nothing."""
    ordered_USK = np.sort(values_USK, axis=1)  # NaN comes last
    count_UK: NDArray[np.int_] = np.sum(~np.isnan(values_USK), axis=1)

    def pick(place_UK: NDArray[np.int_]) -> Array:
        picked: Array = np.take_along_axis(ordered_USK, np.maximum(place_UK, 0)[:, None], axis=1)[:, 0]
        return picked

    middle_UK = (pick((count_UK - 1) // 2) + pick(count_UK // 2)) / 2
    return Spread(ordered_USK[:, 0], middle_UK, pick(count_UK - 1))


def labels(updates_U: Array, seen_US: NDArray[np.bool_]) -> list[str]:
    """Names of rows: the update, and `31 (1 of 5)` where not all replicates were measured."""
    replicates = seen_US.shape[1]
    return [
        f"{int(update):,}" + (f" ({count} of {replicates})" if 0 < count < replicates else "")
        for update, count in zip(updates_U, seen_US.sum(axis=1), strict=True)
    ]


def thinned(count: int, most: int) -> list[int]:
    """At most `most` of `count` places, evenly spaced, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})


def wrapped(text: str, width: int, lines: int) -> str:
    """Text broken into at most so many lines; what does not fit ends in an ellipsis."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …")) or text


def new_figure(width: float, height: float, title: str, *, placed: bool = False) -> Figure:
    """An empty figure of so many inches that no global state knows of; `placed`: whoever fills it says where all is."""
    figure = Figure(figsize=(width, height), layout=None if placed else "constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(wrapped(title, int(width * 10), 2), fontsize=LARGE, fontweight="bold", parse_math=False)
    return figure


def subject(depth: int, replicates: int) -> str:
    """Which layer, and of how many replicates: `top layer of 2, median of 5 replicates`."""
    layer = f"top layer of {depth}, " if depth > 1 else ""
    return layer + (f"median of {replicates} replicates" if replicates > 1 else "1 replicate")


def dress(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Titles and labels at the sizes of this report."""
    axes.set_title(title, fontsize=MEDIUM, loc="left")
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)


def note(axes: Axes, text: str) -> None:
    """An empty panel that says why it is empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("0.96")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=SMALL, transform=axes.transAxes)


def finite_range(values: Sequence[Array]) -> tuple[float, float] | None:
    """Smallest and largest of the logs that are neither NaN, an exact 0 nor overflow; None: there is none."""
    flat = np.concatenate([value.ravel() for value in values])
    flat = flat[np.abs(flat) < BEYOND]
    return (float(flat.min()), float(flat.max())) if len(flat) else None
