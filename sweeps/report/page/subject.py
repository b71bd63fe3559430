"""What a report is about, and which of its arms stand out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from sweeps.analysis.data import ABSENT, SweepData
from sweeps.analysis.results import Analysis, Arm


@dataclass(frozen=True)
class Subject:
    """What `write_report` is given."""

    analysis: Analysis
    data: SweepData
    folder: Path
    spec_yaml: str
    versions: dict[str, str]
    running: bool

    @cached_property
    def baseline(self) -> int | None:
        """Place of the arm whose every level is its axis' baseline; None: it did not run, or there are no axes."""
        first = {axis: levels[0] for axis, levels in self.analysis.axes.items() if levels}
        if not first:
            return None
        for place, arm in enumerate(self.analysis.arms):
            told = {axis: level for axis, level in arm.levels.items() if axis in first and level != ABSENT}
            if told and all(first[axis] == level for axis, level in told.items()):
                return place
        return None

    @cached_property
    def best(self) -> int | None:
        """Place of the arm that solved most often, of equal ones that with the lowest test score."""
        return self._first(lambda arm: (-_share(arm, "solved", -1), _mean(arm, "test_score", math.inf)))

    @cached_property
    def worst(self) -> int | None:
        """Place of the arm whose decades at the end are furthest from 0."""
        known = [n for n, arm in enumerate(self.analysis.arms) if math.isfinite(_mean(arm, "decades", math.nan))]
        return max(known, key=lambda n: abs(_mean(self.analysis.arms[n], "decades", 0)), default=None)

    @cached_property
    def order(self) -> list[int]:
        """Places of all arms, the most telling first: best, baseline, worst decades, then by success."""
        arms = self.analysis.arms
        ranked = sorted(
            range(len(arms)), key=lambda n: (-_share(arms[n], "solved", -1), _mean(arms[n], "test_score", math.inf))
        )
        first = [place for place in (self.best, self.baseline, self.worst) if place is not None]
        return list(dict.fromkeys([*first, *ranked]))

    def marks(self, place: int) -> list[str]:
        """What an arm stands out by."""
        solved = self.best is not None and _share(self.analysis.arms[self.best], "solved", 0) > 0
        named = {
            "solved most often" if solved else "lowest test score": self.best,
            "baseline": self.baseline,
            "furthest from 0 decades": self.worst,
        }
        return [words for words, at in named.items() if at == place]

    def rows(self, arm: Arm) -> pd.DataFrame:
        """The rows of an arm's trials, by trial."""
        frame = self.data.frame
        if arm.evidence == "paired" and len(self.data.paired):
            frame = self.data.paired
        elif arm.evidence == "confirmed" and len(self.data.confirmed):
            frame = self.data.confirmed
        elif arm.evidence == "adaptive" and len(self.data.adaptive):
            frame = self.data.adaptive
        for axis in self.data.axes:
            frame = frame[frame[axis] == arm.levels.get(axis, ABSENT)]
        return frame.sort_values(["trial", "replicate"])

    def _first(self, key: Callable[[Arm], tuple[float, float]]) -> int | None:
        arms = self.analysis.arms
        return min(range(len(arms)), key=lambda n: key(arms[n]), default=None)


def _share(arm: Arm, name: str, missing: float) -> float:
    return _or(arm.shares[name].value, missing) if name in arm.shares else missing


def _mean(arm: Arm, name: str, missing: float) -> float:
    return _or(arm.means[name].value, missing) if name in arm.means else missing


def _or(value: float, missing: float) -> float:
    return value if math.isfinite(value) else missing
