"""Trials of a sweep by configuration: what a page compares, whatever the number of blocks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sweeps.store.queries import TrialLine

ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class Configuration:
    """The trials that differ in their block and what a block draws alone.

    Args:
        label: no two of a sweep alike. trials: that have ended. score, test_score, decades: medians over them.
        best: lowest score. alive_at_first, alive: trials whose first, whose last probe is healthy.
        solved, replicates: replicates that solved the task, and that were planned.
        shown: number of the trial whose score is the median, or the one above it.
        verdict_init, verdict: of that trial.
    """

    label: str
    trials: int
    score: float
    best: float
    test_score: float | None
    decades: float | None
    alive_at_first: int
    alive: int
    solved: int
    replicates: int
    shown: int
    verdict_init: str | None
    verdict: str | None


def configurations(lines: Sequence[TrialLine], nuisance: Sequence[str]) -> list[Configuration]:
    """Configurations with a score, lowest median score first."""
    groups: dict[tuple[str, str], list[TrialLine]] = defaultdict(list)
    for line in lines:
        if line.state in ENDED and line.score is not None:
            groups[line.label, json.dumps(_own(line, nuisance), sort_keys=True)].append(line)
    by_label: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (label, _), group in groups.items():
        by_label[label].append(_own(group[0], nuisance))
    found = []
    for (label, _), group in groups.items():
        alike = by_label[label]
        own = _own(group[0], nuisance)
        differing = {name: value for name, value in own.items() if any(other.get(name) != value for other in alike)}
        told = ", ".join(f"{name} {_short(value)}" for name, value in differing.items())
        found.append(_configuration(f"{label} ({told})" if told else label, group))
    return sorted(found, key=lambda one: (one.score, one.shown))


def _configuration(label: str, group: Sequence[TrialLine]) -> Configuration:
    ordered = sorted(group, key=lambda line: (line.score or 0.0, line.number))
    shown = ordered[len(ordered) // 2]
    tests = [line.test_score for line in group if line.test_score is not None]
    decades = [line.decades for line in group if line.decades is not None]
    return Configuration(
        label=label,
        trials=len(group),
        score=median(line.score or 0.0 for line in group),
        best=ordered[0].score or 0.0,
        test_score=median(tests) if tests else None,
        decades=median(decades) if decades else None,
        alive_at_first=sum(line.verdict_init == "healthy" for line in group),
        alive=sum(line.verdict == "healthy" for line in group),
        solved=sum(line.solved for line in group),
        replicates=sum(line.planned for line in group),
        shown=shown.number,
        verdict_init=shown.verdict_init,
        verdict=shown.verdict,
    )


def _own(line: TrialLine, nuisance: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in line.params.items() if name not in nuisance}


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
