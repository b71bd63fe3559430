"""Tables of configurations, built by us and fed to Optuna with `enqueue_trial`.

Optuna's own GridSampler and BruteForceSampler raise on the last tell under ask and tell, its grid repeats points
under conditions, and its QMC is not balanced over categories.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from rnnlab.errors import SpecError
from rnnlab.training.seeding import seed_of
from sweeps.space.dimensions import Dimension, Picks, Value
from sweeps.space.space import Space

CANDIDATES = 4000
"""Configurations that a fraction is chosen among; of a larger space, so many are drawn."""
FEW = 5
"""Levels of a number up to which each has an effect of its own; of more, one slope is estimated."""
RIDGE = 1e-6
"""Added to the information matrix of the fraction that an exchange starts from, which may be singular."""


def grid(space: Space) -> list[Picks]:
    """Every configuration once, in the order of the dimensions, conditions applied.

    Raises:
        SpecError: a dimension is a range without steps.
    """
    return list(space.points(lambda dimension: _levels(dimension, "the sampler grid", "the sampler random or tpe")))


def arms_of(space: Space, nuisance: Collection[str], size: int, seed: int) -> list[Picks]:
    """The configurations of a screening design, without their nuisance values.

    All of them where there are at most `size`; else the `size` that estimate main effects best (D-optimal: Fedorov
    1972, rows of the effect-coded levels exchanged until none improves the determinant), drawn with `seed`.

    Raises:
        SpecError: a dimension that is no nuisance is a range without steps, or `size` is too small for the effects.
    """

    def levels(dimension: Dimension) -> list[Value]:
        if dimension.name in nuisance:
            return dimension.corners[:1]
        return _levels(dimension, "a design", "name it under search.nuisance")

    def plain(picks: Picks) -> Picks:
        return {name: value for name, value in picks.items() if name not in nuisance}

    found = [plain(picks) for picks in itertools.islice(space.points(levels), CANDIDATES + 1)]
    if len(found) <= size:
        return found
    draw = random.Random(seed_of("design", seed))
    if len(found) > CANDIDATES:
        drawn = [plain(space.pick(lambda dimension: draw.choice(levels(dimension)))) for _ in range(CANDIDATES)]
        found = list({tuple(sorted(picks.items(), key=str)): picks for picks in drawn}.values())
    x_NP = effects(found)
    if size < x_NP.shape[1]:
        raise SpecError(
            f"search.size must be at least {x_NP.shape[1]}, one configuration for each effect to be told apart, but "
            f"got {size}; raise it, or leave levels out of the space"
        )
    return [found[row] for row in exchange(x_NP, size, draw)]


def effects(arms: list[Picks]) -> NDArray[np.float64]:
    """Columns of main effects, (N, P): 1; for each level of a dimension but its first, +1 there, -1 at the first level,
    0 elsewhere; of numbers with more than `FEW` levels, one column from -1 to 1."""
    columns = [np.ones(len(arms))]
    for name in sorted({name for arm in arms for name in arm}):
        values = [arm.get(name) for arm in arms]
        numbers = [value for value in values if isinstance(value, int | float)]
        levels = sorted({value for value in values if value is not None}, key=str)
        if len(levels) > FEW and len(numbers) == len(arms):
            middle, reach = (max(numbers) + min(numbers)) / 2, (max(numbers) - min(numbers)) / 2
            columns.append((np.array(numbers) - middle) / reach)
            continue
        for level in levels[1:]:
            columns.append(
                np.array([1.0 if value == level else -1.0 if value == levels[0] else 0.0 for value in values])
            )
    return np.stack(columns, 1)


def exchange(x_NP: NDArray[np.float64], size: int, draw: random.Random) -> list[int]:
    """Rows of x whose information matrix has the largest determinant that single exchanges reach, ascending."""
    chosen = draw.sample(range(len(x_NP)), size)
    while True:
        inverse_PP = np.linalg.inv(x_NP[chosen].T @ x_NP[chosen] + RIDGE * np.eye(x_NP.shape[1]))
        covariance_SN = x_NP[chosen] @ inverse_PP @ x_NP.T
        all_N = ((x_NP @ inverse_PP) * x_NP).sum(1)
        mine_S = all_N[chosen]
        # growth of the determinant where row s gives its place to row n (Fedorov 1972)
        growth_SN = all_N - mine_S[:, None] - (mine_S[:, None] * all_N - covariance_SN**2)
        growth_SN[:, chosen] = -np.inf
        out, into = np.unravel_index(int(growth_SN.argmax()), growth_SN.shape)
        if growth_SN[out, into] < 1e-9:
            return sorted(chosen)
        chosen[out] = int(into)


def efficiency(arms: list[Picks], all_arms: list[Picks]) -> float:
    """D-efficiency of a fraction against all configurations, 1 at best, from determinants a configuration."""
    x_NP, whole_NP = effects(arms), effects(all_arms)
    if x_NP.shape[1] != whole_NP.shape[1]:
        return 0.0
    logs = [np.linalg.slogdet(x.T @ x / len(x))[1] for x in (x_NP, whole_NP)]
    return float(math.exp((logs[0] - logs[1]) / x_NP.shape[1]))


def nuisance_of(space: Space, names: Collection[str], seed: int, block: int) -> Picks:
    """The nuisance values of one block, each uniform over its choices or its range (log of it where it is log)."""
    return {name: _drawn(space.dimension_of(name, {}), seed_of("nuisance", seed, block, name)) for name in names}


def _drawn(dimension: Dimension, seed: int) -> Value:
    draw = random.Random(seed)
    if dimension.choices:
        return draw.choice(list(dimension.choices))
    if dimension.grid is not None:
        return draw.choice(dimension.grid)
    if dimension.log:
        value = math.exp(draw.uniform(math.log(dimension.low), math.log(dimension.high)))
        return round(value) if dimension.whole else value
    return draw.uniform(dimension.low, dimension.high)


def check_nuisance(space: Space, names: Collection[str]) -> None:
    """Raises:
    SpecError: no such dimension, one under a condition, or one that a condition looks at.
    """
    for name in names:
        parts = [dimension for dimension in space.dimensions if dimension.name == name]
        if not parts:
            known = ", ".join(dict.fromkeys(dimension.name for dimension in space.dimensions))
            raise SpecError(f"search.nuisance: {name!r} is no dimension of this space (dimensions: {known})")
        if len(parts) > 1 or parts[0].when:
            raise SpecError(f"search.nuisance: {name!r} is drawn for all arms of a block; drop its `when:`")
        if any(name in dimension.when for dimension in space.dimensions):
            raise SpecError(f"search.nuisance: a condition looks at {name!r}, so it is no nuisance; drop one of both")


def baseline_arm(space: Space, arms: list[Picks], baseline: Mapping[str, Value]) -> Picks:
    """The arm at the baseline level of every dimension: as given, else the first choice; the nearest one of `arms`."""

    def level(dimension: Dimension) -> Value:
        offered = _levels(dimension, "a design", "name it under search.nuisance")
        return next((value for value in offered if value == baseline.get(dimension.name)), offered[0])

    wanted = space.pick(lambda d: level(d) if any(d.name in arm for arm in arms) else d.corners[0])
    return max(arms, key=lambda arm: sum(wanted.get(name) == value for name, value in arm.items()))


def _levels(dimension: Dimension, who: str, way_out: str) -> list[Value]:
    found = dimension.grid
    if found is None:
        raise SpecError(
            f"space.{dimension.name}: {who} needs choices or a range with a step, but got "
            f"low={dimension.low:g}, high={dimension.high:g}; list the values, or use {way_out}"
        )
    return found
