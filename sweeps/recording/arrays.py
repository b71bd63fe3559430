"""All curves of a run as one npz file: every layer, replicate and probed update."""

from __future__ import annotations

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


def over_replicates(arrays: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """Median over the replicates that were alive, (U, K); NaN where none was."""
    values_USK = arrays[name]
    alive_U = ~np.isnan(values_USK).all(axis=(1, 2))
    median_UK = np.full((len(values_USK), values_USK.shape[2]), np.nan)
    median_UK[alive_U] = np.nanmedian(values_USK[alive_U], axis=1)
    return median_UK
