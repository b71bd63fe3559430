"""Tasks that forecast a simulated flow: windows of trajectories, each trajectory in one part."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlab.spec import LossSpec, TaskSpec
from rnnlab.tasks.base import Split, Success
from rnnlab.tasks.stored import PARTS, Part, WindowedTask, Windows, evenly

TRAJECTORIES: dict[Part, int] = {"training": 64, "validation": 16, "test": 16}


class ForecastTask(WindowedTask):
    """Standardised observations of a flow; at every step the observation `ahead` steps later is wanted.

    96 trajectories from different beginnings, 64 to train, 16 to validate and 16 to test, each with room for length + 1
    windows (of a held-out split at most 1,000 are kept, evenly spread). Inputs and targets are
    less the training rows' mean over their deviation; mse at every step, whose root is the NRMSE. Trivial baseline,
    the better on the training rows of two: that mean (0), or persistence, the value just read; its squared error
    measured on the split. Success is the project's: a tenth of it.
    """

    objective = "mse"
    natural_loss = LossSpec(at="every", combine="mean")
    success = Success("relative_loss", 0.1, "project")

    ahead: int
    """Readings ahead that are forecast."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self.length, self.ahead = spec.options["length"], spec.options["ahead"]

    @abstractmethod
    def observed(self, count: int, samples: int) -> npt.NDArray[np.float64]:
        """`count` trajectories of `samples` observations, (count, samples, I), always the same."""

    @cached_property
    def _x_RI(self) -> Tensor:
        count = sum(TRAJECTORIES.values())
        x_MRI = self.observed(count, self._samples)
        training = x_MRI[: TRAJECTORIES["training"]]
        x_MRI = (x_MRI - training.mean((0, 1))) / training.std((0, 1))
        return torch.from_numpy(x_MRI.reshape(count * self._samples, -1).astype(np.float32))

    @cached_property
    def _y_R(self) -> Tensor:
        """What lies `ahead` rows on; no window reaches a trajectory's last ones, which have nothing there."""
        return self._x_RI.roll(-self.ahead, 0)

    @property
    def _samples(self) -> int:
        """Observations of a trajectory."""
        return 2 * self.length + self.ahead

    @cached_property
    def _starts(self) -> dict[Part, Tensor]:
        ends = accumulate(TRAJECTORIES.values(), initial=0)
        within = torch.arange(self.length + 1)
        found = {
            part: (torch.arange(first, stop)[:, None] * self._samples + within).flatten()
            for part, (first, stop) in zip(PARTS, pairwise(ends), strict=True)
        }
        return {part: starts if part == "training" else evenly(starts) for part, starts in found.items()}

    def windows_of(self, part: Part) -> Windows:
        return Windows(self._x_RI, self._y_R, self._starts[part], self.length)

    @cached_property
    def persists(self) -> bool:
        """Whether the value just read is a better guess than the mean, over the training rows."""
        rows = self._x_RI[: TRAJECTORIES["training"] * self._samples].double()
        x_MRI = rows.view(TRAJECTORIES["training"], self._samples, -1)
        later = x_MRI[:, self.ahead :]
        return bool((later - x_MRI[:, : -self.ahead]).square().mean() < later.square().mean())

    def baseline_by_timestep(self, split: Split) -> Tensor:
        batch = self.validation if split == "validation" else self.test
        guess = batch.x_TNI if self.persists else torch.zeros_like(batch.x_TNI)
        return (batch.y_TN.double() - guess).square().mean((1, 2))
