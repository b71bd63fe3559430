"""What a sweep is: a task, a base, a space, a search and a budget, as a person writes it. Loads no torch."""

from __future__ import annotations

import itertools
import random
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rnnlab.choices import choose, nearest, parse_choice
from rnnlab.errors import SpecError
from rnnlab.spec import BudgetSpec, OptimSpec, ProbeSpec, Spec, TaskSpec, TrialSpec, content_hash
from rnnlab.training import OPTIMISERS
from rnnlab.written import dump_yaml, read_spec_file, validated
from sweeps.recording.names import TABLES
from sweeps.running.resources import ResourcesSpec
from sweeps.search.spec import SearchSpec
from sweeps.search.stages import Stages
from sweeps.space.decode import decode
from sweeps.space.dimensions import Picks
from sweeps.space.space import Space

MOST = 100_000
"""Trials of one sweep."""
CHECKED = 2000
"""Combinations of a space that are checked before a sweep starts; larger spaces are checked by sample."""


class SweepSpec(Spec):
    """A sweep, as a person writes it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Lower-case letters, digits, - and _; the id of the sweep, with -2, -3, ... when run again."""
    description: str = ""
    """What it asks, in a sentence."""
    task: TaskSpec
    model: dict[str, Any] = {}
    """What all configurations share; what is searched stands in `space`."""
    optim: dict[str, Any] = {}
    space: dict[str, Any] = Field(min_length=1)
    search: SearchSpec
    replicates: int = Field(5, ge=1, le=256)
    budget: BudgetSpec = BudgetSpec()
    probe: ProbeSpec = ProbeSpec()
    objective: Literal["score"] = "score"
    """What the search minimises: log10(validation loss / trivial baseline)."""
    resources: ResourcesSpec = ResourcesSpec()
    """What each trial is given of a machine, and how many share it: `{cpus: 1, gpus: 0, memory: 2GB, stack: 1}`."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self._check_base()
        space = self.parsed_space
        try:
            stages = self.stages
        except SpecError as error:
            raise SpecError(
                f"search: {error}" if not str(error).startswith(("space", "search")) else str(error)
            ) from None
        if stages.total > MOST:
            raise SpecError(f"a sweep has at most {MOST:,} trials, but this one has {stages.total:,}; ask for fewer")
        for picks in self._corners(space):
            shown = ", ".join(f"{name}={value}" for name, value in picks.items())
            try:
                space.pick(lambda dimension, picks=picks: picks[dimension.name])  # type: ignore[misc]
                decode(self._base, space, picks, seed=self.search.seed, block=0)
            except SpecError as error:
                raise SpecError(f"space: with {shown}: {error}") from None
        return self

    @model_validator(mode="after")
    def _stacked(self) -> Self:
        check_stack(self.resources, self.search)
        return self

    def _check_base(self) -> None:
        """What all configurations share must be known by itself, or the error would name the space."""
        # c is a state of some cells only: which one it is, is known with the space
        lone = {name: value for name, value in self.model.items() if name not in {*TABLES, "zoneout_c"}}
        optim = {name: value for name, value in self.optim.items() if name in ("lr", "batch", "clip")}
        validated(TrialSpec, {"task": {"kind": "adding"}, "model": lone, "optim": optim})
        for name, value in self.model.items():
            if name in TABLES and value is not None:
                try:
                    parse_choice(TABLES[name], value)
                except SpecError as error:
                    raise SpecError(f"model.{name}: {error}") from None
        fields = [name for name in OptimSpec.model_fields if name != "options"]
        kind = str(self.optim.get("kind", "adam"))
        lines = [*OPTIMISERS.values(), *([choose(OPTIMISERS, kind)] if ":" in kind else [])]
        known = [*fields, *dict.fromkeys(option for line in lines for option in line.options)]
        for name in self.optim:
            if name not in known:
                raise SpecError(f"optim.{name}: no such key{nearest(name, known)} (keys: {', '.join(known)})")
        try:
            choose(OPTIMISERS, kind)
        except SpecError as error:
            raise SpecError(f"optim.kind: {error}") from None

    def _corners(self, space: Space) -> list[Picks]:
        found = list(itertools.islice(space.points(lambda dimension: dimension.corners), CHECKED + 1))
        if len(found) <= CHECKED:
            return found
        draw = random.Random(0)
        return [space.pick(lambda dimension: draw.choice(dimension.corners)) for _ in range(CHECKED)]

    @property
    def _base(self) -> dict[str, Any]:
        """The sections of a `TrialSpec` that all trials share."""
        return {
            "task": self.task.model_dump(mode="json"),
            "model": self.model,
            "optim": self.optim,
            "probe": self.probe.model_dump(mode="json"),
            "budget": self.budget.model_dump(mode="json"),
            "replicates": self.replicates,
        }

    @cached_property
    def parsed_space(self) -> Space:
        """The space with its dimensions in order."""
        return Space(self.space, self.task.kind)

    @cached_property
    def stages(self) -> Stages:
        """What every trial is for."""
        return Stages(self.search, self.parsed_space)

    @property
    def trials(self) -> int:
        """Trials in all."""
        return self.stages.total

    def block_of(self, number: int) -> int:
        """The block of trial `number`."""
        return self.stages.slot(number).block

    def trial(self, number: int, picks: Picks) -> TrialSpec:
        """The trial that a point of the space means."""
        return decode(self._base, self.parsed_space, picks, seed=self.search.seed, block=self.block_of(number))

    @property
    def content_hash(self) -> str:
        """12 hex digits of all but name, description and resources: equal specs ask and train the same."""
        return content_hash(self.model_dump(mode="json", exclude={"name", "description", "resources"}))

    def to_yaml(self) -> str:
        """YAML that reads back as an equal spec, defaults left out."""
        return dump_yaml(self.model_dump(mode="json", exclude_defaults=True))

    @classmethod
    def from_file(cls, path: Path) -> SweepSpec:
        """The spec in a YAML or JSON file.

        Raises:
            SpecError: with everything that is wrong in one message.
        """
        return validated(cls, read_spec_file(path), str(path))


def check_stack(resources: ResourcesSpec, search: SearchSpec) -> None:
    """Raises:
    SpecError: trials side by side, and a pruner that would end one of them.
    """
    if resources.stack > 1 and search.pruner.kind != "none":
        raise SpecError(
            f"resources.stack is {resources.stack}, but trials side by side go on together, and search.pruner "
            f"{search.pruner.kind!r} would end one alone; set one of them to its default (stack: 1, pruner: none)"
        )
