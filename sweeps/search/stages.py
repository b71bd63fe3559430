"""What every trial of a sweep is for: its stage, its block and, in a design, its arm.

| sampler or design | stages |
|---|---|
| random, tpe | `search`: the sampler picks; a block a trial |
| grid | `screen`: the whole table in every block, in its order |
| screen | `screen`: every arm in every block, in an order drawn for each block |
| refine | `refine`: TPE over the nuisance values inside each arm, the arms in turn |
| refine+confirm | `refine`, then `confirm`: every arm at its best values on fresh blocks |
| screen+refine | `screen`, then `refine` of the winners and the baseline, then `confirm` on fresh blocks |

A stage begins when the one before has ended. What was picked by looking at scores (`search` by tpe, and `refine`) is
adaptive: it finds good configurations and supports no claim about which level is better. Nuisance values that all have
listed choices are a table, which a refinement tries through before TPE goes on: four rates, four trials, none twice.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

from rnnlab.training.seeding import seed_of
from sweeps.search.spec import SearchSpec
from sweeps.space.designs import arms_of, baseline_arm, check_nuisance, grid, nuisance_of
from sweeps.space.dimensions import Picks, Value, label_of
from sweeps.space.space import Space

Stage = Literal["search", "screen", "refine", "confirm"]


@dataclass(frozen=True)
class Slot:
    """What one trial is for.

    Args:
        number: of the trial. stage: see above. block: which draw of seeds and nuisance values.
        place: of its arm among those of the stage; None where a sampler picks all.
    """

    number: int
    stage: Stage
    block: int
    place: int | None = None


@dataclass(frozen=True)
class Told:
    """A trial that has ended.

    Args:
        number: of the trial. picks: its point. score: what it came to; None where it did not use its budget.
    """

    number: int
    picks: Picks
    score: float | None


class Stages:
    """The stages of one sweep.

    Args:
        search: as written. space: what is varied.

    Raises:
        SpecError: the design does not fit the space.
    """

    def __init__(self, search: SearchSpec, space: Space) -> None:
        self.search, self.space = search, space
        self.designed = search.design is not None or search.sampler.kind == "grid"
        self.arms: list[Picks] = []
        """Of a design: configurations without nuisance values, in the order of the space."""
        if search.design is not None:
            check_nuisance(space, search.nuisance)
            self.arms = arms_of(space, search.nuisance, search.size, search.seed)
        elif self.designed:
            self.arms = grid(space)
        self.baseline: dict[str, Value] = {}
        """Level of each dimension that the others are compared with."""
        for name, value in search.baseline.items():
            self.baseline[name] = space.offered(name, label_of(name, value))
        for dimension in space.dimensions:
            if dimension.name not in search.nuisance and dimension.grid:
                self.baseline.setdefault(dimension.name, dimension.grid[0])

    @cached_property
    def sizes(self) -> dict[Stage, int]:
        """Trials of each stage, in order."""
        search, arms = self.search, len(self.arms)
        if not self.designed:
            return {"search": search.trials or 0}
        sizes: dict[Stage, int] = {}
        if search.design in (None, "screen", "screen+refine"):
            sizes["screen"] = arms * search.blocks
        if search.design in ("refine", "refine+confirm", "screen+refine"):
            sizes["refine"] = self.kept * (search.trials or 0)
        if search.design in ("refine+confirm", "screen+refine"):
            sizes["confirm"] = self.kept * search.confirm
        return sizes

    @property
    def kept(self) -> int:
        """Arms that are refined and confirmed: all, or of screen+refine the winners and the baseline."""
        if self.search.design != "screen+refine":
            return len(self.arms)
        return min(self.search.winners + 1, len(self.arms))

    @cached_property
    def table(self) -> list[Picks]:
        """Every combination of the nuisance values where all have listed choices and an arm has trials for each."""
        ours = [d for d in self.space.dimensions if d.name in self.search.nuisance]
        if not ours or any(not d.choices or d.when for d in ours):
            return []
        rows = [
            dict(zip((d.name for d in ours), values, strict=True)) for values in product(*(d.choices for d in ours))
        ]
        return rows if len(rows) <= (self.search.trials or 0) else []

    def tried(self, slot: Slot) -> Picks:
        """The nuisance values that a trial of `refine` runs at; {}: TPE picks them."""
        turn = slot.block - (self.search.blocks if "screen" in self.sizes else 0)
        return self.table[turn] if slot.stage == "refine" and turn < len(self.table) else {}

    @property
    def total(self) -> int:
        """Trials in all."""
        return sum(self.sizes.values())

    def slot(self, number: int) -> Slot:
        """What trial `number` is for."""
        within, block = number, 0
        for stage, size in self.sizes.items():
            width = self._width(stage)
            if within < size:
                if stage == "search":
                    return Slot(number, stage, within)
                place = within % width
                if stage == "screen" and self.search.design is not None:
                    place = self._order(within // width)[place]
                return Slot(number, stage, block + within // width, place)
            within -= size
            block += size // max(1, width)
        raise IndexError(f"the sweep has {self.total} trials, but got number {number}")

    def nuisance(self, slot: Slot) -> Picks:
        """The nuisance values that a block of a screen draws for all its arms."""
        if slot.stage != "screen":
            return {}
        return nuisance_of(self.space, self.search.nuisance, self.search.seed, slot.block)

    def waits_for(self, slot: Slot) -> range:
        """Numbers that must have ended before this one can be picked."""
        start = 0
        for stage, size in self.sizes.items():
            if stage == slot.stage:
                return range(start)
            start += size
        return range(0)

    def point(self, slot: Slot, told: Sequence[Told]) -> Picks:
        """What is fixed of a trial's point before a sampler is asked: nothing, its arm, or all.

        Args:
            told: every trial of `waits_for`; from them the winners follow, the same however often it is asked.
        """
        if slot.place is None:
            return {}
        if slot.stage == "screen":
            return {**self.arms[slot.place], **self.nuisance(slot)}
        return self.points(slot.stage, told)[slot.place]

    def points(self, stage: Stage, told: Sequence[Told]) -> list[Picks]:
        """What is fixed of the trials of a stage that is made from those before it, `refine` or `confirm`, by place."""
        return self.refined(told) if stage == "refine" else self.confirmed(told)

    def stage_of(self, number: int) -> Stage:
        """The stage of trial `number`."""
        within = number
        for stage, size in self.sizes.items():
            if within < size:
                return stage
            within -= size
        raise IndexError(f"the sweep has {self.total} trials, but got number {number}")

    def refined(self, told: Sequence[Told]) -> list[Picks]:
        """Arms that are refined: all, or the baseline and the winners of the screen, best first."""
        if self.search.design != "screen+refine":
            return self.arms
        screened = [one for one in told if one.score is not None and self.stage_of(one.number) == "screen"]
        means = {place: _mean(arm, screened) for place, arm in enumerate(self.arms)}
        first = self.arms.index(baseline_arm(self.space, self.arms, self.baseline))
        ranked = sorted((place for place in means if place != first), key=lambda place: (means[place], place))
        return [self.arms[place] for place in [first, *ranked][: self.kept]]

    def confirmed(self, told: Sequence[Told]) -> list[Picks]:
        """The points that are confirmed: each refined arm at its best nuisance values."""
        points = []
        for arm in self.refined(told):
            tried = [one for one in told if one.score is not None and _of_arm(one, arm)]
            refining = [one for one in tried if self.stage_of(one.number) == "refine"]
            best = min(refining or tried, key=lambda one: (one.score, one.number), default=None)
            drawn = nuisance_of(self.space, self.search.nuisance, self.search.seed, 0)
            points.append({**drawn, **arm} if best is None else best.picks)
        return points

    def _mean(self, arm: Picks, told: Sequence[Told]) -> float:
        scores = [
            one.score
            for one in told
            if one.score is not None and self.slot(one.number).stage == "screen" and _of_arm(one, arm)
        ]
        return math.fsum(scores) / len(scores) if scores else math.inf

    def _width(self, stage: Stage) -> int:
        """Trials of one block of a stage."""
        if stage == "search":
            return 1
        return len(self.arms) if stage == "screen" else self.kept

    def _order(self, block: int) -> list[int]:
        """The order in which a block runs its arms, so that time of day and worker favour none."""
        order = list(range(len(self.arms)))
        random.Random(seed_of("order", self.search.seed, block)).shuffle(order)
        return order


def _mean(arm: Picks, screened: Sequence[Told]) -> float:
    scores = [one.score for one in screened if one.score is not None and _of_arm(one, arm)]
    return math.fsum(scores) / len(scores) if scores else math.inf


def _of_arm(one: Told, arm: Picks) -> bool:
    return all(one.picks.get(name) == value for name, value in arm.items()) and len(arm) <= len(one.picks)
