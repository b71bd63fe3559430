"""Figures, one a function, each a matplotlib `Figure` that no global state knows of; `save` writes one.

Heatmaps are in `heatmaps`, lines in `curve_lines`; everyone imports from here.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from sweeps.report.curve_lines import curves
from sweeps.report.heatmaps import Panel, heatmap, small_multiples

__all__ = ["DPI", "Panel", "curves", "heatmap", "save", "small_multiples"]

DPI = 130
"""Dots an inch of a saved picture; figures are 11 inches wide."""


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; a reader of `path` sees the old file or the whole new one.

    Raises:
        OSError: the folder is missing or full; nothing is left behind.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png", dpi=DPI)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # mkstemp gives 0o600; others look at these too
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
