"""What a level does against the baseline level of its axis, everything else equal.

Pairs of replicates of one block are averaged within the unit, so that every unit gives one difference; units are what
intervals and p-values count. Rows that were picked by looking at scores give no contrast. The winners of a screen are
compared once more with the baseline arm on fresh blocks, a family of its own for Holm: that is what confirming means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeps.analysis.arms import arm_labels
from sweeps.analysis.data import ABSENT, SweepData, axis_names, text_of
from sweeps.analysis.intervals import (
    EXACT_TO,
    LEVEL,
    Array,
    difference_interval,
    holm_p,
    mcnemar_p,
    mean_p,
    newcombe,
    ratio_interval,
    smallest_p,
)
from sweeps.analysis.outcomes import RATIO, bounds_of, outcome_values
from sweeps.analysis.pairs import Comparison, arms_in, comparisons, least_squares
from sweeps.analysis.results import OUTCOMES, SHARES, Contrast, Interval
from sweeps.recording.names import PARAMS
from sweeps.space.designs import baseline_arm

AT_START = ("healthy_init", "decades_init")
"""Measured before the first update, so that no param of the optimiser can change it: not contrasted over these."""


@dataclass(frozen=True)
class Sides:
    """Both sides of a comparison by unit.

    Args:
        level_U, base_U: means of the outcome over the unit's pairs; natural logs for `RATIO`.
        unit_U: number of each unit.
        single: whether each unit is one pair of replicates. dropped: pairs left out, since one has no value.
    """

    level_U: Array
    base_U: Array
    unit_U: NDArray[np.int_]
    single: bool
    dropped: int = 0

    @property
    def units(self) -> int:
        """Units with a difference."""
        return len(self.level_U)

    @property
    def d_U(self) -> Array:
        """Level less baseline."""
        return self.level_U - self.base_U


class Outcomes:
    """Outcomes of a stage as tables, (replicates of units) x (arms).

    Args:
        data: the sweep. rows: of one stage, whose arms share blocks.
    """

    def __init__(self, data: SweepData, rows: pd.DataFrame) -> None:
        self.data, self.rows = data, rows
        self.arms = arms_in(data, rows)
        axes = list(axis_names(data.spec))
        self._arm_of = rows[axes].merge(self.arms.assign(_arm=self.arms.index), on=axes, how="left")["_arm"].to_numpy()
        self._seed_of, seeds = pd.factorize(rows["unit"] + "/" + rows["replicate"].astype(str))
        self._unit_of_seed = np.zeros(len(seeds), dtype=int)
        self._unit_of_seed[self._seed_of] = pd.factorize(rows["unit"])[0]
        self.units = int(rows["unit"].nunique())

    @cached_property
    def there(self) -> Array:
        """1 where an arm's replicate was trained, else NaN; (seeds, arms)."""
        return self._table(np.ones(len(self.rows)))

    @cached_property
    def tables(self) -> dict[str, Array]:
        """Outcome -> (seeds, arms), NaN where there is none."""
        return {
            outcome: self._table(outcome_values(self.rows, outcome, self.data.spec.budget.updates))
            for outcome in OUTCOMES
        }

    def sides(self, comparison: Comparison, outcome: str) -> Sides:
        """Both sides of a comparison, by unit."""
        y_NA = self.tables[outcome]
        if comparison.fitted:
            return self._fitted(comparison, y_NA)
        level_NP, base_NP = y_NA[:, comparison.level_P], y_NA[:, comparison.base_P]
        both = np.isfinite(level_NP) & np.isfinite(base_NP)
        pairs = np.isfinite(self.there[:, comparison.level_P] + self.there[:, comparison.base_P])
        count_U = self._by_unit(both.sum(axis=1))
        kept = count_U > 0
        level_U, base_U = (
            self._by_unit(np.where(both, side, 0.0).sum(axis=1))[kept] / count_U[kept] for side in (level_NP, base_NP)
        )
        return Sides(
            level_U, base_U, np.flatnonzero(kept), bool((count_U[kept] == 1).all()), int(pairs.sum() - both.sum())
        )

    def _fitted(self, comparison: Comparison, y_NA: Array) -> Sides:
        arms = [
            {str(axis): level for axis, level in arm.items() if level != ABSENT}
            for arm in self.arms.iloc[list(comparison.fitted)].to_dict(orient="records")
        ]
        values_NA = y_NA[:, comparison.fitted]
        known = np.isfinite(values_NA)
        level, base, units = [], [], []
        weights: dict[bytes, tuple[Array, Array] | None] = {}
        for unit in range(self.units):
            rows = self._unit_of_seed == unit
            count_A = known[rows].sum(axis=0)
            has = count_A > 0
            if has.tobytes() not in weights:
                left = [arm for arm, one in zip(arms, has, strict=True) if one]
                weights[has.tobytes()] = least_squares(left, comparison.axis, comparison.level, comparison.baseline)
            both = weights[has.tobytes()]
            if both is not None:
                y_A = np.where(known[rows], values_NA[rows], 0.0).sum(axis=0)[has] / count_A[has]
                units.append(unit)
                level.append(float(both[0] @ y_A))
                base.append(float(both[1] @ y_A))
        missing = int(np.isfinite(self.there[:, comparison.fitted]).sum() - known.sum())
        return Sides(np.array(level), np.array(base), np.array(units, dtype=int), False, missing)

    def _table(self, values: Array) -> Array:
        found = np.full((len(self._unit_of_seed), len(self.arms)), np.nan)
        found[self._seed_of, self._arm_of] = values
        return found

    def _by_unit(self, values_N: Array) -> Array:
        return np.bincount(self._unit_of_seed, values_N, self.units).astype(np.float64)


