"""Which arms are compared: those that differ in one axis, and in nothing else that both have.

An axis that only one of the two has, as the activation of a plain RNN against an LSTM, must be at its baseline there.
A fraction of a factorial holds too few such pairs, so there the effect is estimated inside each block by least squares
on effect-coded levels, which assumes that effects add (the model that the fraction was chosen for).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweeps.analysis.data import ABSENT, SweepData, axis_names
from sweeps.space import designs
from sweeps.space.dimensions import Dimension, Value

Array = NDArray[np.float64]
REGISTERED = (
    ("init", "activation"), ("clip", "activation"), ("init", "clip"), ("init", "task."), ("bias_init", "task.length"),
    ("clip", "optimiser"), ("residual", "depth"), ("init", "cell"), ("clip", "depth"),
)  # fmt: skip
"""Interactions named before any sweep ran: the effect of the first by the second; `task.` is any param of the task."""
JOINT = {"init": ("activation", "clip")}
"""Axis -> axes at whose combined levels its effect is also told: relu x identity x clip."""


@dataclass(frozen=True)
class Comparison:
    """Level against baseline of one axis.

    Args:
        within: levels that all its arms share.
        level_P, base_P: pairs, as places of arms. Empty where fitted.
        fitted: places of the arms to which the additive model is fitted. Empty where there are pairs.
    """

    axis: str
    level: str
    baseline: str
    within: dict[str, str] = field(default_factory=dict)
    level_P: tuple[int, ...] = ()
    base_P: tuple[int, ...] = ()
    fitted: tuple[int, ...] = ()

    @property
    def same(self) -> tuple[object, ...]:
        """Equal for comparisons that rest on the same arms, as over all and within the only cell that has the axis."""
        return self.axis, self.level, self.baseline, self.level_P, self.base_P, self.fitted


def arms_in(data: SweepData, rows: pd.DataFrame) -> pd.DataFrame:
    """Levels of every arm that occurs in `rows`, an arm a row."""
    return rows[list(axis_names(data.spec))].drop_duplicates().reset_index(drop=True)


def comparisons(data: SweepData, arms: pd.DataFrame) -> list[Comparison]:
    """All of them, over all and within levels, in the order of the space."""
    found = []
    for axis in data.axes:
        for within in _contexts(data, arms, axis):
            levels = data.levels(axis, _inside(arms, within))
            found += [compare(data, arms, axis, level, levels[0], within) for level in levels[1:]]
    return [one for one in found if one is not None]


def compare(
    data: SweepData, arms: pd.DataFrame, axis: str, level: str, baseline: str, within: dict[str, str]
) -> Comparison | None:
    """One comparison; None where neither pairs nor, in a fraction, the additive model can tell the effect."""
    inside = _inside(arms, within)
    if fractional(data):
        both = least_squares(_levels_of(inside), axis, level, baseline)
        if both is not None:
            return Comparison(axis, level, baseline, within, fitted=tuple(int(place) for place in inside.index))
    level_P, base_P = _pairs(data, inside, axis, level, baseline)
    return Comparison(axis, level, baseline, within, level_P, base_P) if level_P else None


def fractional(data: SweepData) -> bool:
    """Whether the design is a fraction: the space has more configurations than the screen has arms."""
    search, space = data.spec.search, data.spec.parsed_space
    if search.design is None or len(data.spec.stages.arms) < search.size:
        return False

    def levels(dimension: Dimension) -> list[Value]:
        return dimension.corners[:1] if dimension.name in search.nuisance else dimension.grid or []

    return sum(1 for _ in itertools.islice(space.points(levels), search.size + 1)) > search.size


def least_squares(arms: list[dict[str, str]], axis: str, level: str, baseline: str) -> tuple[Array, Array] | None:
    """Weights of the arms whose sums are the model's mean at the level and at the baseline, or None.

    Levels are effect-coded, as in `sweeps.space.designs.effects`; None where the arms do not determine both means.
    """
    if not {level, baseline} <= {arm[axis] for arm in arms if axis in arm}:
        return None
    x_NP = designs.effects([dict(arm) for arm in (*arms, {axis: level}, {axis: baseline})])
    x_AP, means_2P = x_NP[:-2], x_NP[-2:]
    weights_2A = means_2P @ np.linalg.pinv(x_AP)
    if not np.allclose(weights_2A @ x_AP, means_2P, atol=1e-8):
        return None
    return weights_2A[0], weights_2A[1]


def registered(axes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Named interactions between axes of this sweep: axis, and the axis that its effect may depend on."""
    for first, second in REGISTERED:
        for other in axes:
            if first in axes and (other == second or (second.endswith(".") and other.startswith(second))):
                yield first, other


def _contexts(data: SweepData, arms: pd.DataFrame, axis: str) -> list[dict[str, str]]:
    partners = ["cell"] if "cell" in data.axes and axis != "cell" else []
    for first, second in registered(data.axes):
        partners += [second] if axis == first else [first] if axis == second else []
    groups: list[tuple[str, ...]] = [(by,) for by in dict.fromkeys(partners) if by != axis]
    joint = JOINT.get(axis, ())
    if joint and set(joint) <= set(data.axes):
        groups.append(joint)
    found: list[dict[str, str]] = [{}]
    for group in groups:
        for levels in itertools.product(*(data.levels(by, arms) for by in group)):
            within = dict(zip(group, levels, strict=True))
            if len(data.levels(axis, _inside(arms, within))) > 1:
                found.append(within)
    return found


def _inside(arms: pd.DataFrame, within: dict[str, str]) -> pd.DataFrame:
    for by, level in within.items():
        arms = arms[arms[by] == level]
    return arms


def _levels_of(arms: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {str(axis): level for axis, level in arm.items() if level != ABSENT} for arm in arms.to_dict(orient="records")
    ]


def _pairs(
    data: SweepData, arms: pd.DataFrame, axis: str, level: str, baseline: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Places of the arms at the level and of their partners at the baseline."""
    ours, theirs = arms[arms[axis] == level], arms[arms[axis] == baseline]
    fits = np.ones((len(ours), len(theirs)), dtype=bool)
    for other in arms.columns.drop(axis):
        mine, yours = ours[other].to_numpy()[:, None], theirs[other].to_numpy()[None, :]
        equal = mine == yours
        if (mine == ABSENT).any() or (yours == ABSENT).any():
            mine_first, your_first = (data.levels(other, side)[:1] for side in (ours, theirs))
            equal |= (yours == ABSENT) & np.isin(mine, mine_first)
            equal |= (mine == ABSENT) & np.isin(yours, your_first)
        fits &= equal
    level_P, base_P = np.nonzero(fits)
    return tuple(int(place) for place in ours.index[level_P]), tuple(int(place) for place in theirs.index[base_P])
