"""Tables as text, one a function; the page and the Markdown show the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sweeps.analysis.results import Contrast, Cross, Interval
from sweeps.report.page.failures import Failure
from sweeps.report.page.subject import Subject
from sweeps.report.page.words import (
    EVIDENCE,
    NONE,
    OUTCOME_NAMES,
    contrast_name,
    ends,
    interval,
    kept,
    names_of,
    number,
    p_value,
    short,
)


@dataclass(frozen=True)
class Cell:
    """A text, its number to sort by, a smaller line below it, and the tone `weak` where no claim rests on it."""

    text: str
    sort: float | None = None
    below: str = ""
    tone: str = ""

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.text} {self.below}".rstrip()


@dataclass(frozen=True)
class Table:
    """A head and rows, the first cell of a row its name.

    Args:
        id: within the page. caption: what it holds. heads: with their unit.
    """

    id: str
    caption: str
    heads: list[str]
    rows: list[list[Cell]] = field(default_factory=list)


def arms(subject: Subject) -> Table:
    """Every arm with its n, its shares and means, and where they come from."""
    heads = [
        "arm", "evidence", "n", "P(healthy) at init", "P(healthy) at end", "P(solved)", "P(exploded)", "D at init",
        "D at end", "median updates to solve", "test score",
    ]  # fmt: skip
    names = names_of(subject.analysis)
    rows = []
    for place in subject.order:
        arm = subject.analysis.arms[place]
        tone = "weak" if arm.evidence in ("adaptive", "none") else ""
        marks = ", ".join(subject.marks(place))
        median = arm.median_updates_to_solve
        cells = [
            Cell(names[place], below=f"({marks})" if marks else ""),
            Cell(EVIDENCE[arm.evidence]),
            Cell(str(arm.replicates), arm.replicates, f"in {arm.units} {subject.analysis.unit}s"),
            *(_share(arm.shares.get(name)) for name in ("healthy_init", "healthy", "solved", "exploded")),
            _mean(arm.means.get("decades_init"), 1),
            _mean(arm.means.get("decades"), 1),
            Cell("under half did" if median is None else f"{median:,.0f}", math.inf if median is None else median),
            _mean(arm.means.get("test_score"), 2),
        ]
        rows.append([replace(cell, tone=tone) for cell in cells])
    return Table("arms", "Arms, with 95% intervals in brackets", heads, rows)


def glance(subject: Subject) -> Table:
    """The arm that solved most often, the baseline, and the one that lost most of its gradient."""
    heads = ["which", "arm", "P(solved)", "P(healthy)", "test score", "evidence"]
    names = names_of(subject.analysis)
    rows = []
    for place in dict.fromkeys(p for p in (subject.best, subject.baseline, subject.worst) if p is not None):
        arm = subject.analysis.arms[place]
        cells = [Cell(", ".join(subject.marks(place))), Cell(names[place])]
        cells += [_share(arm.shares.get("solved")), _share(arm.shares.get("healthy"))]
        rows.append([*cells, _mean(arm.means.get("test_score"), 2), Cell(EVIDENCE[arm.evidence])])
    return Table("glance", "Three arms, with 95% intervals in brackets", heads, rows)


def effects(subject: Subject) -> Table:
    """Every contrast as numbers, main effects first."""
    heads = [
        "contrast", "outcome", "at the level", "at the baseline", "effect", "p", "p after Holm", "pairs", "evidence",
        "caveat",
    ]  # fmt: skip
    rows = []
    ranked = sorted(subject.analysis.contrasts, key=lambda one: (bool(one.within), one.axis, one.level))
    for one in ranked:
        ratio = one.outcome == "cpu_per_update"
        tone = "weak" if one.p is None else ""
        times = " times" if ratio else ""
        cells = [
            Cell(contrast_name(one)),
            Cell(OUTCOME_NAMES[one.outcome]),
            Cell(short(one.at_level), one.at_level),
            Cell(short(one.at_baseline), one.at_baseline),
            Cell(f"{interval(one.effect)}{times}", one.effect.value, one.effect.method),
            Cell(p_value(one.p), one.p),
            Cell(p_value(one.p_holm), one.p_holm),
            Cell(str(one.units), one.units),
            Cell(EVIDENCE[one.evidence]),
            Cell(one.note or NONE),
        ]
        rows.append([replace(cell, tone=tone) for cell in cells])
    return Table("effects", "All contrasts: level less baseline, everything else equal", heads, rows)


def interactions(subject: Subject, outcomes: Sequence[str]) -> Table:
    """Differences of differences of some outcomes, the clearest first; of the cost a ratio of ratios."""
    heads = ["interaction", "outcome", "difference of differences", "p", "p after Holm", "units"]
    rows = [
        [
            Cell(f"{one.axis} {one.level} vs {one.baseline}, by {one.by} {one.by_level} vs {one.by_baseline}"),
            Cell(OUTCOME_NAMES[one.outcome]),
            Cell(interval(one.effect), one.effect.value, one.effect.method),
            Cell(p_value(one.p), one.p),
            Cell(p_value(one.p_holm), one.p_holm),
            Cell(str(one.units), one.units),
        ]
        for one in sorted(subject.analysis.interactions, key=lambda one: 2.0 if one.p_holm is None else one.p_holm)
        if one.outcome in outcomes
    ]
    return Table(
        f"interactions-{outcomes[0]}", "Interactions: does the effect of one axis depend on another", heads, rows
    )


def cross(one: Cross) -> Table:
    """Replicates of one group by health and success."""
    group = "all cells" if one.group == "all" else f"cell {one.group}"
    rows = [
        [Cell("gradient healthy"), *_crossed(one.healthy_solved, one.healthy_unsolved, one.solved_if_healthy)],
        [Cell("not healthy"), *_crossed(one.sick_solved, one.sick_unsolved, one.solved_if_sick)],
    ]
    heads = ["at the end", "solved", "not solved", "P(solved | row)"]
    return Table(f"health-{one.group}", f"Replicates of {group}", heads, rows)


def costs(subject: Subject) -> Table:
    """Processor time by arm, against the baseline arm."""
    heads = ["arm", "CPU ms per update", "times the baseline arm"]
    first = None if subject.baseline is None else subject.analysis.arms[subject.baseline]
    reference = math.nan if first is None else kept(first, "cpu_per_update")
    names = names_of(subject.analysis)
    rows = []
    for place in sorted(subject.order, key=lambda n: kept(subject.analysis.arms[n], "cpu_per_update")):
        arm = subject.analysis.arms[place]
        ratio = kept(arm, "cpu_per_update") / reference if reference else math.nan
        mean = _mean(arm.means.get("cpu_per_update"), 2, times=1000)
        rows.append([Cell(names[place]), mean, Cell(number(ratio), ratio)])
    return Table("costs", "Cost by arm", heads, rows)


def cost_ratios(subject: Subject) -> Table:
    """Processor time of an update, level over baseline level."""
    heads = ["contrast", "ratio", "pairs", "evidence"]
    chosen = [one for one in subject.analysis.contrasts if one.outcome == "cpu_per_update"]
    rows = [
        [Cell(contrast_name(one)), _share(one.effect), Cell(str(one.units), one.units),
         Cell(EVIDENCE[one.evidence])]
        for one in chosen
    ]  # fmt: skip
    return Table("cost-ratios", "Cost of a level: its time over that of the baseline level", heads, rows)


def importance(subject: Subject) -> Table:
    """Shares by evaluator and outcome."""
    heads = ["param", "share", "evaluator", "outcome", "trials", "caveat"]
    rows = []
    for one in subject.analysis.importance:
        for param, share in sorted(one.shares.items(), key=lambda item: -item[1]):
            told = [Cell(one.evaluator), Cell(one.outcome), Cell(str(one.trials), one.trials), Cell(one.note or NONE)]
            rows.append([Cell(param), Cell(number(share), share), *told])
    return Table("importance", "Importance of each param", heads, rows)


def failures(found: Sequence[Failure]) -> Table:
    """Trials that failed and replicates that did not finish."""
    heads = ["trial", "replicate", "configuration", "outcome", "cause", "update"]
    rows = [
        [
            Cell(str(one.trial), one.trial),
            Cell(NONE if one.replicate is None else str(one.replicate), one.replicate),
            Cell(one.label or NONE),
            Cell(one.outcome),
            Cell(one.cause or NONE),
            Cell(NONE if one.update is None else f"{one.update:,}", one.update),
        ]
        for one in found
    ]
    return Table("failures", "Failed trials and replicates that did not finish", heads, rows)


def sensitivity(subject: Subject) -> Table:
    """Share healthy by arm and threshold."""
    by_r = subject.analysis.sensitivity
    labels = list(dict.fromkeys(label for shares in by_r.values() for label in shares))
    labels.sort(key=lambda label: -max(shares.get(label, 0.0) for shares in by_r.values()))
    rows = [[Cell(label), *(_part(shares.get(label)) for shares in by_r.values())] for label in labels]
    return Table("thresholds", "Share healthy at the end by r, decades", ["arm", *(f"r = {r}" for r in by_r)], rows)


def versions(subject: Subject) -> Table:
    """Packages and their versions."""
    rows = [[Cell(name), Cell(version)] for name, version in sorted(subject.versions.items())]
    return Table("versions", "Versions", ["package", "version"], rows)


def numbers(contrasts: Sequence[Contrast]) -> list[str]:
    """The numbers below a finding, a line a contrast."""
    return [
        f"{contrast_name(one)}: {OUTCOME_NAMES[one.outcome]} {short(one.at_level)} against {short(one.at_baseline)}, "
        f"{'ratio' if one.outcome == 'cpu_per_update' else 'difference'} {interval(one.effect)} ({one.effect.method}), "
        f"{one.units} pairs, p after Holm {p_value(one.p_holm)}"
        for one in contrasts
    ]


def _crossed(solved: int, unsolved: int, share: Interval | None) -> list[Cell]:
    return [Cell(str(solved), solved), Cell(str(unsolved), unsolved), _share(share)]


def _share(one: Interval | None) -> Cell:
    return Cell(number(None if one is None else one.value), None if one is None else one.value, ends(one))


def _mean(one: Interval | None, digits: int, times: float = 1.0) -> Cell:
    if one is None or not math.isfinite(one.value):
        return Cell(NONE)
    scaled = one.model_copy(update={name: getattr(one, name) * times for name in ("value", "low", "high")})
    return Cell(number(scaled.value, digits), scaled.value, ends(scaled, digits))


def _part(share: float | None) -> Cell:
    return Cell(number(share), share)
