"""Tables of configurations, built by us and fed to Optuna with `enqueue_trial`.

Optuna's own GridSampler and BruteForceSampler raise on the last tell under ask and tell, and its grid repeats
points under conditions.
"""

from __future__ import annotations

from rnnlab.errors import SpecError
from sweeps.space.dimensions import Dimension, Picks, Value
from sweeps.space.space import Space


def grid(space: Space) -> list[Picks]:
    """Every configuration once, in the order of the dimensions, conditions applied.

    Raises:
        SpecError: a dimension is a range without steps.
    """

    def values(dimension: Dimension) -> list[Value]:
        found = dimension.grid
        if found is None:
            raise SpecError(
                f"space.{dimension.name}: the sampler grid needs choices or a range with a step, but got "
                f"low={dimension.low:g}, high={dimension.high:g}; list the values, or use the sampler random or tpe"
            )
        return found

    return list(space.points(values))
