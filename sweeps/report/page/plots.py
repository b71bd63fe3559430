"""What every plot shares: plain values for plotly.js, colours by name, axes, and rounding.

A plot is the `data` and `layout` of plotly.js as plain values. A colour is the name of a CSS variable, `var(--blue)`,
that the page resolves for a light or a dark screen.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweeps.report.figure_parts import BEYOND, Array

Plot = dict[str, Any]
FURTHEST = 99.0
"""Decades at which an exact 0 and an overflow are drawn: out of every panel."""
BLUE, ORANGE, GREEN, GREY, PURPLE, SKY = (
    f"var(--{name})" for name in ("blue", "orange", "green", "grey", "purple", "sky")
)
INK, BLUE_BAND, ORANGE_BAND = "var(--ink)", "var(--blue-band)", "var(--orange-band)"


@dataclass(frozen=True)
class Figure:
    """A plot and its words.

    Args:
        id: within the page. caption: above it. plot: see above. note: a smaller line below the caption.
    """

    id: str
    caption: str
    plot: Plot
    note: str = ""


def escaped(text: str, width: int = 0) -> str:
    """Text of the user's in a plot, where plotly reads tags; broken into lines of so many characters."""
    lines = textwrap.wrap(text, width) if width else [text]
    return "<br>".join(html.escape(line) for line in lines)


def rounded(values: Array | Sequence[float], digits: int = 2) -> list[float | None]:
    """Numbers for JSON: NaN is None, an exact 0 and an overflow among decades lie at `FURTHEST`."""
    flat = np.asarray(values, dtype=np.float64)
    flat = np.where(np.abs(flat) > BEYOND, np.sign(flat) * FURTHEST, flat)
    return [None if np.isnan(value) else round(float(value), digits) + 0.0 for value in flat]


def significant(values: Array | Sequence[float], digits: int = 4) -> list[float | None]:
    """Numbers for JSON with so many significant digits; None for what is not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """One axis with its name and unit."""
    return {"title": {"text": title, "standoff": 6}, "automargin": True, **more}


def layout(x: dict[str, Any], y: dict[str, Any], height: int, **more: Any) -> dict[str, Any]:
    """A layout whose legend, if there is one, lies above the data."""
    return {
        "xaxis": x,
        "yaxis": y,
        "height": height,
        "margin": {"l": 48, "r": 12, "t": 12, "b": 40},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        **more,
    }


def line(x: Iterable[float], y: list[float | None], colour: str, name: str, **style: Any) -> dict[str, Any]:
    """A line without markers."""
    drawn = {"color": colour, "width": 2.2, **style}
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": y, "line": drawn, "name": name, "showlegend": False}


def band(x: Sequence[float], low: list[float | None], high: list[float | None], colour: str) -> list[dict[str, Any]]:
    """The area between two lines, behind all that follows."""
    edge: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": list(x), "line": {"width": 0}, "hoverinfo": "skip"}
    edge["showlegend"] = False
    return [{**edge, "y": low}, {**edge, "y": high, "fill": "tonexty", "fillcolor": colour}]


def rule(x: float | None = None, y: float | None = None, dash: str = "dot") -> dict[str, Any]:
    """A thin straight line through the whole panel, at `x` or at `y`."""
    along = (
        {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
        if x is not None
        else {"y0": y, "y1": y, "x0": 0, "x1": 1, "xref": "paper"}
    )
    return {"type": "line", "layer": "below", "line": {"color": INK, "width": 1, "dash": dash}, **along}


def error(low: Sequence[float], value: Sequence[float], high: Sequence[float], colour: str) -> dict[str, Any]:
    """Asymmetric error bars that plotly draws along x; none where an end is unknown."""
    middle, lower, upper = (np.asarray(one, dtype=float) for one in (value, low, high))
    return {
        "type": "data",
        "symmetric": False,
        "array": [step or 0.0 for step in significant(np.maximum(upper - middle, 0))],
        "arrayminus": [step or 0.0 for step in significant(np.maximum(middle - lower, 0))],
        "color": colour,
        "thickness": 1.6,
        "width": 3,
    }
