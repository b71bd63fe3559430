"""What a pruner would have saved of a sweep that ran in full, and which solvers it would have ended: an exact replay.

Training does not depend on the pruner, and neither does the list of configurations of a grid, of a design or of random
search. So the recorded course of every trial, told to the very rules that a driver asks, in the order in which so many
workers would have told it, gives what the pruner would have done. (Of TPE it does not: what it asks next depends on
what was ended.)

**Solved** is said of a trial here when a majority of its replicates solved the task on the test split in the full run;
a **wrong stop** is one of a trial that solved it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnlab.errors import DataError
from sweeps.analysis.data import nuisance_names
from sweeps.analysis.intervals import wilson
from sweeps.search.past import JUDGED
from sweeps.search.pruners import Rule
from sweeps.spec import SweepSpec
from sweeps.store import Lab

WORKERS = 2
"""Trials at a time in the replay."""
ORDERS = 20
"""Orders of a sweep's blocks that a replay is averaged over: whom a pruner ends depends on who came first."""


@dataclass(frozen=True)
class Course:
    """A trial that ran in full.

    Args:
        number, block: of the trial. arm: its levels.
        told: what it told at each evaluation, as a rule hears it.
        seconds: wall time of all. solved: a majority of its replicates did. test_score: of the full run.
    """

    number: int
    block: int
    arm: tuple[Any, ...]
    told: tuple[Mapping[str, Any], ...]
    seconds: float
    solved: bool
    test_score: float

    @property
    def updates(self) -> int:
        """Of the full run."""
        return int(self.told[-1]["updates"])

    def seconds_to(self, updates: int) -> float:
        """Wall time up to an update: its share of all."""
        return self.seconds * updates / self.updates


@dataclass(frozen=True)
class FullRun:
    """A sweep without a pruner, as a replay needs it."""

    sweep_id: str
    spec: SweepSpec
    courses: tuple[Course, ...]


