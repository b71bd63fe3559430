"""A sweep's results as one table, a row a replicate: what every analysis starts from.

Columns of `frame`:

trial, replicate, block, stage: numbers, and the stage of `sweeps.search.stages`.
unit: what is paired and resampled: the block; `block.replicate` in a screen whose blocks draw nothing but seeds, since
    then every replicate is a draw of its own.
label: the trial's readable name.
one column for each axis: its level as text, `-` where its condition does not hold.
one for each nuisance value, as `lr`: a number or text.
outcome, cause, verdict, verdict_init: text; cause is None unless it diverged.
healthy, healthy_init, vanished, vanished_init, exploded, diverged, solved: true or false, the first and the third by
    the last probe; healthy only where nothing exploded; exploded also where the last verdict is exploding.
score, test_score, accuracy: numbers, NaN where unknown.
decades, decades_init: D, cut at 20 either way.
slope, hump, healthy_share, clip_rate, spikes: numbers.
solved_at: updates; NaN where the criterion was never met.
updates, cpu_seconds: of the replicate; its trial's processor time over the replicates trained side by side.
healthy_r2, healthy_r3, healthy_r5: healthy with another threshold.
decades_2, loss_5, ...: SIGNAL_PERCENT, the signals of `rnnlab.training.signals`; NaN where not measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from rnnlab.training.signals import AT, CUT, SIGNALS
from rnnlab.verdict import SENSITIVITY
from sweeps.search.stages import Slot
from sweeps.space.dimensions import Value
from sweeps.spec import SweepSpec
from sweeps.store import Lab, ReplicateRecord, TrialRecord

ABSENT = "-"
"""Level of an axis whose condition does not hold."""
ADAPTIVE = frozenset({"search", "refine"})
"""Stages whose trials were picked by looking at scores; `search` by the sampler random is not."""


@dataclass(frozen=True)
class SweepData:
    """One sweep's results.

    Args:
        sweep_id: its id. spec: what was asked. frame: see above; complete trials alone.
        ended: trials by state (`complete`, `failed`, `running`, ...).
        lag: K of the task.
    """

    sweep_id: str
    spec: SweepSpec
    frame: pd.DataFrame
    ended: dict[str, int]
    lag: int

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Dimensions that are compared: no nuisance, and two of their levels ran."""
        return tuple(name for name in axis_names(self.spec) if len(self.levels(name)) > 1)

    @property
    def nuisance(self) -> tuple[str, ...]:
        """Dimensions without levels, or drawn by block."""
        return nuisance_names(self.spec)

    @cached_property
    def paired(self) -> pd.DataFrame:
        """Rows that support a claim about levels: of a design's screen, in blocks that every arm shares."""
        return self.frame[self.frame["stage"] == "screen"]

    @cached_property
    def confirmed(self) -> pd.DataFrame:
        """Rows of the winners on fresh blocks."""
        return self.frame[self.frame["stage"] == "confirm"]

    @cached_property
    def adaptive(self) -> pd.DataFrame:
        """Rows that were picked by looking at scores: no claim about levels, and no p-value, comes from them."""
        by_tpe = self.spec.search.design is not None or self.spec.search.sampler.kind == "tpe"
        return self.frame[self.frame["stage"].isin(ADAPTIVE if by_tpe else ())]

    @property
    def by_replicate(self) -> bool:
        """Whether a replicate is a unit of its own: a block draws nothing but seeds."""
        return not self.spec.search.nuisance

    def levels(self, axis: str, rows: pd.DataFrame | None = None) -> list[str]:
        """Levels of an axis that occur in `rows` (default: all), the baseline first, then as the space has them."""
        present = set((self.frame if rows is None else rows)[axis]) - {ABSENT}
        offered: list[str] = []
        for dimension in self.spec.parsed_space.dimensions:
            if dimension.name == axis:
                offered += [text_of(value) for value in dimension.grid or () if text_of(value) not in offered]
        found = [level for level in offered if level in present]
        first = text_of(self.spec.stages.baseline.get(axis, ""))
        return sorted(found, key=lambda level: level != first)


def load(lab: Lab, sweep_id: str, lag: int | None = None) -> SweepData:
    """What the lab database holds of a sweep.

    Args:
        lag: of the task; None: read from the task itself, whose data is loaded for it.

    Raises:
        SpecError: no such sweep.
    """
    spec = SweepSpec.model_validate(lab.sweep(sweep_id).spec)
    trials = lab.trials(sweep_id)
    if lag is None:
        lag = lag_of(spec)
    return data_of(sweep_id, spec, trials, lab.replicates(sweep_id), lag)


def lag_of(spec: SweepSpec) -> int:
    """The lag of a sweep's task at the first point of its space."""
    from rnnlab.training.stack import load_task

    first = next(spec.parsed_space.points(lambda dimension: dimension.corners))
    return load_task(spec.trial(0, first)).lag


