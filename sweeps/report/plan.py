"""What a sweep would run, before anything runs: stages, arms, blocks, and what it could tell. Trains nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from rnnlab.spec import TrialSpec
from sweeps.analysis.data import ABSENT, axis_names, nuisance_names, text_of
from sweeps.analysis.power import Power, planned
from sweeps.running.cost import Cost
from sweeps.running.progress import trial_label
from sweeps.search.stages import Slot, Stage
from sweeps.space.designs import CANDIDATES, arms_of, efficiency
from sweeps.space.dimensions import Picks
from sweeps.space.suggest import suggest
from sweeps.spec import SweepSpec

LISTED = 24
"""Arms up to which all are named."""
SAMPLED = 300
"""Trials of a stage that are looked at one by one; of a larger one a sample speaks for all."""
NOT_COMPILED = (
    "There is no C compiler here (cc): with one, as Debian's package gcc, updates of rnn and gru take about half of "
    "the time that was measured, those of lstm four fifths."
)
ON_GPU = (
    "Trials will train on GPUs (resources.gpus), and these times are this machine's processor's: there they differ."
)

STAGES: dict[Stage, str] = {
    "search": "the sampler picks",
    "screen": "every arm in every block, to compare arms",
    "refine": "TPE over the nuisance values inside each arm, to find the best of each",
    "confirm": "the best configuration of each refined arm on fresh blocks",
}
"""What each stage is for."""


class Part(BaseModel):
    """Frozen, and refuses extra keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StagePlan(Part):
    """One stage."""

    stage: Stage
    trials: int
    arms: int | None
    """None where a sampler picks."""
    blocks: int | None
    meaning: str


class ArmPlan(Part):
    """One arm by name."""

    label: str
    levels: dict[str, str]
    baseline: bool


class NuisancePlan(Part):
    """A value that blocks draw, or that a sampler picks without it being compared."""

    name: str
    offered: str
    """What it may be: `rnn, lstm` or `0.0001 to 0.01`."""
    drawn: list[float | str]
    """Values of the screen's blocks, in their order; empty where a sampler picks them."""


class Plan(Part):
    """What a sweep would run."""

    name: str
    description: str
    hash: str
    trials: int
    replicates: int
    updates: int
    """Of each trial."""
    stages: list[StagePlan]
    designed: bool
    """Whether arms are tabulated; else a sampler picks points of the space."""
    arms: int
    all_arms: int | None
    """Arms of the full factorial; None where there are more than can be listed."""
    efficiency: float | None
    """D-efficiency of a fraction against the full factorial, 1 at best; None where it is no fraction."""
    levels: dict[str, dict[str, int]]
    """Axis -> level -> arms at that level."""
    listed: list[ArmPlan]
    """Arms by name, where there are at most `LISTED`."""
    nuisance: list[NuisancePlan]
    units: int
    """Blocks of the screen, or of blocks that draw nothing but seeds every replicate: what is paired."""
    unit: str
    pruned: bool
    """Whether a pruner may end trials early."""
    gpus: float = 0.0
    """Of a trial, or of those that are trained side by side."""
    stack: int = 1
    """Trials of one shape that are trained side by side, at most."""
    power: Power | None
    """Which difference the screen can see; None where there is none."""
    cost: Cost | None = None
    """None where it was not measured."""


def plan_of(spec: SweepSpec) -> Plan:
    """What a sweep would run and could tell; its cost is added by who measures it."""
    stages, search = spec.stages, spec.search
    arms = stages.arms
    count, share = _factorial(spec) if arms and search.design is not None else (len(arms), None)
    seeds_alone = not search.nuisance
    return Plan(
        name=spec.name,
        description=spec.description,
        hash=spec.content_hash,
        trials=spec.trials,
        replicates=spec.replicates,
        updates=spec.budget.updates,
        stages=[_stage(spec, stage, size) for stage, size in stages.sizes.items()],
        designed=stages.designed,
        arms=len(arms),
        all_arms=count,
        efficiency=share,
        levels=_levels(spec, arms),
        listed=[_arm(spec, arm) for arm in arms] if len(arms) <= LISTED else [],
        nuisance=[_nuisance(spec, name) for name in nuisance_names(spec)],
        units=search.blocks * (spec.replicates if seeds_alone else 1) if "screen" in stages.sizes else 0,
        unit="seed" if seeds_alone else "block",
        pruned=search.pruner.kind != "none",
        gpus=spec.resources.gpus,
        stack=spec.resources.stack,
        power=planned(spec),
    )


