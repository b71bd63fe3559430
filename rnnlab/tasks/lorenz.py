"""Forecasting the Lorenz attractor."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rnnlab.spec import TaskSpec
from rnnlab.tasks.forecast import ForecastTask
from rnnlab.training.seeding import seed_of

SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3
STEP = 0.01
"""Of the Runge-Kutta method, in units of time."""
EVERY = 2
"""Steps between observations: 0.02 units of time."""
TRANSIENT = 4000
"""Steps before the first observation: e^36 times any first difference between trajectories, which all then lie on the
attractor."""
TURN = 37
"""Observations of one turn about a wing, 0.75 units of time."""

States = npt.NDArray[np.float64]
"""x, y, z in front, (3, M)."""


class Lorenz(ForecastTask):
    """x of a Lorenz system is read every 0.02 units of time; x `ahead` readings later is wanted at every step.

    x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z, by a Runge-Kutta method of fourth order with steps of 0.01,
    bit for bit the same everywhere (it only adds and multiplies). `observe: xyz` reads and wants all three: then the
    present holds all that the future depends on, and lag is 1. Of x alone the past must make up for y and z; lag is
    then one turn about a wing, 37 readings, by choice (three would do if they were exact). Trivial baseline and
    success: see ForecastTask. Source: Lorenz 1963; its largest Lyapunov exponent is 0.906 (Sprott 2003).
    """

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        whole = spec.options["observe"] == "xyz"
        self.inputs = self.outputs = 3 if whole else 1
        self.lag = 1 if whole else min(TURN, self.length - 1)

    def observed(self, count: int, samples: int) -> npt.NDArray[np.float64]:
        return trajectories(count, samples)[..., : self.inputs]


def flow(state: States) -> States:
    """The time derivative of every state."""
    x, y, z = state
    return np.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z])


def stepped(state: States) -> States:
    """Every state 0.01 units of time later, by the classical Runge-Kutta method."""
    one = flow(state)
    two = flow(state + STEP / 2 * one)
    three = flow(state + STEP / 2 * two)
    four = flow(state + STEP * three)
    return state + STEP / 6 * (one + 2 * (two + three) + four)


def beginnings(count: int) -> States:
    """Different states on the attractor, (3, count)."""
    state = np.random.default_rng(seed_of("lorenz", "beginnings")).uniform(-10, 10, (3, count))
    state[2] += 25
    for _ in range(TRANSIENT):
        state = stepped(state)
    return state


@lru_cache(maxsize=4)
def trajectories(count: int, samples: int) -> npt.NDArray[np.float64]:
    """`count` trajectories on the attractor, (count, samples, 3)."""
    state = beginnings(count)
    seen = np.empty((samples, 3, count))
    for sample in range(samples):
        seen[sample] = state
        for _ in range(EVERY):
            state = stepped(state)
    return np.ascontiguousarray(seen.transpose(2, 0, 1))
