"""What an analysis says, as frozen values that go to JSON and back: contrasts, arms, tables, findings.

Effects are level less baseline. An interval is of 95% unless its method says otherwise.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Evidence = Literal["paired", "confirmed", "adaptive", "none"]
"""Where a number comes from: pairs of a screen, winners on fresh seeds, adaptive trials, or too few of any."""
OUTCOMES = {
    "healthy": "healthy at the end and nothing exploded",
    "healthy_init": "healthy at initialisation",
    "vanished": "vanishing at the end",
    "exploded": "exploded",
    "solved": "solved on the test split",
    "test_score": "log10(test loss / trivial baseline), lower is better",
    "decades": "decades of gradient left over the lag at the end",
    "decades_init": "decades of gradient left over the lag at initialisation",
    "updates_to_solve": "updates until the criterion held on validation, the whole budget where it never did",
    "cpu_per_update": "processor time of an update, as a ratio",
}
"""What is contrasted: the first five are shares of replicates, the last a ratio, the others means."""
SHARES = ("healthy", "healthy_init", "vanished", "exploded", "solved")


class Result(BaseModel):
    """Frozen, and refuses extra keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Result):
    """A number with its interval, and how that was made."""

    value: float
    low: float
    high: float
    method: str
    """As `Newcombe`, `Wilson`, `t on block means`, `cluster bootstrap`, `sign-flip permutation`."""


class Arm(Result):
    """One configuration (without its nuisance values) over all its blocks."""

    label: str
    """Readable."""
    levels: dict[str, str]
    """Axis -> level."""
    evidence: Evidence
    units: int
    """Blocks, or seeds where blocks draw nothing else."""
    replicates: int
    shares: dict[str, Interval]
    """Of `SHARES`, by name."""
    counts: dict[str, int]
    """Replicates of each of `SHARES`, and `diverged`."""
    means: dict[str, Interval]
    """`test_score`, `decades`, `decades_init`, `updates_to_solve`, `cpu_per_update` (seconds)."""
    median_updates_to_solve: float | None
    """Kaplan-Meier; None where less than half ever solved it."""


class Contrast(Result):
    """One level against the baseline level of its axis, everything else equal."""

    axis: str
    level: str
    baseline: str
    within: dict[str, str] = {}
    """Levels at which a simple effect is taken, as {"cell": "lstm"}; empty: over all."""
    outcome: str
    """One of `OUTCOMES`."""
    effect: Interval
    """Difference; of `cpu_per_update` the ratio."""
    p: float | None
    """Two-sided; None where no claim can be made."""
    p_holm: float | None
    """Holm over all distinct contrasts of this outcome and evidence."""
    units: int
    """Pairs of units."""
    at_level: float
    at_baseline: float
    """Mean of the outcome at both: geometric for `cpu_per_update`; by least squares in a fraction, where a share may
    pass 0 or 1."""
    counts: tuple[int, int, int] | None = None
    """Of a share with one 0/1 value per unit and arm: successes at the level, at the baseline, and pairs."""
    evidence: Evidence
    note: str = ""
    """A caveat: `5 pairs: no p below 0.0625 is possible`."""


class Interaction(Result):
    """Whether the effect of one axis depends on the level of another: a difference of differences."""

    axis: str
    level: str
    baseline: str
    by: str
    by_level: str
    by_baseline: str
    outcome: str
    effect: Interval
    p: float | None
    p_holm: float | None
    units: int


class Cross(Result):
    """Health against success: replicates by healthy (at the end) and solved."""

    group: str
    """A cell type, or `all`."""
    healthy_solved: int
    healthy_unsolved: int
    sick_solved: int
    sick_unsolved: int
    solved_if_healthy: Interval | None
    solved_if_sick: Interval | None
    """Cluster bootstrap over units, or None where there are none."""


class Auc(Result):
    """How well one early signal tells who will solve the task."""

    signal: str
    percent: int
    """Of the budget."""
    group: str
    """A cell type, or `all`."""
    auc: Interval
    """0.5: nothing, 1: always; below 0.5: the other way round."""
    solved: int
    unsolved: int


class Importance(Result):
    """Share of a param in explaining an outcome, by one of Optuna's evaluators. Neither a direction nor a cause."""

    evaluator: Literal["PED-ANOVA", "fANOVA"]
    outcome: Literal["score", "decades", "diverged"]
    shares: dict[str, float]
    trials: int
    note: str = ""


class Finding(Result):
    """A claim, its effect, its interval, its n, its caveat, in words."""

    text: str
    """Whole sentences for people."""
    strength: float
    """For sorting: larger is stronger."""
    kind: Literal["effect", "no effect", "interaction", "health", "undecided", "descriptive", "confirmed"]
    contrasts: list[Contrast] = []
    """The numbers that the words come from."""
    caveats: list[str] = []


class Analysis(Result):
    """Everything that is said of a sweep."""

    sweep_id: str
    units: int
    """Blocks (or seeds) that are paired."""
    unit: Literal["block", "seed"]
    """What a unit is."""
    trials: dict[str, int]
    """By state."""
    axes: dict[str, list[str]]
    """Axis -> levels, the baseline first."""
    arms: list[Arm]
    contrasts: list[Contrast]
    interactions: list[Interaction]
    health: list[Cross]
    signals: list[Auc]
    importance: list[Importance]
    findings: list[Finding]
    sensitivity: dict[str, dict[str, float]]
    """Threshold r (`2`, `3`, `5`) -> arm label -> share healthy at the end."""
    caveats: list[str]
    """Of the whole sweep: adaptive samples, few blocks, a sweep that has not ended."""
