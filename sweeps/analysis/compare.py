"""Two sweeps side by side: the arms that both have, each outcome in both, and the difference with an interval.

Arms are shared where every dimension that is an axis in either sweep has the same value in both; what is fixed in
one sweep counts by the value that its trials were trained with. Where both sweeps have the same `search.seed`, equal
blocks and replicates had the same seeds, and are paired; else the two are independent samples. Units are blocks, or
seeds where the blocks of neither draw anything else.

| difference of | paired | independent |
|---|---|---|
| shares | Newcombe 1998; of several replicates a unit as of means | Newcombe 1998, from the interval of each |
| means | of differences of units | Welch t on means of units |

Intervals of one sweep, and of pairs, are those of `sweeps.analysis.intervals`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.weightstats import CompareMeans

from rnnlab.spec import TrialSpec
from sweeps.analysis.data import ABSENT, ADAPTIVE, SweepData, axis_names, nuisance_names, text_of
from sweeps.analysis.intervals import (
    Array,
    Bounds,
    alike,
    difference_interval,
    mean_interval,
    newcombe,
    share_interval,
    square_and_add,
)
from sweeps.analysis.outcomes import bounds_of
from sweeps.analysis.results import SHARES, Interval, Result
from sweeps.recording.names import PARAMS
from sweeps.space.dimensions import Dimension, Value
from sweeps.spec import SweepSpec

COMPARED = ("healthy", "solved", "test_score", "decades")
"""Outcomes that are compared."""
DRAWN = "drawn by block"
"""Stands for the value of a dimension that is a nuisance in one sweep: it equals no level."""
SECOND = "_second"
"""Ends the names of the second sweep's columns beside the first's."""
LEAST_PAIRED = 0.5
"""Share of the smaller sweep's rows that must have a partner, or the two count as independent samples."""


class Beside(Result):
    """One outcome of one arm in both sweeps."""

    outcome: str
    first: Interval | None
    second: Interval | None
    difference: Interval | None
    """Second less first; None where fewer than two units are there, or rows were picked by looking at scores."""
    pairs: int
    """Units that are paired; 0: independent samples."""


class SharedArm(Result):
    """An arm that both sweeps have."""

    label: str
    levels: dict[str, str]
    """Dimension -> value in both."""
    units: tuple[int, int]
    """Blocks, or seeds where blocks draw nothing else, in both."""
    replicates: tuple[int, int]
    outcomes: list[Beside]


class Comparison(Result):
    """Two sweeps over the arms that they share."""

    first: str
    second: str
    axes: list[str]
    """Dimensions by which arms are matched."""
    paired: bool
    """Whether the same blocks and replicates had the same seeds in both."""
    arms: list[SharedArm]
    only_first: list[str]
    """Labels of arms that the other has not."""
    only_second: list[str]
    warnings: list[str]


def compare(first: SweepData, second: SweepData) -> Comparison:
    """Two sweeps over the arms that they share."""
    axes = list(dict.fromkeys([*axis_names(first.spec), *axis_names(second.spec)]))
    tables = [_by_arm(data, axes) for data in (first, second)]
    shared = [levels for levels in tables[0] if levels in tables[1]]
    same_seed = first.spec.search.seed == second.spec.search.seed
    adaptive = any(_rows(data)["trial"].isin(data.adaptive["trial"]).any() for data in (first, second))
    arms = []
    for levels in shared:
        one, other = tables[0][levels], tables[1][levels]
        both = _pairs(one.rows, other.rows) if same_seed else None
        seeds = one.seeds and other.seeds
        arms.append(
            SharedArm(
                label=one.label,
                levels=dict(zip(axes, levels, strict=True)),
                units=(one.units.nunique(), other.units.nunique()),
                replicates=(len(one.rows), len(other.rows)),
                outcomes=[_beside(name, one, other, both, seeds, not adaptive) for name in COMPARED],
            )
        )
    paired = any(one.pairs for arm in arms for one in arm.outcomes)
    return Comparison(
        first=first.sweep_id,
        second=second.sweep_id,
        axes=axes,
        paired=paired,
        arms=arms,
        only_first=[side.label for levels, side in tables[0].items() if levels not in tables[1]],
        only_second=[side.label for levels, side in tables[1].items() if levels not in tables[0]],
        warnings=_warnings(first, second, axes, paired, adaptive, arms),
    )