def data_of(
    sweep_id: str, spec: SweepSpec, trials: Iterable[TrialRecord], replicates: Iterable[ReplicateRecord], lag: int
) -> SweepData:
    """The table from records."""
    trials = list(trials)
    by_number = {trial.number: trial for trial in trials}
    ended: dict[str, int] = {}
    for trial in trials:
        ended[trial.state] = ended.get(trial.state, 0) + 1
    rows = [
        _row(spec, by_number[replicate.trial], replicate)
        for replicate in replicates
        if by_number[replicate.trial].state == "complete"
    ]
    frame = pd.DataFrame(rows, columns=columns_of(spec))
    return SweepData(sweep_id, spec, frame, ended, lag)


def axis_names(spec: SweepSpec) -> tuple[str, ...]:
    """Dimensions with levels that are no nuisance, in the order of the space."""
    names = dict.fromkeys(
        d.name for d in spec.parsed_space.dimensions if d.grid is not None and d.name not in spec.search.nuisance
    )
    return tuple(name for name in names if name not in nuisance_names(spec))


def nuisance_names(spec: SweepSpec) -> tuple[str, ...]:
    """Dimensions that a block draws, and ranges without steps."""
    loose = dict.fromkeys(d.name for d in spec.parsed_space.dimensions if d.grid is None)
    return tuple(dict.fromkeys([*spec.search.nuisance, *loose]))


def columns_of(spec: SweepSpec) -> list[str]:
    """Names of the table's columns."""
    return [
        "trial", "replicate", "block", "stage", "unit", "label", *axis_names(spec), *nuisance_names(spec),
        "outcome", "cause", "verdict", "verdict_init", "healthy", "healthy_init", "vanished", "vanished_init",
        "exploded", "diverged", "solved", "score", "test_score", "accuracy", "decades", "decades_init", "slope", "hump",
        "healthy_share", "clip_rate", "spikes", "solved_at", "updates", "cpu_seconds",
        *(f"healthy_r{r:g}" for r in SENSITIVITY),
        *(f"{signal}_{percent}" for percent in AT for signal in SIGNALS),
    ]  # fmt: skip


def text_of(value: Value) -> str:
    """A level as text: `3`, `0.5`, `orthogonal(1)`."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _row(spec: SweepSpec, trial: TrialRecord, one: ReplicateRecord) -> dict[str, Any]:
    slot = spec.stages.slot(trial.number)
    row: dict[str, Any] = {
        "trial": trial.number,
        "replicate": one.number,
        "block": trial.block,
        "stage": slot.stage,
        "unit": _unit(spec, slot, one.number),
        "label": trial.label,
    }
    picks: Mapping[str, Value] = trial.params
    row |= {name: text_of(picks[name]) if name in picks else ABSENT for name in axis_names(spec)}
    row |= {name: picks.get(name) for name in nuisance_names(spec)}
    exploded = one.exploded or one.verdict == "exploding"
    row |= {
        "outcome": one.outcome,
        "cause": one.cause,
        "verdict": one.verdict,
        "verdict_init": one.verdict_init,
        "healthy": one.verdict == "healthy" and not exploded,
        "healthy_init": one.verdict_init == "healthy",
        "vanished": one.verdict == "vanishing",
        "vanished_init": one.verdict_init == "vanishing",
        "exploded": exploded,
        "diverged": one.outcome == "diverged",
        "solved": one.solved,
        "decades": _cut(one.decades),
        "decades_init": _cut(one.decades_init),
        "updates": one.update,
        "cpu_seconds": _number(trial.cpu_seconds) / spec.replicates,
    }
    numbers = (
        "score", "test_score", "accuracy", "slope", "hump", "healthy_share", "clip_rate", "spikes", "solved_at",
    )  # fmt: skip
    row |= {name: _number(getattr(one, name)) for name in numbers}
    by_r = one.features.get("verdict_by_r", {})
    row |= {f"healthy_r{r:g}": by_r.get(f"{r:g}", one.verdict) == "healthy" and not exploded for r in SENSITIVITY}
    for percent in AT:
        seen = one.features.get("signals", {}).get(str(percent), {})
        row |= {f"{signal}_{percent}": _number(seen.get(signal)) for signal in SIGNALS}
    return row


def _unit(spec: SweepSpec, slot: Slot, replicate: int) -> str:
    # replicates of a trial that a sampler picked share all that it picked
    shared = bool(spec.search.nuisance) or slot.stage in ADAPTIVE
    return str(slot.block) if shared else f"{slot.block}.{replicate}"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _cut(value: float | None) -> float:
    return math.nan if value is None else min(CUT, max(-CUT, value))
