"""All curves of a run as one npz file: every layer, replicate and probed update."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnlab.curve import LARGEST, Curve

Arrays = dict[str, NDArray[np.float64]]
"""Curve name -> values (U, S, K): updates, replicates, timesteps or lags. NaN: the replicate had diverged.
`updates` holds the update numbers (U,). Of a curve that fell below float64's range `NAME/log10` stands beside
`NAME`, of the same shape and with its NaN: a norm of 1e-450 is 0 in the one and -450 in the other, an exact 0 is
-inf there, an overflow inf. Read norms with `log10_of`, which takes whichever there is."""
LOG10 = "/log10"
"""Ends the name of an array of log10."""


class CurveArchive:
    """Collects a run's curves by update; adding the same update again changes nothing."""

    def __init__(self) -> None:
        self._by_update: dict[int, dict[str, NDArray[np.float64]]] = {}

    def add(self, update: int, curves: Iterable[Curve]) -> None:
        """Keep one probe's curves. A second probe of the same update fills rows that are still NaN."""
        kept = self._by_update.setdefault(update, {})
        for curve in curves:
            name, values = curve.name, curve.values_SK
            old = kept.get(name, np.full(values.shape, np.nan))
            there = ~np.isnan(old)
            if curve.exact_log10_SK is not None or name + LOG10 in kept:
                kept[name + LOG10] = np.where(there, log10_of({name: old, **kept}, name), _log10_of_curve(curve))
            kept[name] = np.where(there, old, values)

    @property
    def arrays(self) -> Arrays:
        """Everything so far."""
        updates = sorted(self._by_update)
        probes = [self._by_update[update] for update in updates]
        names = [name for name in probes[0] if not name.endswith(LOG10)] if probes else []
        stacked = {name: np.stack([kept[name] for kept in probes]) for name in names}
        for name in names:
            if any(name + LOG10 in kept for kept in probes):  # a curve may sink that low in some probes alone
                stacked[name + LOG10] = np.stack([log10_of(kept, name) for kept in probes])
        return {"updates": np.array(updates, dtype=np.float64), **stacked}

    def save(self, path: Path) -> None:
        """Write the npz file, whole or not at all: pages read it as soon as it is there.

        Not compressed: mantissas shrink by 3%, and trying takes the recorder's time.
        """
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **self.arrays)  # type: ignore[arg-type]
        os.replace(part, path)


def load_curves(path: Path) -> Arrays:
    """The arrays of a file that `CurveArchive.save` wrote."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def log10_of(arrays: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """log10 of a curve's norms, as exact as they were measured: -inf for an exact 0, inf for overflow, NaN as it is."""
    if name + LOG10 in arrays:
        return arrays[name + LOG10]
    values = arrays[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: NDArray[np.float64] = np.where(values >= LARGEST, np.inf, np.log10(values))
    return logs


def _log10_of_curve(curve: Curve) -> NDArray[np.float64]:
    """NaN where the curve's values are; one that is NaN only in log10 had overflowed."""
    if curve.exact_log10_SK is None:
        return log10_of({curve.name: curve.values_SK}, curve.name)
    exact_SK = np.where(np.isnan(curve.exact_log10_SK), np.inf, curve.exact_log10_SK)
    return np.where(np.isnan(curve.values_SK), np.nan, exact_SK)


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
