"""From a point of the space to the trial it means: the only such place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnlab.spec import TrialSpec
from rnnlab.written import validated
from sweeps.recording.names import PARAMS
from sweeps.space.dimensions import Value
from sweeps.space.space import Space


def decode(base: Mapping[str, Any], space: Space, picks: Mapping[str, Value], *, seed: int, block: int) -> TrialSpec:
    """The trial that `picks` mean on top of `base`, the sweep's own task, model, optim, probe, budget.

    Args:
        base: plain values by section, as a person wrote them.
        picks: a point of `space`.

    Raises:
        SpecError: the combination is not allowed.
    """
    data: dict[str, Any] = {name: dict(value) if isinstance(value, Mapping) else value for name, value in base.items()}
    for name, value in picks.items():
        section, field = PARAMS[name] if name in PARAMS else ("task", name.removeprefix("task."))
        choices = space.dimension_of(name, picks).choices
        data.setdefault(section, {})[field] = choices.get(value, value)
    return validated(TrialSpec, {**data, "seed": seed, "block": block})