def contrasts(data: SweepData) -> list[Contrast]:
    """Every level against the baseline level of its axis, over all and within levels, for every outcome.

    Those of fewer than 2 units, and those of a cost that no unit tells apart, are left out: they have no interval.
    """
    screen = Outcomes(data, data.paired)
    found = [
        (comparison.same, one)
        for comparison in (comparisons(data, screen.arms) if screen.units > 1 else [])
        for outcome in OUTCOMES
        if not (outcome in AT_START and PARAMS.get(comparison.axis, ("",))[0] == "optim")
        if (one := _contrast(comparison, outcome, screen.sides(comparison, outcome), data)) is not None
    ]
    return [*_holm(found), *_holm(_confirmed(data))]


def effect_of(sides: Sides, outcome: str, budget: int) -> tuple[Interval | None, float]:
    """Interval and p of a comparison of at least 2 units."""
    if outcome == RATIO:
        return ratio_interval(sides.d_U), mean_p(sides.d_U)
    if outcome in SHARES and sides.single:
        return newcombe(sides.level_U, sides.base_U), mcnemar_p(sides.level_U, sides.base_U)
    return difference_interval(sides.level_U, sides.base_U, bounds_of(outcome, budget)), mean_p(sides.d_U)


def holm(outcomes: Sequence[str], keys: Sequence[object], p: Sequence[float]) -> list[tuple[float, int]]:
    """Holm's p over all hypotheses of an outcome, and how many these are; equal keys are one hypothesis."""
    adjusted: dict[tuple[str, object], tuple[float, int]] = {}
    for outcome in dict.fromkeys(outcomes):
        family = {key: one for of, key, one in zip(outcomes, keys, p, strict=True) if of == outcome}
        found = holm_p(np.array(list(family.values())))
        adjusted |= {(outcome, key): (float(one), len(family)) for key, one in zip(family, found, strict=True)}
    return [adjusted[outcome, key] for outcome, key in zip(outcomes, keys, strict=True)]


def _contrast(comparison: Comparison, outcome: str, sides: Sides, data: SweepData) -> Contrast | None:
    if sides.units < 2:
        return None
    effect, p = effect_of(sides, outcome, data.spec.budget.updates)
    if effect is None:
        return None
    if comparison.fitted:
        effect = effect.model_copy(update={"method": f"{effect.method}, least squares by block (additive)"})
    at_level, at_baseline = float(sides.level_U.mean()), float(sides.base_U.mean())
    if outcome == RATIO:
        at_level, at_baseline = float(np.exp(at_level)), float(np.exp(at_baseline))
    counted = outcome in SHARES and sides.single
    unit = "seeds" if data.by_replicate else "blocks"
    notes = []
    if smallest_p(sides.units) > LEVEL:
        notes.append(f"{sides.units} pairs of {unit}: no p below {smallest_p(sides.units):.2g} is possible")
    if sides.dropped:
        notes.append(f"{sides.dropped} {'replicates' if comparison.fitted else 'pairs'} without a value left out")
    return Contrast(
        axis=comparison.axis, level=comparison.level, baseline=comparison.baseline, within=comparison.within,
        outcome=outcome, effect=effect, p=p, p_holm=None, units=sides.units,
        at_level=at_level, at_baseline=at_baseline,
        counts=(int(sides.level_U.sum()), int(sides.base_U.sum()), sides.units) if counted else None,
        evidence="paired", note="; ".join(notes),
    )  # fmt: skip


def _confirmed(data: SweepData) -> list[tuple[object, Contrast]]:
    """The winners against the baseline arm on fresh blocks, each at its own best nuisance values."""
    fresh = Outcomes(data, data.confirmed)
    if fresh.units < 2:
        return []
    stages = data.spec.stages
    first = {name: text_of(value) for name, value in baseline_arm(stages.space, stages.arms, stages.baseline).items()}
    labels = arm_labels(data)
    arms = [tuple(str(level) for level in arm) for arm in fresh.arms.itertuples(index=False)]
    base = next(
        (at for at, arm in enumerate(arms) if arm == tuple(first.get(axis, ABSENT) for axis in fresh.arms.columns)),
        None,
    )
    if base is None:
        return []
    found: list[tuple[object, Contrast]] = []
    for place, arm in enumerate(arms):
        if place == base:
            continue
        comparison = Comparison("arm", labels[arm], labels[arms[base]], level_P=(place,), base_P=(base,))
        for outcome in OUTCOMES:
            one = _contrast(comparison, outcome, fresh.sides(comparison, outcome), data)
            if one is not None:
                found.append((comparison.same, one.model_copy(update={"evidence": "confirmed"})))
    return found


def _holm(found: Sequence[tuple[object, Contrast]]) -> list[Contrast]:
    adjusted = holm(
        [one.outcome for _, one in found],
        [key for key, _ in found],
        [1.0 if one.p is None else one.p for _, one in found],
    )
    done = []
    for (_, one), (p_holm, family) in zip(found, adjusted, strict=True):
        note, floor = one.note, smallest_p(one.units)
        by_signs = one.units <= EXACT_TO or one.counts is not None
        if by_signs and floor <= LEVEL < floor * family:
            lowest = f"{one.units} pairs: over {family} contrasts no p below {min(1.0, floor * family):.2g} is possible"
            note = "; ".join(part for part in (note, lowest) if part)
        done.append(one.model_copy(update={"p_holm": p_holm, "note": note}))
    return done
