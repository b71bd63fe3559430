"""Whether what a level does depends on another axis: a difference of differences, one a unit.

Only the interactions that were named before any sweep ran (`REGISTERED`) are looked at, Holm over all of an outcome.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.data import SweepData
from sweeps.analysis.effects import AT_START, Outcomes, Sides, holm
from sweeps.analysis.intervals import alike, difference_interval, mean_p, ratio_interval, square_and_add, t_interval
from sweeps.analysis.outcomes import RATIO, bounds_of
from sweeps.analysis.pairs import Comparison, compare, registered
from sweeps.analysis.results import OUTCOMES, Interaction, Interval
from sweeps.recording.names import PARAMS


def interactions(data: SweepData) -> list[Interaction]:
    """Effect of an axis at a level of another, less the same effect at that other's baseline level.

    Those of fewer than 2 units are left out. Of `cpu_per_update` it is the ratio of both ratios.
    """
    screen = Outcomes(data, data.paired)
    if screen.units < 2:
        return []
    found: list[tuple[object, Interaction]] = []
    for here, there in _compared(data, screen):
        by = next(iter(here.within))
        for outcome in OUTCOMES:
            if outcome in AT_START and any(PARAMS.get(axis, ("",))[0] == "optim" for axis in (here.axis, by)):
                continue
            effect, p, units = _difference(screen, here, there, outcome)
            if effect is not None:
                one = Interaction(
                    axis=here.axis, level=here.level, baseline=here.baseline,
                    by=by, by_level=here.within[by], by_baseline=there.within[by],
                    outcome=outcome, effect=effect, p=p, p_holm=None, units=units,
                )  # fmt: skip
                found.append(((here.same, there.same), one))
    adjusted = holm(
        [one.outcome for _, one in found],
        [key for key, _ in found],
        [1.0 if one.p is None else one.p for _, one in found],
    )
    return [one.model_copy(update={"p_holm": p_holm}) for (_, one), (p_holm, _) in zip(found, adjusted, strict=True)]


def _compared(data: SweepData, screen: Outcomes) -> list[tuple[Comparison, Comparison]]:
    """The same comparison at a level and at the baseline level of the other axis."""
    found = []
    for axis, by in registered(data.axes):
        by_levels = data.levels(by, screen.arms)
        offered = {one: data.levels(axis, screen.arms[screen.arms[by] == one]) for one in by_levels}
        for by_level in by_levels[1:]:
            levels = [level for level in offered[by_levels[0]] if level in offered[by_level]]
            for level in levels[1:]:
                here, there = (
                    compare(data, screen.arms, axis, level, levels[0], {by: one}) for one in (by_level, by_levels[0])
                )
                if here is not None and there is not None:
                    found.append((here, there))
    return found


def _difference(
    screen: Outcomes, here: Comparison, there: Comparison, outcome: str
) -> tuple[Interval | None, float, int]:
    """Interval, p and units."""
    budget = screen.data.spec.budget.updates
    mine, theirs = screen.sides(here, outcome), screen.sides(there, outcome)
    at, other = _places(mine, theirs)
    d_U = mine.d_U[at] - theirs.d_U[other]
    if len(d_U) < 2:
        return None, 1.0, len(d_U)
    if outcome == RATIO:
        return ratio_interval(d_U), mean_p(d_U), len(d_U)
    bounds = bounds_of(outcome, budget)
    assert bounds is not None, outcome
    reach = 2 * (bounds[1] - bounds[0])
    if alike(d_U):
        one = difference_interval(mine.level_U[at], mine.base_U[at], bounds)
        two = difference_interval(theirs.level_U[other], theirs.base_U[other], bounds)
        assert one is not None
        assert two is not None
        low, high = square_and_add(one.value, (one.low, one.high), two.value, (two.low, two.high), 0.0)
        found = Interval(value=float(d_U.mean()), low=low, high=high, method="Newcombe on units (all alike)")
        return found, mean_p(d_U), len(d_U)
    return t_interval(d_U, (-reach, reach)), mean_p(d_U), len(d_U)


def _places(mine: Sides, theirs: Sides) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Places of the units that both have."""
    _, at, other = np.intersect1d(mine.unit_U, theirs.unit_U, return_indices=True)
    return at, other