def sentences(plan: Plan) -> list[str]:
    """The plan in words: what would run, what it could tell, what it would cost."""
    said = [
        f"{plan.trials:,} {_many('trial', plan.trials)} of {plan.replicates} {_many('replicate', plan.replicates)} and "
        f"{plan.updates:,} updates each: {plan.trials * plan.replicates * plan.updates:,} updates of a network in all."
    ]
    if plan.designed:
        said.append(_design(plan))
    for value in plan.nuisance:
        said.append(f"{value.name}: {_drawn(value)}.")
    if plan.units:
        what = "seeds (block and replicate)" if plan.unit == "seed" else "blocks"
        said.append(f"Arms are compared in {plan.units} {what}, which all of them share.")
    elif not plan.designed:
        said.append("The sampler picks by what it has seen: it finds good points, and supports no claim about levels.")
    if plan.power is not None:
        said.append(plan.power.sentence)
    if plan.stack > 1:
        said.append(f"Up to {plan.stack} trials of one shape share a worker (resources.stack).")
    if plan.cost is not None:
        said += _cost(plan, plan.cost)
    return said


def sampled(spec: SweepSpec) -> list[tuple[TrialSpec, float]]:
    """Trials that stand for the whole sweep, each with the number of trials that it stands for.

    What a sampler or TPE will pick is not known: those points are drawn at random; the winners of a screen are not
    known: all arms stand for them alike.
    """
    draw = random.Random(0)
    found: list[tuple[TrialSpec, float]] = []
    start = 0
    for stage, size in spec.stages.sizes.items():
        numbers = range(start, start + size)
        chosen = sorted(draw.sample(numbers, SAMPLED)) if size > SAMPLED else list(numbers)
        found += [(trial, size / len(chosen)) for trial in _trials(spec, stage, chosen, draw)]
        start += size
    return found


def _trials(spec: SweepSpec, stage: Stage, numbers: list[int], draw: random.Random) -> Iterator[TrialSpec]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stages, space = spec.stages, spec.parsed_space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for place, number in enumerate(numbers):
        slot: Slot = stages.slot(number)
        if stage == "screen":
            yield spec.trial(number, stages.point(slot, []))
            continue
        # arms in turn, so that a sample of at least as many holds each
        fixed = stages.arms[place % len(stages.arms)] if stages.arms else None
        yield spec.trial(number, suggest(study.ask(), space, fixed))


def _stage(spec: SweepSpec, stage: Stage, size: int) -> StagePlan:
    stages, search = spec.stages, spec.search
    arms = {"search": None, "screen": len(stages.arms), "refine": stages.kept, "confirm": stages.kept}[stage]
    blocks = {"screen": search.blocks, "confirm": search.confirm}.get(stage)
    meaning = STAGES[stage]
    if stage == "search":
        meaning = f"the sampler {search.sampler.kind} picks every point"
    if stage == "refine" and stages.table:
        tried = f"each of {len(stages.table)} combinations of the nuisance values once"
        more = " and then TPE" if len(stages.table) < (search.trials or 0) else ""
        meaning = f"{tried}{more} inside each arm, to find the best of each"
    if stage in ("refine", "confirm") and search.design == "screen+refine":
        meaning += f" ({stages.kept - 1} best of the screen, and the baseline)"
    return StagePlan(stage=stage, trials=size, arms=arms, blocks=blocks, meaning=meaning)


def _factorial(spec: SweepSpec) -> tuple[int | None, float | None]:
    """Arms of the full factorial (None: too many to list), and the D-efficiency of a fraction of them."""
    space, search, mine = spec.parsed_space, spec.search, spec.stages.arms
    every = arms_of(space, search.nuisance, CANDIDATES + 1, search.seed)
    if len(every) <= len(mine):
        return len(every), None
    if len(every) <= CANDIDATES:
        return len(every), efficiency(mine, every)
    draw = random.Random(0)  # `every` is cut short in the order of the space: a sample stands for it

    def anyone() -> Picks:
        picks = space.pick(lambda dimension: draw.choice(dimension.grid or dimension.corners))
        return {name: value for name, value in picks.items() if name not in search.nuisance}

    return None, efficiency(mine, [*mine, *(anyone() for _ in range(CANDIDATES))])


