"""One line a configuration: how often it was healthy, solved, exploded, what it scored and what it cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rnnlab.verdict import SENSITIVITY
from sweeps.analysis.data import ABSENT, SweepData, axis_names
from sweeps.analysis.intervals import Array, mean_interval, ratio_interval, share_interval
from sweeps.analysis.outcomes import RATIO, bounds_of, outcome_values
from sweeps.analysis.resampling import units_of
from sweeps.analysis.results import SHARES, Arm, Evidence, Interval
from sweeps.analysis.survival import median_updates

MEANS = ("test_score", "decades", "decades_init", "updates_to_solve", "cpu_per_update")
FEWEST = 3
"""Units below which an arm that no design placed is no evidence."""
Levels = tuple[str, ...]
"""An arm's level on each axis, in the order of `axis_names`."""


def arms(data: SweepData) -> list[Arm]:
    """Every configuration without its nuisance values, in the order of its first trial.

    A configuration that was screened, refined and confirmed is three arms of one label, since these rows must not be
    mixed; their evidence tells them apart. Means of `cpu_per_update` are geometric.
    """
    labels = arm_labels(data)
    found = []
    for evidence, rows in _by_evidence(data):
        for levels, ones in _groups(data, rows):
            found.append(_arm(data, ones, levels, labels[levels], evidence))
    return found


def sensitivity(data: SweepData) -> dict[str, dict[str, float]]:
    """Threshold r -> arm -> share healthy at the end; of the screen where there is one, else of all rows."""
    labels = arm_labels(data)
    rows = data.paired if len(data.paired) else data.frame
    return {
        f"{r:g}": {labels[levels]: float(ones[f"healthy_r{r:g}"].mean()) for levels, ones in _groups(data, rows)}
        for r in SENSITIVITY
    }


def arm_labels(data: SweepData) -> dict[Levels, str]:
    """Levels -> a readable name, no two alike: where trials' labels coincide, the levels that differ are added."""
    axes = axis_names(data.spec)
    labels = {levels: str(ones["label"].iloc[0]) for levels, ones in _groups(data, data.frame)}
    found = {}
    for levels, label in labels.items():
        alike = [other for other, same in labels.items() if same == label]
        differ = [at for at in range(len(axes)) if len({other[at] for other in alike}) > 1]
        added = ", ".join(f"{axes[at]} {levels[at]}" for at in differ if levels[at] != ABSENT)
        found[levels] = f"{label} ({added})" if added else label
    return found


def _by_evidence(data: SweepData) -> Iterator[tuple[Evidence, pd.DataFrame]]:
    yield "paired", data.paired
    yield "confirmed", data.confirmed
    yield "adaptive", data.adaptive
    rest = data.frame.index.difference(data.paired.index.union(data.confirmed.index).union(data.adaptive.index))
    # drawn by the sampler random: neither picked by score nor paired
    yield "none", data.frame.loc[rest]


def _groups(data: SweepData, rows: pd.DataFrame) -> Iterator[tuple[Levels, pd.DataFrame]]:
    axes = list(axis_names(data.spec))
    if not axes:
        if len(rows):
            yield (), rows
        return
    for levels, ones in rows.groupby(axes, sort=False):
        yield tuple(str(level) for level in levels), ones


def _arm(data: SweepData, rows: pd.DataFrame, levels: Levels, label: str, evidence: Evidence) -> Arm:
    budget = data.spec.budget.updates
    unit = units_of(data).loc[rows.index]
    units = int(unit.nunique())
    if units < (2 if evidence == "paired" else FEWEST):
        evidence = "none"
    shares = {
        name: share_interval(_unit_means(rows[name].to_numpy(dtype=np.float64), unit), len(rows)) for name in SHARES
    }
    means: dict[str, Interval] = {}
    for name in MEANS:
        mean_U = _unit_means(outcome_values(rows, name, budget), unit)
        if not len(mean_U):
            continue
        found = ratio_interval(mean_U) if name == RATIO else mean_interval(mean_U, bounds_of(name, budget))
        if found is not None:
            means[name] = found
    return Arm(
        label=label,
        levels={axis: level for axis, level in zip(axis_names(data.spec), levels, strict=True) if level != ABSENT},
        evidence=evidence,
        units=units,
        replicates=len(rows),
        shares=shares,
        counts={name: int(rows[name].sum()) for name in (*SHARES, "diverged")},
        means=means,
        median_updates_to_solve=median_updates(rows, budget),
    )


def _unit_means(values: Array, unit: pd.Series) -> Array:
    """Mean of the known values of each unit that has any."""
    return np.asarray(pd.Series(values, unit.index).dropna().groupby(unit).mean(), dtype=np.float64)