@dataclass(frozen=True)
class _Side:
    """One arm in one sweep: its rows of the sweep's table."""

    data: SweepData
    rows: pd.DataFrame

    @property
    def label(self) -> str:
        return str(self.rows["label"].iloc[0])

    @property
    def seeds(self) -> bool:
        """Whether a replicate is a unit: blocks draw nothing but seeds, and no sampler picked a value for its trial."""
        return self.data.by_replicate and not self.rows["stage"].isin(ADAPTIVE).any()

    @property
    def units(self) -> pd.Series:
        return _units(self.rows, self.seeds)

    def means(self, outcome: str) -> Array:
        """Mean of each unit."""
        known = self.rows[self.rows[outcome].notna()]
        by_unit = known[outcome].astype(float).groupby(_units(known, self.seeds)).mean()
        return np.asarray(by_unit, dtype=np.float64)

    def alone(self, outcome: str) -> Interval | None:
        """The sweep's own number."""
        mean_U = self.means(outcome)
        if not len(mean_U):
            return None
        if outcome in SHARES:
            return share_interval(mean_U, len(self.rows))
        return mean_interval(mean_U, bounds_of(outcome, self.data.spec.budget.updates))


def _rows(data: SweepData) -> pd.DataFrame:
    """What speaks for the arms: the screen where there is one, else all."""
    return data.paired if len(data.paired) else data.frame


def _by_arm(data: SweepData, axes: list[str]) -> dict[tuple[str, ...], _Side]:
    """Arms by the value of every axis, in the order in which they ran."""
    own, drawn = list(axis_names(data.spec)), nuisance_names(data.spec)
    rows = _rows(data)
    groups = [of_arm for _, of_arm in rows.groupby(own, sort=False)] if own else [rows] if len(rows) else []
    found: dict[tuple[str, ...], _Side] = {}
    for of_arm in groups:
        trial = trial_of(data.spec, of_arm.iloc[0])
        found[tuple(DRAWN if name in drawn else value_of(trial, name) for name in axes)] = _Side(data, of_arm)
    return found


def trial_of(spec: SweepSpec, row: pd.Series) -> TrialSpec:
    """The trial that a row of the table is of."""

    def pick(dimension: Dimension) -> Value:
        seen: Value = row[dimension.name]
        return next((value for value in dimension.grid or () if text_of(value) == text_of(seen)), seen)

    return spec.trial(int(row["trial"]), spec.parsed_space.pick(pick))


def value_of(trial: TrialSpec, name: str) -> str:
    """A param's value as text, `-` where the trial has none."""
    section, field = PARAMS.get(name, ("task", name.removeprefix("task.")))
    part = getattr(trial, section)
    value = getattr(part, field) if field in type(part).model_fields else part.options.get(field)
    return ABSENT if value is None else text_of(getattr(value, "label", value))


def _units(rows: pd.DataFrame, seeds: bool) -> pd.Series:
    """What is independent of the others: the block, or block and replicate."""
    return rows["block"].astype(str) + ("." + rows["replicate"].astype(str) if seeds else "")


