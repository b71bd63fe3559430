"""How a replicate ends, and what a trial gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from rnnlab.training.scale import HIGHEST, LOWEST
from rnnlab.verdict import most_frequent


class Outcome(StrEnum):
    """How a replicate ended. All are results; only `failed` means that something broke."""

    RUNNING = "running"
    FINISHED = "finished"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


def score_of(loss: float, baseline: float) -> float:
    """log10(loss / trivial baseline) clipped to [-4, 2]; 2 where the loss is not finite. Lower is better."""
    if not math.isfinite(loss):
        return HIGHEST
    return float(np.clip(np.log10(max(loss, 1e-30) / baseline), LOWEST, HIGHEST))


@dataclass
class ReplicateResult:
    """What one seed of a trial came to. All numbers are finite.

    Args:
        number: the replicate, 0 ... R-1.
        seed: hash(sweep seed, block, replicate).
        outcome: how it ended, or `running`.
        cause: what went non-finite first (`state`, `loss`, `gradient` or `optimiser`), for `diverged`; `loss` also
            where it was that of the validation or the test split.
        update: updates done; at which it diverged.
        score: log10(validation loss / trivial baseline), [-4, 2], 2 if diverged.
        test_score: the same on the test split, computed once at the end; None before.
        accuracy: share of right classes on the test split at the end (on validation before); None for mse.
        solved: the task's criterion holds on the test split.
        verdict: of the last probe's worst layer. verdict_init: of update 0's.
        probed: the update of that last probe. in_a_row: probes in a row up to it with its verdict, update 0's left out.
        decades, slope, hump, horizon, underflow, mixed: of that last probe's worst layer.
        exploded: something went non-finite, or an applied gradient was above 100 times the median.
        exploded_at: the first such update.
        spikes: updates whose gradient passed that line before clipping.
        healthy_share: share of probes judged healthy.
        clip_rate: share of updates that the clip changed. clip_coefficient: mean norm after over before.
        solved_at: the first evaluation, in updates, at which the criterion held on validation; None: at none.
        verdict_by_r, horizon_by_r: of that last probe with 2, 3 and 5 decades as the threshold.
        fit: the law that describes its curve better, `exponential` or `power_law`, or `none`; power: the latter's
            exponent.
        signals: at 0, 2, 5 and 10% of the budget, the numbers of `rnnlab.training.signals`.
    """

    number: int
    seed: int
    outcome: Outcome = Outcome.RUNNING
    cause: str | None = None
    update: int = 0
    score: float = 0.0
    test_score: float | None = None
    accuracy: float | None = None
    solved: bool = False
    verdict: str = "too_short"
    probed: int = 0
    in_a_row: int = 0
    verdict_init: str = "too_short"
    decades: float = 0.0
    decades_init: float = 0.0
    slope: float = 0.0
    hump: float = 0.0
    horizon: int | None = None
    underflow: bool = False
    mixed: bool = False
    exploded: bool = False
    exploded_at: int | None = None
    spikes: int = 0
    healthy_share: float = 0.0
    clip_rate: float = 0.0
    clip_coefficient: float = 1.0
    solved_at: int | None = None
    verdict_by_r: dict[str, str] = field(default_factory=dict)
    horizon_by_r: dict[str, int | None] = field(default_factory=dict)
    fit: str = "none"
    power: float = 0.0
    signals: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return {**asdict(self), "outcome": self.outcome.value}


@dataclass
class TrialResult:
    """What a trial came to, or has come to so far.

    Args:
        replicates: one result a seed.
        updates: done by the replicate that went furthest.
        seconds: wall time. cpu_seconds: processor time of the process. Of trials side by side: each one's share.
        done: nothing is left to train.
    """

    replicates: list[ReplicateResult]
    updates: int
    seconds: float
    cpu_seconds: float
    done: bool = False

    @property
    def score(self) -> float:
        """Mean score of the replicates: what Ray and Optuna hear. Always finite."""
        return float(np.mean([r.score for r in self.replicates]))

    @property
    def score_sd(self) -> float:
        """Standard deviation of the scores over replicates (n - 1); 0 for one."""
        return _sd([r.score for r in self.replicates])

    @property
    def test_score(self) -> float | None:
        """Mean test score; None before the end."""
        scores = [r.test_score for r in self.replicates if r.test_score is not None]
        return float(np.mean(scores)) if len(scores) == len(self.replicates) else None

    @property
    def verdict(self) -> str:
        """The most frequent verdict at the last probe, ties to the worse."""
        return most_frequent([r.verdict for r in self.replicates])

    @property
    def probed(self) -> int:
        """The update of the last probe."""
        return max(r.probed for r in self.replicates)

    @property
    def in_a_row(self) -> int:
        """Probes in a row, update 0's left out, at which a majority of the replicates had the trial's verdict."""
        runs = sorted((r.in_a_row if r.verdict == self.verdict else 0 for r in self.replicates), reverse=True)
        return runs[len(runs) // 2]

    @property
    def verdict_init(self) -> str:
        """The most frequent verdict at update 0."""
        return most_frequent([r.verdict_init for r in self.replicates])

    @property
    def decades(self) -> float:
        """Median D at the last probe."""
        return float(np.median([r.decades for r in self.replicates]))

    @property
    def decades_init(self) -> float:
        """Median D at update 0."""
        return float(np.median([r.decades_init for r in self.replicates]))

    @property
    def exploded(self) -> int:
        """Replicates that exploded."""
        return sum(r.exploded for r in self.replicates)

    @property
    def solved(self) -> int:
        """Replicates that solved the task."""
        return sum(r.solved for r in self.replicates)

    @property
    def healthy(self) -> int:
        """Replicates that are healthy at the end and did not explode."""
        return sum(r.verdict == "healthy" and not r.exploded for r in self.replicates)

    @property
    def outcome(self) -> Outcome:
        """`running` while one replicate is; cut short where one was, whatever became of the others; else `diverged`
        where all did, and `finished`."""
        found = {r.outcome for r in self.replicates}
        for unfinished in (Outcome.RUNNING, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.PRUNED):
            if unfinished in found:
                return unfinished
        return Outcome.DIVERGED if found == {Outcome.DIVERGED} else Outcome.FINISHED

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain, finite values, for a wire or a file."""
        names = (
            "score", "score_sd", "test_score", "verdict", "verdict_init", "decades", "decades_init",
            "exploded", "solved", "healthy", "updates", "seconds", "cpu_seconds",
        )  # fmt: skip
        plain: dict[str, Any] = {name: getattr(self, name) for name in names}
        return plain | {"outcome": self.outcome.value, "replicates": [r.as_dict() for r in self.replicates]}

    def end(self, outcome: Outcome) -> None:
        """Replicates that still run get this outcome."""
        for replicate in self.replicates:
            if replicate.outcome is Outcome.RUNNING:
                replicate.outcome = outcome


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