@dataclass(frozen=True)
class Saved:
    """What a pruner does to full runs, on average over orders.

    Args:
        updates, seconds: share saved. stopped: share of all trials ended.
        wrong: trials ended that solved the task, of `solvers`.
        best, arm: share of the runs and orders in which the trial with the best test score was not ended, and in which
            the arm with most solved trials still has most; of runs in which some trial solved the task, else NaN.
    """

    updates: float
    seconds: float
    stopped: float
    wrong: float
    solvers: int
    best: float
    arm: float

    @property
    def rate(self) -> float:
        """Wrong stops, of trials that solve the task; NaN where none does."""
        return self.wrong / self.solvers if self.solvers else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, of `rate`, with trials for units."""
        return wilson(self.rate, self.solvers) if self.solvers else (0.0, 1.0)


MakeRule = Callable[[SweepSpec], Rule]
"""A fresh rule for a sweep."""


def full_run(lab: Lab, sweep_id: str) -> FullRun:
    """A sweep's trials that ran in full.

    Raises:
        DataError: it was pruned, or its reports do not hold what probes said.
    """
    spec = SweepSpec.model_validate(lab.sweep(sweep_id).spec)
    if spec.search.pruner.kind != "none":
        raise DataError(
            f"a replay needs full runs, but sweep {sweep_id!r} was pruned by {spec.search.pruner.kind}; run it without"
        )
    told: dict[int, list[dict[str, Any]]] = {}
    for report in lab.reports(sweep_id):
        if report.in_a_row is None:
            raise DataError(
                f"the reports of sweep {sweep_id!r} do not say what its probes said: an older rnnlab ran it; "
                f"run it again"
            )
        judged = report.model_dump(include=set(JUDGED))
        told.setdefault(report.trial, []).append({"updates": report.update, "score": report.score, **judged})
    nuisance = set(nuisance_names(spec))
    courses = [
        Course(
            trial.number,
            trial.block,
            tuple(value if not isinstance(value, dict) else str(value) for name, value in sorted(trial.params.items())
                  if name not in nuisance),
            tuple(told[trial.number]),
            trial.seconds or 0.0,
            2 * trial.solved > spec.replicates,
            trial.test_score if trial.test_score is not None else float("inf"),
        )
        for trial in lab.trials(sweep_id)
        if trial.state == "complete" and trial.number in told
    ]  # fmt: skip
    return FullRun(sweep_id, spec, tuple(courses))


def replayed(courses: Sequence[Course], rule: Rule, workers: int = WORKERS) -> dict[int, tuple[int, str]]:
    """Where and why a rule would have ended which of these trials, by place in the list.

    Trials start in the list's order on the first worker that is free, and take the wall time that they took.
    """
    ended: dict[int, tuple[int, str]] = {}
    waiting = iter(range(len(courses)))
    events: list[tuple[float, int, int]] = []

    def start(now: float) -> None:
        place = next(waiting, None)
        if place is not None:
            heapq.heappush(events, (now + courses[place].seconds_to(courses[place].told[0]["updates"]), place, 0))

    for _ in range(workers):
        start(0.0)
    while events:
        now, place, step = heapq.heappop(events)
        course = courses[place]
        if step + 1 == len(course.told):  # a trial that has used its budget is complete, whatever a rule would say
            start(now)
            continue
        cause = rule.hear(place, course.told[step])
        if cause is not None:
            ended[place] = course.told[step]["updates"], cause
            start(now)
            continue
        updates = course.told[step + 1]["updates"] - course.told[step]["updates"]
        heapq.heappush(events, (now + course.seconds_to(updates), place, step + 1))
    return ended


def saved(runs: Sequence[FullRun], make: MakeRule, orders: int = ORDERS, workers: int = WORKERS) -> Saved:
    """What a pruner does to these runs together: all their updates, seconds and solvers are one sum."""
    sums: Counter[str] = Counter()
    solvers = sum(course.solved for run in runs for course in run.courses)
    for run in runs:
        for order in range(orders):
            courses = in_order(run.courses, order)
            sums.update(_counts(courses, replayed(courses, make(run.spec), workers)))
    return Saved(
        sums["updates_saved"] / sums["updates"],
        sums["seconds_saved"] / sums["seconds"],
        sums["ended"] / sums["trials"],
        sums["wrong"] / orders,
        solvers,
        sums["best"] / sums["asked"] if sums["asked"] else float("nan"),
        sums["arm"] / sums["asked"] if sums["asked"] else float("nan"),
    )


def in_order(courses: Sequence[Course], order: int) -> list[Course]:
    """Courses as they ran (order 0), or with their blocks in another order."""
    if order == 0:
        return list(courses)
    blocks = sorted({course.block for course in courses})
    place = dict(zip(blocks, np.random.default_rng(order).permutation(len(blocks)), strict=True))
    return sorted(courses, key=lambda course: (place[course.block], course.number))


def resampled(run: FullRun, seed: int) -> FullRun:
    """As many blocks as a run has, drawn from them with replacement, in the order in which they were drawn."""
    of_block: dict[int, list[Course]] = {}
    for course in run.courses:
        of_block.setdefault(course.block, []).append(course)
    drawn = np.random.default_rng(seed).choice(sorted(of_block), len(of_block))
    courses = [replace(course, block=n) for n, block in enumerate(drawn) for course in of_block[int(block)]]
    return replace(run, courses=tuple(courses))


def at_rate(frontier: Sequence[Saved], rate: float) -> float:
    """Updates saved by a pruner at a rate of wrong stops: the upper hull of its settings and of none at all.

    What lies between two settings is had by drawing for each sweep which of both to use.
    """
    hull: list[tuple[float, float]] = []
    for x, y in sorted({(0.0, 0.0)} | {(one.rate, one.updates) for one in frontier}):
        while len(hull) > 1 and (hull[-1][0] - hull[-2][0]) * (y - hull[-2][1]) >= (hull[-1][1] - hull[-2][1]) * (
            x - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    top = max(range(len(hull)), key=lambda place: hull[place][1])
    rates, updates = zip(*hull[: top + 1], strict=True)
    return float(np.interp(rate, rates, updates))


def _counts(courses: Sequence[Course], ended: Mapping[int, tuple[int, str]]) -> dict[str, float]:
    lost = [(courses[place], update) for place, (update, _) in ended.items()]
    best = min(range(len(courses)), key=lambda place: courses[place].test_score)
    won = Counter(course.arm for course in courses if course.solved)
    kept = Counter(course.arm for place, course in enumerate(courses) if course.solved and place not in ended)
    return {
        "updates": sum(course.updates for course in courses),
        "updates_saved": sum(course.updates - update for course, update in lost),
        "seconds": sum(course.seconds for course in courses),
        "seconds_saved": sum(course.seconds - course.seconds_to(update) for course, update in lost),
        "trials": len(courses),
        "ended": len(ended),
        "wrong": sum(course.solved for course, _ in lost),
        # nothing to keep where no trial solved the task
        "asked": bool(won),
        "best": bool(won) and best not in ended,
        # several arms may have solved as many
        "arm": any(kept[arm] == max(kept.values()) for arm in kept if won[arm] == max(won.values())),
    }
