"""All curves of a run as one npz file: every layer, replicate and probed update."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnlab.curve import Curve

Arrays = dict[str, NDArray[np.float64]]
"""Curve name -> values (U, S, K): updates, replicates, timesteps or lags. NaN: the replicate had diverged.
`updates` holds the update numbers (U,)."""


class CurveArchive:
    """Collects a run's curves by update; adding the same update again changes nothing."""

    def __init__(self) -> None:
        self._by_update: dict[int, dict[str, NDArray[np.float64]]] = {}

    def add(self, update: int, curves: Iterable[Curve]) -> None:
        """Keep one probe's curves. A second probe of the same update fills rows that are still NaN."""
        kept = self._by_update.setdefault(update, {})
        for curve in curves:
            old = kept.get(curve.name)
            new = curve.values_SK
            kept[curve.name] = new if old is None else np.where(np.isnan(old), new, old)

    @property
    def arrays(self) -> Arrays:
        """Everything so far."""
        updates = sorted(self._by_update)
        names = self._by_update[updates[0]] if updates else {}
        stacked = {name: np.stack([self._by_update[update][name] for update in updates]) for name in names}
        return {"updates": np.array(updates, dtype=np.float64), **stacked}

    def save(self, path: Path) -> None:
        """Write the npz file."""
        np.savez_compressed(path, **self.arrays)  # type: ignore[arg-type]


def load_curves(path: Path) -> Arrays:
    """The arrays of a file that `CurveArchive.save` wrote."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def measured(values_USK: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which replicates were measured at which update, (U, S)."""
    return np.logical_not(np.isnan(values_USK).all(axis=2))


def complete(seen_US: NDArray[np.bool_]) -> list[int]:
    """Rows at which every replicate that still lived was measured.

    When a replicate dies between two probes it alone is measured there: its row says nothing of the others.
    """
    lives_US = np.logical_or.accumulate(seen_US[::-1], axis=0)[::-1]
    return [row for row in range(len(seen_US)) if lives_US[row].any() and (seen_US | ~lives_US)[row].all()]


def charted_rows(arrays: Mapping[str, NDArray[np.float64]]) -> tuple[int, int, int] | None:
    """Rows of the first, the middle and the last probe at which every living replicate was measured, if any."""
    anchor = next(name for name in arrays if name.startswith("anchor"))
    rows = complete(measured(arrays[anchor]))
    return (rows[0], rows[len(rows) // 2], rows[-1]) if rows else None


def over_replicates(arrays: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """Median over the replicates that have a value, (U, K); NaN where none has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns in which no replicate has a value
        median_UK: NDArray[np.float64] = np.nanmedian(arrays[name], axis=1)
    return median_UK
