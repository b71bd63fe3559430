"""A chart in a terminal: G2 curves by lag, a character a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.report.figure_parts import BEYOND, Array, finite_range


@dataclass(frozen=True)
class TextLine:
    """One line of a chart: what it is called, its character, and its values at x = 0, 1, 2, ...; NaN is left out."""

    label: str
    mark: str
    values_K: Array


def text_chart(
    lines: Sequence[TextLine], *, x: str, y: str, rules: Sequence[float] = (), width: int = 64, height: int = 14
) -> str:
    """Lines drawn in `height` rows of at most `width` characters; a later line covers an earlier one.

    An exact 0 stands in the lowest row, overflow in the highest.

    Args:
        lines: what is drawn. x, y: what the axes are.
        rules: values that a dotted row marks.
    """
    steps = max(len(line.values_K) for line in lines)
    width = min(width, max(steps, 16))
    low, high = finite_range([line.values_K for line in lines]) or (0.0, 0.0)
    low, high = min(low, *rules, high - 1), max(high, *rules)
    grid = [[" "] * width for _ in range(height)]

    def row_of(value: float) -> int:
        return round((high - float(np.clip(value, low, high))) / (high - low) * (height - 1))

    for rule in rules:
        grid[row_of(rule)] = ["┈"] * width
    for line in lines:
        for column in range(width):
            at = column / (width - 1) * (steps - 1)
            if at <= len(line.values_K) - 1 and not np.isnan(line.values_K[round(at)]):
                grid[row_of(line.values_K[round(at)])][column] = line.mark
    named = {row_of(value): value for value in (low, high, (low + high) / 2, *rules)}
    drawn = [f"{named[row]:+7.1f} ┤" if row in named else "        │" for row in range(height)]
    drawn = [(axis + "".join(cells)).rstrip() for axis, cells in zip(drawn, grid, strict=True)]
    ends = f"0{x:^{width - 2}}"[: width - len(str(steps - 1))] + str(steps - 1)
    return "\n".join([y, *drawn, "        └" + "─" * width, "         " + ends, *_legend(lines)])


def _legend(lines: Sequence[TextLine]) -> list[str]:
    touching = any((line.values_K < -BEYOND).any() for line in lines)
    return [f"         {line.mark} {line.label}" for line in lines] + (
        ["         the lowest row holds exact zeros"] if touching else []
    )
