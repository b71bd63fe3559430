"""From Optuna's trial to a point of the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sweeps.space.dimensions import Dimension, Picks, Value
from sweeps.space.space import Space

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.trial.Trial, space: Space, fixed: Mapping[str, Value] | None = None) -> Picks:
    """The point that a trial picks, dimension by dimension; conditions decide which are asked.

    Args:
        fixed: values that are not asked for: the arm inside which a design refines.
    """

    def choose(dimension: Dimension) -> Value:
        if fixed is not None and dimension.name in fixed:
            return fixed[dimension.name]
        if dimension.choices:
            value = trial.suggest_categorical(dimension.key, list(dimension.choices))
            assert value is not None
            return value
        if dimension.whole:
            step = int(dimension.step or 1)
            return trial.suggest_int(
                dimension.key, int(dimension.low), int(dimension.high), step=step, log=dimension.log
            )
        return trial.suggest_float(dimension.key, dimension.low, dimension.high, step=dimension.step, log=dimension.log)

    return space.pick(choose)


def named_by_key(space: Space, picks: Picks) -> dict[str, Value]:
    """A point by Optuna's names, for `enqueue_trial`."""
    return {space.dimension_of(name, picks).key: value for name, value in picks.items()}