def _levels(spec: SweepSpec, arms: list[Picks]) -> dict[str, dict[str, int]]:
    """Arms at each level of each axis; without a table of arms the levels that the space offers, each with 0."""
    found: dict[str, dict[str, int]] = {}
    for axis in axis_names(spec):
        counts: dict[str, int] = {}
        for dimension in spec.parsed_space.dimensions:
            if dimension.name == axis:
                counts |= {text_of(value): 0 for value in dimension.grid or () if text_of(value) not in counts}
        for arm in arms:
            level = text_of(arm[axis]) if axis in arm else ABSENT
            counts[level] = counts.get(level, 0) + 1
        found[axis] = counts
    return found


def _arm(spec: SweepSpec, arm: Picks) -> ArmPlan:
    from sweeps.space.designs import baseline_arm

    stages = spec.stages
    drawn = stages.nuisance(stages.slot(0)) if "screen" in stages.sizes else {}
    first = {name: spec.parsed_space.dimension_of(name, {}).corners[0] for name in spec.search.nuisance}
    levels = {axis: text_of(arm[axis]) if axis in arm else ABSENT for axis in axis_names(spec)}
    return ArmPlan(
        label=trial_label(spec.trial(0, {**first, **drawn, **arm}), arm),
        levels=levels,
        baseline=arm == baseline_arm(spec.parsed_space, stages.arms, stages.baseline),
    )


def _nuisance(spec: SweepSpec, name: str) -> NuisancePlan:
    stages, search = spec.stages, spec.search
    offered = "; ".join(dict.fromkeys(d.shown for d in spec.parsed_space.dimensions if d.name == name))
    drawn: list[float | str] = []
    if name in search.nuisance and "screen" in stages.sizes:
        for block in range(search.blocks):
            value: Any = stages.nuisance(Slot(0, "screen", block))[name]
            drawn.append(value if isinstance(value, int | float | str) else str(value))
    return NuisancePlan(name=name, offered=offered, drawn=drawn)


def _design(plan: Plan) -> str:
    if plan.efficiency is None:
        return f"{plan.arms} {_many('arm', plan.arms)}: every combination of levels that the conditions allow."
    whole = f"{plan.all_arms:,}" if plan.all_arms else f"more than {CANDIDATES:,}"
    return (
        f"{plan.arms} of {whole} possible arms, a fraction chosen to estimate main effects (D-efficiency "
        f"{plan.efficiency:.2f} of the full factorial's); interactions of levels are estimated poorly or not at all."
    )


def _drawn(value: NuisancePlan) -> str:
    if not value.drawn:
        return f"{value.offered}, picked by the sampler, not compared"
    numbers = [one for one in value.drawn if not isinstance(one, str)]
    if len(numbers) == len(value.drawn):
        return (
            f"drawn once for each block and shared by its arms, {min(numbers):.3g} to {max(numbers):.3g} in "
            f"{len(numbers)} {_many('block', len(numbers))} (of {value.offered})"
        )
    counts = {one: value.drawn.count(one) for one in dict.fromkeys(value.drawn)}
    return "drawn once for each block and shared by its arms: " + ", ".join(f"{one} x {n}" for one, n in counts.items())


def _cost(plan: Plan, cost: Cost) -> list[str]:
    timed = sum(shape.measured for shape in cost.shapes)
    of = "" if timed == len(cost.shapes) else f" of {len(cost.shapes)}, whose mean stands for the others"
    most = "At most about" if plan.pruned else "About"
    return [
        f"{most} {span(cost.cpu_seconds)} of processor time for training and {span(cost.recording_seconds)} for "
        f"recording; about {span(cost.wall_seconds)} from start to end with {cost.workers} "
        f"{_many('worker', cost.workers)} on {cost.cpus} {_many('processor', cost.cpus)} that do nothing else.",
        f"About {cost.storage_mb:,.0f} MB: curves, pictures and {cost.points:,} metric points.",
        f"Measured just now on one thread: {timed} {_many('shape', timed)}{of}, {cost.measuring_seconds:.1f} s; "
        f"replicates that diverge{' or are pruned' if plan.pruned else ''} cost less.",
        *([] if cost.compiled else [NOT_COMPILED]),
        *([ON_GPU] if plan.gpus else []),
    ]


def span(seconds: float) -> str:
    """A time as people say it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def _many(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
