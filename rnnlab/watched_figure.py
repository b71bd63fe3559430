"""The picture of what a `watch` has seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rnnlab.watched_call import Place

DIRECTIONS = ("forward", "reverse")
STYLES = {"h": "-", "c": "--"}


def draw(norms: Sequence[tuple[str, Place, NDArray[np.float64]]]) -> Figure:
    """log10 of norms (T,) by timestep, a line each; c is dashed, and a norm of exactly 0 is a gap."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    several = len({name for name, _, _ in norms}) > 1
    colours: dict[tuple[str, int, int], str] = {}
    for name, (layer, direction, state), norms_T in norms:
        colour = colours.setdefault((name, layer, direction), f"C{len(colours) % 10}")
        positive_T = np.where((norms_T > 0) & np.isfinite(norms_T), norms_T, np.nan)
        label = f"layer {layer} {DIRECTIONS[direction]}, {state}"
        axes.plot(
            np.log10(positive_T),
            STYLES[state],
            color=colour,
            marker="." if len(norms_T) == 1 else "",
            label=f"{name}, {label}" if several else label,
        )
    axes.set_xlabel("timestep t")
    axes.set_ylabel("log10 of the norm of dL/ds_t")
    axes.set_title("Total gradient at each state, loss as given", loc="left")
    axes.legend(fontsize="small")
    return figure
