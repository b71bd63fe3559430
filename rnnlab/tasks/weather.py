"""Seattle's daily weather: will it rain tomorrow."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Split, Success
from rnnlab.tasks.stored import Part, WindowedTask, Windows

YEARS: dict[Part, tuple[int, ...]] = {"training": (2012, 2013), "validation": (2014,), "test": (2015,)}
DAYS_IN_YEAR = 365.25


class Weather(WindowedTask):
    """1,461 days of Seattle, 2012 to 2015, 623 of them wet: from the days so far, is tomorrow wet?

    Inputs: precipitation as log(1 + mm), highest and lowest temperature, wind, all standardised with the
    training days' mean and deviation, and sine and cosine of the day of the year. The target of day t is
    whether day t + 1 has precipitation above 0. Windows of `length` days begin at every day. Splits are by
    time: 2012 and 2013 train, 2014 validates, 2015 tests; no window and no target crosses from one to the
    next. Trivial baseline: the training days' share of wet tomorrows as a constant probability. Lag 30, by
    choice: weather has no exact one. Source: NOAA, carried by vega_datasets, whose column `weather` is
    spoilt (days without precipitation called rain) and never read. Success is the project's.
    """

    inputs = 6
    outputs = 1
    lag = 30
    objective = "binary"
    natural_loss = LossSpec(at="every", combine="mean")
    success = Success("relative_loss", 0.9, "project")

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length = spec.options["length"]

    @cached_property
    def _frame(self) -> Any:
        from vega_datasets import local_data

        return local_data.seattle_weather()

    @cached_property
    def _x_RI(self) -> Tensor:
        days = self._frame
        measured = np.stack([np.log1p(days["precipitation"]), days["temp_max"], days["temp_min"], days["wind"]], axis=1)
        training = measured[slice(*self._bounds("training"))]
        measured = (measured - training.mean(0)) / training.std(0)
        angle = (2 * math.pi * days["date"].dt.day_of_year / DAYS_IN_YEAR).to_numpy()
        x_RI = np.column_stack([measured, np.sin(angle), np.cos(angle)])
        return torch.from_numpy(x_RI.astype(np.float32))

    @cached_property
    def _y_R(self) -> Tensor:
        wet_R = torch.from_numpy((self._frame["precipitation"] > 0).to_numpy(np.float32))
        return wet_R.roll(-1)  # the last day's is the first day's wetness, and no window reaches it

    def _bounds(self, part: Part) -> tuple[int, int]:
        """The first day of a part, and the first after it."""
        days = np.flatnonzero(self._frame["date"].dt.year.isin(YEARS[part]))
        return int(days[0]), int(days[-1]) + 1

    @cached_property
    def _starts(self) -> dict[Part, Tensor]:
        bounds = {part: self._bounds(part) for part in YEARS}
        # a window ends at stop - 2 at the latest: the target of its last day is the part's last day
        return {part: torch.arange(first, stop - self.length) for part, (first, stop) in bounds.items()}

    def windows_of(self, part: Part) -> Windows:
        return Windows(self._x_RI, self._y_R, self._starts[part], self.length)

    def baseline_by_timestep(self, split: Split) -> Tensor:
        first, stop = self._bounds("training")
        wet = float(self._y_R[first : stop - 1].double().mean())
        share_T = (self.validation if split == "validation" else self.test).y_TN.double().mean(1)
        return -(share_T * math.log(wet) + (1 - share_T) * math.log1p(-wet))
