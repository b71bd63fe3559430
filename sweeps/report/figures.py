"""Figures, one a function, each a matplotlib `Figure` that no global state knows of; `save` writes one.

Heatmaps are in `heatmaps`, lines in `curve_lines` and `overlay`; everyone imports from here.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from matplotlib.figure import Figure

from sweeps.report.curve_lines import curves
from sweeps.report.heatmaps import Panel, heatmap, small_multiples
from sweeps.report.overlay import Side, overlay

__all__ = ["DPI", "Panel", "Side", "curves", "heatmap", "overlay", "save", "small_multiples"]

DPI = 130
"""Dots an inch of a saved picture; figures are 11 inches wide."""


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; a reader of `path` sees the old file or the whole new one.

    Raises:
        OSError: the folder is missing or full; nothing is left behind.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        figure.savefig(part, format="png", dpi=DPI)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
