"""Sweeps that nobody trained: records with known effects, as the lab database would hold them.

Every replicate of an arm is healthy, solved and so on with the arm's chance, shifted on the logit scale by its block;
numbers are normal around the arm's mean, with a block's and a replicate's own noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rnnlab.written import validated
from sweeps.analysis.data import SweepData, data_of
from sweeps.space.dimensions import Picks
from sweeps.spec import SweepSpec
from sweeps.store import ReplicateRecord, TrialRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPACE: dict[str, Any] = {
    "cell": ["rnn", "lstm"],
    "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
    "init": ["default", "orthogonal"],
    "lr": {"low": 1e-4, "high": 1e-2, "log": True},
}


@dataclass(frozen=True)
class Truth:
    """What one arm comes to on average.

    Args:
        healthy, solved, exploded, diverged: chances. score: mean of log10(loss / baseline). decades: mean D at the end.
        signal: how strongly the early signals tell who will solve (0: not at all).
    """

    healthy: float = 0.5
    solved: float = 0.5
    exploded: float = 0.0
    diverged: float = 0.0
    score: float = -1.0
    decades: float = -2.0
    cpu_seconds: float = 10.0
    signal: float = 0.0


@dataclass
class World:
    """How results vary beside the arms.

    Args:
        block_sd: of a block's shift, in logits of a chance and in units of a number.
        replicate_sd: of a replicate's own noise in numbers.
    """

    block_sd: float = 0.5
    replicate_sd: float = 0.2
    cpu_sd: float = 0.1
    seed: int = 0
    percents: tuple[int, ...] = field(default=(0, 2, 5, 10))


def simulated_spec(
    blocks: int = 30, replicates: int = 1, space: dict[str, Any] | None = None, **search: Any
) -> SweepSpec:
    """A screen on digits with lr as the nuisance; `search` overrides."""
    return validated(
        SweepSpec,
        {
            "name": "simulated",
            "task": {"kind": "digits"},
            "space": space or SPACE,
            "search": {"design": "screen", "blocks": blocks, "nuisance": ["lr"], **search},
            "replicates": replicates,
            "budget": {"updates": 300},
        },
    )


def simulate(spec: SweepSpec, truth: Callable[[Picks], Truth], world: World | None = None) -> SweepData:
    """The table of a sweep whose trials all used their budget."""
    trials, replicates = records(spec, truth, world)
    return data_of("simulated", spec, trials, replicates, lag=63)


def records(
    spec: SweepSpec, truth: Callable[[Picks], Truth], world: World | None = None
) -> tuple[list[TrialRecord], list[ReplicateRecord]]:
    """Records of every trial of the screen, as a driver would write them."""
    world = world or World()
    draw = np.random.default_rng(world.seed)
    shifts = draw.normal(0.0, world.block_sd, size=spec.search.blocks + 1)
    trials, found = [], []
    for number in range(spec.stages.sizes["screen"]):
        slot = spec.stages.slot(number)
        picks = spec.stages.point(slot, [])
        arm, shift = truth(picks), shifts[slot.block]
        ones = [_replicate(draw, number, r, arm, shift, world, spec.budget.updates) for r in range(spec.replicates)]
        found += ones
        trials.append(
            TrialRecord(
                sweep_id="simulated", number=number, block=slot.block, config_hash=f"{slot.place:012x}",
                label=", ".join(str(v) for k, v in picks.items() if k != "lr"), params=picks,
                spec=spec.trial(number, picks).model_dump(mode="json"), state="complete", started_at=NOW, ended_at=NOW,
                score=float(np.mean([one.score for one in ones])), verdict=ones[0].verdict,
                verdict_init=ones[0].verdict_init, decades=ones[0].decades, decades_init=ones[0].decades_init,
                exploded=sum(one.exploded for one in ones), solved=sum(one.solved for one in ones),
                healthy=sum(one.verdict == "healthy" and not one.exploded for one in ones),
                seconds=arm.cpu_seconds, updates=spec.budget.updates,
                cpu_seconds=float(arm.cpu_seconds * spec.replicates * np.exp(draw.normal(0, world.cpu_sd))),
            )
        )  # fmt: skip
    return trials, found


def _chance(p: float, shift: float) -> float:
    if p in (0.0, 1.0):
        return p
    return float(1 / (1 + np.exp(-(np.log(p / (1 - p)) + shift))))


def _replicate(
    draw: np.random.Generator, trial: int, number: int, arm: Truth, shift: float, world: World, updates: int
) -> ReplicateRecord:
    healthy, solved, exploded, diverged = (
        bool(draw.random() < _chance(p, shift)) for p in (arm.healthy, arm.solved, arm.exploded, arm.diverged)
    )
    solved = solved and not diverged
    noise = float(shift + draw.normal(0, world.replicate_sd))
    score = 2.0 if diverged else float(np.clip(arm.score - 0.3 * noise, -4, 2))
    strength = arm.signal * (1.0 if solved else -1.0)
    signals = {
        str(percent): {
            name: float(sign * strength + draw.normal())
            for name, sign in {
                "decades": 1, "decades_change": 1, "horizon": 1, "condition": -1, "saturation": -1, "early_share": 1,
                **({"loss": -1} if percent else {}),
            }.items()
        }
        for percent in world.percents
    }  # fmt: skip
    verdict = "healthy" if healthy else "vanishing"
    return ReplicateRecord(
        trial=trial, number=number, seed=trial * 1000 + number, outcome="diverged" if diverged else "finished",
        cause="loss" if diverged else None, update=updates, score=score, test_score=score, solved=solved,
        verdict=verdict, verdict_init="vanishing", decades=arm.decades + noise, decades_init=arm.decades - 2 + noise,
        slope=-0.1, hump=0.0, exploded=exploded or diverged, exploded_at=5 if exploded or diverged else None,
        healthy_share=0.5, clip_rate=0.1, solved_at=int(updates * draw.uniform(0.3, 1)) if solved else None,
        features={"verdict_by_r": {"2": verdict, "3": verdict, "5": verdict}, "signals": signals},
    )  # fmt: skip
