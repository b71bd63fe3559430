"""A sweep of six arms that nobody trained, its analysis made by hand, and its curves: what a report is written of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from simulated import Truth
from statsmodels.stats.proportion import proportion_confint

from rnnlab.curve import Curve
from sweeps.analysis.data import SweepData
from sweeps.analysis.results import (
    SHARES,
    Analysis,
    Arm,
    Auc,
    Contrast,
    Cross,
    Evidence,
    Finding,
    Importance,
    Interaction,
    Interval,
)
from sweeps.recording.arrays import CurveArchive

AXES = {"cell": ["rnn", "lstm"], "activation": ["tanh", "relu"], "init": ["default", "orthogonal(1)"]}
DESCRIPTION = "Which initialisation keeps the gradient alive over 64 pixels, and does it pay?"
HOSTILE = '<script>window.hacked = 1</script><img src="http://evil.example/x" onerror="window.hacked = 2">'
VERSIONS = {"rnnlab": "0.1.0", "torch": "2.9.0"}
UPDATES, STEPS = (0, 1, 3, 10, 30, 100, 300), 64


@dataclass(frozen=True)
class Case:
    """What `write_report` is told, and where it writes."""

    analysis: Analysis
    data: SweepData
    folder: Path

    @property
    def told(self) -> dict[str, Any]:
        return {"spec_yaml": self.data.spec.to_yaml(), "versions": VERSIONS}


def truth(picks: dict[str, Any]) -> Truth:
    if picks["cell"] == "lstm":
        return Truth(healthy=0.3, solved=0.45, score=-0.6, decades=-6, cpu_seconds=24, signal=0.6)
    if picks["activation"] == "relu":
        return Truth(healthy=0.4, solved=0.35, exploded=0.3, diverged=0.15, score=-0.4, decades=2, cpu_seconds=11)
    orthogonal = picks["init"] != "default"
    good = Truth(healthy=0.92, solved=0.85, score=-1.2, decades=-1.2, cpu_seconds=10, signal=0.8)
    return good if orthogonal else Truth(healthy=0.06, solved=0.2, score=-0.3, decades=-11, cpu_seconds=10, signal=0.8)


def wilson(values: pd.Series[bool]) -> Interval:
    low, high = proportion_confint(int(values.sum()), len(values), method="wilson")
    return Interval(value=float(values.mean()), low=float(low), high=float(high), method="Wilson")


def around(values: pd.Series[float]) -> Interval:
    half = 2.0 * float(values.std()) / len(values) ** 0.5
    mean = float(values.mean())
    return Interval(value=mean, low=mean - half, high=mean + half, method="t on block means")


def arm(rows: pd.DataFrame, levels: dict[str, str], evidence: Evidence) -> Arm:
    cost = rows["cpu_seconds"] / rows["updates"]
    means = {name: around(rows[name]) for name in ("test_score", "decades", "decades_init")}
    return Arm(
        label=", ".join(levels.values()), levels=levels, evidence=evidence, units=rows["unit"].nunique(),
        replicates=len(rows), shares={name: wilson(rows[name]) for name in SHARES},
        counts={name: int(rows[name].sum()) for name in (*SHARES, "diverged")},
        means={**means, "cpu_per_update": around(cost)},
        median_updates_to_solve=float(rows["solved_at"].median()) if rows["solved"].mean() >= 0.5 else None,
    )  # fmt: skip


def contrast(outcome: str, axis: str = "init", p: float | None = 0.0002, **changes: Any) -> Contrast:
    values = {"healthy": (0.86, 0.7, 0.95), "solved": (0.65, 0.44, 0.8), "test_score": (-0.9, -1.0, -0.8)}
    value, low, high = values.get(outcome, (2.4, 2.1, 2.7))
    level = AXES[axis][1]
    told: dict[str, Any] = {
        "axis": axis, "level": level, "baseline": AXES[axis][0], "outcome": outcome, "p": p,
        "effect": Interval(value=value, low=low, high=high, method="Newcombe"),
        "p_holm": None if p is None else min(1.0, 6 * p), "units": 24, "at_level": 0.9, "at_baseline": 0.1,
        "evidence": "paired" if p is not None else "none",
    }  # fmt: skip
    return Contrast(**{**told, **changes})


def contrasts() -> list[Contrast]:
    made = []
    for outcome in ("healthy", "solved", "test_score"):
        worse = Interval(value=-0.3 if outcome != "test_score" else 0.3, low=-0.5 if outcome != "test_score" else 0.1,
                         high=-0.1 if outcome != "test_score" else 0.5, method="Newcombe")  # fmt: skip
        unclear = Interval(value=0.05, low=-0.2, high=0.3, method="Newcombe")
        made += [
            contrast(outcome),
            contrast(outcome, within={"cell": "rnn"}),
            contrast(outcome, within={"cell": "lstm"}, effect=unclear, p=0.6),
            contrast(outcome, axis="activation", effect=worse, p=0.003),
            contrast(outcome, axis="cell", effect=unclear, p=None, note="5 pairs: no p below 0.0625 is possible"),
        ]
    return [*made, contrast("cpu_per_update", axis="cell")]


def analysis_of(data: SweepData) -> Analysis:
    frame, arms = data.frame, []
    for at, (picked, rows) in enumerate(frame.groupby(list(AXES), sort=False)):
        levels = {axis: level for axis, level in zip(AXES, picked, strict=True) if level != "-"}
        arms.append(arm(rows, levels, "paired" if at else "adaptive"))
    found = []
    for group, rows in (("all", frame), *frame.groupby("cell")):
        h, s = rows["healthy"], rows["solved"]
        found.append(
            Cross(
                group=str(group), healthy_solved=int((h & s).sum()), healthy_unsolved=int((h & ~s).sum()),
                sick_solved=int((~h & s).sum()), sick_unsolved=int((~h & ~s).sum()),
                solved_if_healthy=wilson(s[h]), solved_if_sick=wilson(s[~h]),
            )
        )  # fmt: skip
    aucs = [
        Auc(
            signal=signal, percent=percent, group=group, solved=60, unsolved=84,
            auc=Interval(value=value, low=max(0, value - 0.1), high=min(1, value + 0.1), method="cluster bootstrap"),
        )
        for group in ("all", "rnn", "lstm")
        for signal, start in (("decades", 0.55), ("saturation", 0.4), ("loss", 0.7))
        for percent in (0, 2, 5, 10)
        if signal != "loss" or percent
        for value in (start + percent / 100,)
    ]  # fmt: skip
    findings = [
        Finding(
            text="Among LSTMs, no effect of init on P(solved) was found: +0.05 [−0.20, +0.30].", strength=0.1,
            kind="undecided", contrasts=[contrast("solved", within={"cell": "lstm"}, p=0.6)],
        ),
        Finding(
            text="For a plain RNN, init = orthogonal instead of default raises P(solved) from 0.20 to 0.85, by +0.65 [0.44, 0.80], in 24 blocks.",
            strength=6.0, kind="effect", contrasts=[contrast("solved"), contrast("healthy")],
            caveats=["Learning rates were drawn from 1e-4 to 1e-2; another range may differ."],
        ),
        Finding(
            text="A healthy gradient went with success: P(solved) 0.75 where healthy, 0.25 where not.", strength=3.0,
            kind="health",
        ),
    ]  # fmt: skip
    interaction = Interaction(
        axis="init", level="orthogonal", baseline="default", by="cell", by_level="lstm", by_baseline="rnn",
        outcome="solved", effect=Interval(value=-0.6, low=-0.9, high=-0.3, method="t on block means"), p=0.001,
        p_holm=0.002, units=24,
    )  # fmt: skip
    return Analysis(
        sweep_id="simulated", units=24, unit="block", trials={"complete": len(frame) - 1, "failed": 1}, axes=AXES, arms=arms,
        contrasts=contrasts(), interactions=[interaction], health=found, signals=aucs,
        importance=[
            Importance(evaluator="PED-ANOVA", outcome="score", shares={"init": 0.5, "lr": 0.3, "cell": 0.2}, trials=144),
            Importance(evaluator="fANOVA", outcome="score", shares={"lr": 0.6, "cell": 0.4}, trials=144, note="init left out: it is conditional"),
        ],
        findings=findings,
        sensitivity={r: {one.label: min(1.0, share + one.shares["healthy"].value * 0.9) for one in arms} for r, share in (("2", 0.0), ("3", 0.05), ("5", 0.1))},
        caveats=["One of the arms was found by an adaptive search and supports no claim."],
    )  # fmt: skip


def write_curves(data: SweepData, folder: Path, most: int = 4) -> None:
    """G2, G1 and the loss of the first trials of every arm, by the recorder's own writer."""
    draw = np.random.default_rng(0)
    for _, rows in data.frame.groupby(list(AXES)):
        for row in rows.head(most).to_dict("records"):
            state = "c" if row["cell"] == "lstm" else "h"
            archive = CurveArchive()
            for place, update in enumerate(UPDATES):
                decades = row["decades"] - 2 + 2 * place / len(UPDATES)
                slope_S1 = decades / STEPS * np.exp(draw.normal(0, 0.2, (2, 1)))
                anchor_SK = 10 ** (slope_S1 * np.arange(STEPS))
                loss_SK = np.full((2, STEPS), 2.3) - place * 0.2 * np.linspace(0, 1, STEPS)
                archive.add(update, curves_at(update, state, anchor_SK, loss_SK))
            home = folder / "trials" / f"{row['trial']:04}"
            home.mkdir(parents=True)
            archive.save(home / "curves.npz")


def curves_at(update: int, state: str, anchor_SK: NDArray[np.float64], loss_SK: NDArray[np.float64]) -> list[Curve]:
    return [
        Curve("anytime_loss", "timestep", loss_SK, update=update),
        Curve("total", "timestep", anchor_SK[:, ::-1], "h", 0, update),
        Curve("anchor", "lag", anchor_SK, state, 0, update),
    ]
