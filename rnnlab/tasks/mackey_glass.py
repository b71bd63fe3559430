"""Forecasting the Mackey-Glass equation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rnnlab.spec import TaskSpec
from rnnlab.tasks.forecast import ForecastTask
from rnnlab.training.seeding import seed_of

PER_UNIT = 4
"""Steps of the Runge-Kutta method in a unit of time."""
TRANSIENT = 1000
"""Units of time before the first observation: about e^6 times any first difference between trajectories."""

Values = npt.NDArray[np.float64]
"""x of every trajectory, (M,)."""


class MackeyGlass(ForecastTask):
    """x is read every `sample` units of time; x `ahead` readings later is wanted at every step.

    x' = .2 x(t - tau) / (1 + x(t - tau)^10) - .1 x, by a Runge-Kutta method of fourth order with steps of 1/4 (the
    delayed value between two steps is that of the cubic through four), bit for bit the same everywhere. The forecast
    of 84 units that is usual is 14 readings of 6. Lag: tau in readings, rounded up, which the equation itself says; so
    few that the usual settings give no verdict (too_short): `sample: 1, tau: 30` has a lag of 30. Trivial baseline and
    success: see ForecastTask. Source: Mackey & Glass 1977; chaotic from tau = 17.
    """

    inputs = 1
    outputs = 1

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.tau, self.sample = spec.options["tau"], spec.options["sample"]
        self.lag = min(-(-self.tau // self.sample), self.length - 1)

    def observed(self, count: int, samples: int) -> npt.NDArray[np.float64]:
        return trajectories(count, samples, self.tau, self.sample)[..., None]


def slope(x: Values, delayed: Values) -> Values:
    """x' of every trajectory, of x now and tau units ago."""
    square = delayed * delayed
    fourth = square * square
    return 0.2 * delayed / (1 + fourth * fourth * square) - 0.1 * x


def integrated(history: npt.NDArray[np.float64], tau: int, steps: int) -> npt.NDArray[np.float64]:
    """x at every step of 1/PER_UNIT from -tau on, (tau PER_UNIT + 1 + steps, M).

    Args:
        history: x on [-tau, 0] at those steps, (tau PER_UNIT + 1, M).
    """
    back, h = tau * PER_UNIT, 1 / PER_UNIT
    x = np.empty((back + 1 + steps, history.shape[1]))
    x[: back + 1] = history
    for now in range(back, back + steps):
        then = now - back
        start, end = x[then], x[then + 1]
        before = x[then - 1] if then else start  # the history goes on as it begins
        middle = (9 * (start + end) - (before + x[then + 2])) / 16
        one = slope(x[now], start)
        two = slope(x[now] + h / 2 * one, middle)
        three = slope(x[now] + h / 2 * two, middle)
        four = slope(x[now] + h * three, end)
        x[now + 1] = x[now] + h / 6 * (one + 2 * (two + three) + four)
    return x


@lru_cache(maxsize=4)
def trajectories(count: int, samples: int, tau: int, sample: int) -> npt.NDArray[np.float64]:
    """`count` trajectories on the attractor, (count, samples), from waves of different height, period and phase."""
    draw = np.random.default_rng(seed_of("mackey_glass", "beginnings"))
    level, height = draw.uniform(0.6, 1.2, count), draw.uniform(0.1, 0.4, count)
    period, phase = draw.uniform(10, 60, count), draw.uniform(0, 1, count)
    t = np.arange(-tau * PER_UNIT, 1)[:, None] / PER_UNIT
    turns = t / period + phase
    # a wave of straight lines: a sine is not the same to the last bit on every machine
    history = level + height * (4 * np.abs(turns - np.floor(turns + 0.5)) - 1)
    steps = (TRANSIENT + (samples - 1) * sample) * PER_UNIT
    x = integrated(history, tau, steps)[-1 - (samples - 1) * sample * PER_UNIT :: sample * PER_UNIT]
    return np.ascontiguousarray(x.T)
