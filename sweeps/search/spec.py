"""Who picks configurations, how many, and who ends one early, as a person writes it. Loads no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rnnlab.choices import Choice, From, parse_choice
from rnnlab.errors import SpecError
from rnnlab.spec import Spec
from sweeps.search import PRUNERS, SAMPLERS

Design = Literal["screen", "refine", "refine+confirm", "screen+refine"]
"""`screen`: every arm in every block, to compare them. `refine`: TPE over the nuisance values inside each arm, to get
the best of each. `refine+confirm`: then every arm at its best values on fresh seeds, to compare them each at its own.
`screen+refine`: the screen's winners refined, then confirmed on fresh seeds."""

OF_A_DESIGN = {
    "nuisance": ("screen", "refine", "refine+confirm", "screen+refine"),
    "size": ("screen", "refine", "refine+confirm", "screen+refine"),
    "winners": ("screen+refine",),
    "confirm": ("refine+confirm", "screen+refine"),
}
"""Keys that have an effect in some designs only."""


class SearchSpec(Spec):
    """Who picks configurations, how many, and who ends one early."""

    sampler: Annotated[Choice, From(SAMPLERS)] = parse_choice(SAMPLERS, "tpe")
    design: Design | None = None
    """A designed experiment instead of a sampler."""
    trials: int | None = Field(None, ge=1, le=100_000)
    """Trials in all; of `refine`, in each arm. A grid and a screen run their whole table, for each block."""
    pruner: Annotated[Choice, From(PRUNERS)] = parse_choice(PRUNERS, "none")
    seed: int = Field(0, ge=0)
    """Of the sampler, and with block and replicate of all training."""
    blocks: int = Field(1, ge=1, le=10_000)
    """Draws of seeds and nuisance values, each shared by all arms: what is paired. For random and tpe every trial is
    a block."""
    nuisance: list[str] = []
    """Dimensions that every block draws anew and all its arms share; `refine` searches over them, and where all have
    listed choices tries each combination once before TPE goes on."""
    baseline: dict[str, Any] = {}
    """Levels that the others are compared with, by dimension; the first choice where none is named."""
    size: int = Field(200, ge=2, le=1000)
    """Arms up to which a design is the full factorial; of more, a D-optimal fraction of this size runs."""
    winners: int = Field(3, ge=1, le=50)
    """Best arms of the screen that are refined and confirmed, beside the baseline."""
    confirm: int = Field(10, ge=2, le=10_000)
    """Fresh blocks on which the winners are confirmed; of `refine+confirm`, every arm."""

    @model_validator(mode="after")
    def _sized(self) -> Self:
        given = self.model_fields_set
        for key, designs in OF_A_DESIGN.items():
            if key in given and self.design not in designs:
                raise SpecError(
                    f"`{key}` has an effect with the design {' or '.join(designs)} only; leave it out, or add `design`"
                )
        if self.design is None:
            self._check_sampler()
        else:
            self._check_design(self.design, given)
        return self

    def _check_sampler(self) -> None:
        if self.sampler.kind == "grid":
            if self.trials is not None:
                raise SpecError("the sampler grid runs its whole table; leave `trials` out")
        elif self.trials is None:
            raise SpecError(f"the sampler {self.sampler.kind} requires `trials`, how many to run; add it")
        elif self.blocks != 1:
            raise SpecError(f"`blocks` has no effect with the sampler {self.sampler.kind}; leave it out")

    def _check_design(self, design: Design, given: set[str]) -> None:
        if "sampler" in given:
            raise SpecError("a sweep has a `sampler` or a `design`, but got both; leave one out")
        if design == "screen" and self.trials is not None:
            raise SpecError("the design screen runs its whole table in every block; leave `trials` out, set `blocks`")
        if "refine" in design:
            if self.trials is None:
                raise SpecError(f"the design {design} requires `trials`, how many to run in each arm; add it")
            if not self.nuisance:
                raise SpecError(f"the design {design} searches over `nuisance`; name at least one dimension, as [lr]")
        if design in ("refine", "refine+confirm") and self.blocks != 1:
            raise SpecError(f"`blocks` has no effect with the design {design}; leave it out")
        if self.pruner.kind != "none":
            raise SpecError(
                f"a design compares arms on the same budget, but the pruner {self.pruner.kind} ends the bad ones "
                "early; leave `pruner` out"
            )