def _pairs(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame | None:
    """Rows of the same block and replicate side by side, of the second with `SECOND`; None where most are alone."""
    keys = ["block", "replicate"]
    both = one[[*keys, *COMPARED]].merge(other[[*keys, *COMPARED]], on=keys, suffixes=("", SECOND))
    return both if len(both) >= max(2, LEAST_PAIRED * min(len(one), len(other))) else None


def _beside(outcome: str, one: _Side, other: _Side, both: pd.DataFrame | None, seeds: bool, claims: bool) -> Beside:
    first, second = one.alone(outcome), other.alone(outcome)
    difference, pairs = None, 0
    if claims and both is not None:
        columns = [outcome, outcome + SECOND]
        kept = both[both[columns].notna().all(axis=1)]
        means_U2 = kept[columns].astype(float).groupby(_units(kept, seeds)).mean().to_numpy(dtype=np.float64)
        if len(means_U2) > 1:
            pairs = len(means_U2)
            bounds = bounds_of(outcome, one.data.spec.budget.updates)
            difference = paired(means_U2[:, 0], means_U2[:, 1], len(kept) if outcome in SHARES else None, bounds)
    elif claims and first is not None and second is not None:
        difference = independent((one.means(outcome), first), (other.means(outcome), second), share=outcome in SHARES)
    return Beside(outcome=outcome, first=first, second=second, difference=difference, pairs=pairs)


def paired(first_U: Array, second_U: Array, of_share: int | None, bounds: Bounds | None) -> Interval | None:
    """Second less first over the same units; None where no honest interval exists.

    Args:
        first_U, second_U: mean of the outcome in each unit. of_share: replicates of each sweep, where these are shares.
    """
    if of_share == len(first_U):
        return newcombe(second_U, first_U).model_copy(update={"method": "Newcombe, paired"})
    found = difference_interval(second_U, first_U, bounds)
    return None if found is None else found.model_copy(update={"method": f"{found.method}, paired"})


def independent(first: tuple[Array, Interval], second: tuple[Array, Interval], *, share: bool) -> Interval | None:
    """Second less first of independent samples, each its means of units and its own interval; None of fewer than two
    units.

    Shares: Newcombe's squares and sums, which take any interval of each share. So do means of units that are all
    alike; other means by Welch's t.
    """
    (first_U, one), (second_U, other) = first, second
    if min(len(first_U), len(second_U)) < 2:
        return None
    value = other.value - one.value
    if share or (alike(first_U) and alike(second_U)):
        low, high = square_and_add(other.value, (other.low, other.high), one.value, (one.low, one.high), 0.0)
        return Interval(value=value, low=low, high=high, method="Newcombe")
    low, high = CompareMeans.from_data(second_U, first_U).tconfint_diff(usevar="unequal")
    return Interval(value=value, low=float(low), high=float(high), method="Welch t")


def _warnings(
    first: SweepData, second: SweepData, axes: list[str], paired: bool, adaptive: bool, arms: list[SharedArm]
) -> list[str]:
    said = []
    ids = first.sweep_id, second.sweep_id
    for data in (first, second):
        done = data.ended.get("complete", 0)
        if done < data.spec.trials:
            said.append(
                f"{data.sweep_id}: {done} of {data.spec.trials} trials have used their budget; these alone speak."
            )
    drawn = [name for name in axes if (name in nuisance_names(first.spec)) != (name in nuisance_names(second.spec))]
    if drawn:
        said.append(
            f"{', '.join(drawn)}: compared in one sweep and drawn by block in the other, so no arm is the same in both."
        )
    unlike = differences(first, second, axes)
    if unlike:
        said.append(
            f"The sweeps differ in more than their arms: {'; '.join(unlike)} ({ids[0]} against {ids[1]}). A difference "
            "between them may come from these."
        )
    if adaptive:
        said.append("Trials were picked by looking at scores: no difference is claimed from them.")
    elif paired:
        said.append("Same search.seed: equal blocks and replicates had the same seeds in both, and are paired.")
    elif arms:
        said.append("The seeds differ, so the sweeps are independent samples, and intervals are wider than of pairs.")
    if len(arms) > 1 and not adaptive:
        said.append(f"Each interval is of 95% by itself; of {len(arms) * len(COMPARED)}, some exclude 0 by chance.")
    return said


def differences(first: SweepData, second: SweepData, axes: list[str]) -> list[str]:
    """What two sweeps do not have in common beside their arms, `budget.updates 300, 800`: of task, model, optimiser,
    probes, budget, replicates, and of what blocks draw."""
    plain = []
    for data in (first, second):
        space = data.spec.parsed_space
        point = next(space.points(lambda dimension: dimension.corners[:1])) if not len(data.frame) else None
        trial = data.spec.trial(0, point) if point else trial_of(data.spec, _rows(data).iloc[0])
        flat = _flattened(trial.model_dump(mode="json", exclude={"seed", "block"}))
        for name in {*axes, *nuisance_names(data.spec)}:
            section, field = PARAMS.get(name, ("task", name.removeprefix("task.")))
            for key in [key for key in flat if key == f"{section}.{field}" or key.startswith(f"{section}.{field}.")]:
                del flat[key]
        for name in nuisance_names(data.spec):
            offered = dict.fromkeys(d.shown for d in space.dimensions if d.name == name)
            section, field = PARAMS.get(name, ("task", name.removeprefix("task.")))
            flat[f"{section}.{field}"] = f"drawn of {'; '.join(offered)}"
        flat["search.pruner"] = data.spec.search.pruner.label
        plain.append(flat)
    keys = dict.fromkeys([*plain[0], *plain[1]])
    return [
        f"{key} {plain[0].get(key, ABSENT)}, {plain[1].get(key, ABSENT)}"
        for key in keys
        if plain[0].get(key) != plain[1].get(key)
    ]


def _flattened(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= _flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
