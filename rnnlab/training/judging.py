"""From the curves of one probe to a lane's verdict, and to what a recorder is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnnlab.cells.base import Cell
from rnnlab.curve import LARGEST, Curve
from rnnlab.spec import VerdictSpec
from rnnlab.training.outcome import ReplicateResult
from rnnlab.verdict import SENSITIVITY, Verdict, of_layer, worst


def judge_lane(measured: Sequence[Curve], lane: int, lag: int, thresholds: VerdictSpec, cell: Cell) -> Verdict:
    """The verdict of one lane at one probe: its worst layer's; in a layer, the state that verdicts read."""
    by_layer: dict[int, dict[str, Verdict]] = {}
    judged = cell.judged or ("h", cell.anchor_state)
    for curve in measured:
        if curve.kind == "anchor" and curve.state in judged:
            assert curve.layer is not None
            assert curve.state is not None
            verdict = curve.verdict(lag, lane, thresholds)
            by_layer.setdefault(curve.layer, {})[curve.state] = verdict
    return worst(of_layer(by_state, cell.anchor_state) for by_state in by_layer.values())


def note(replicate: ReplicateResult, verdict: Verdict, update: int) -> None:
    """Write a verdict into a replicate's result."""
    if update == 0:
        replicate.verdict_init, replicate.decades_init = verdict.name, verdict.decades
    else:
        replicate.in_a_row = 1 + (replicate.in_a_row if verdict.name == replicate.verdict else 0)
    replicate.probed = update
    replicate.verdict, replicate.decades = verdict.name, verdict.decades
    replicate.slope, replicate.hump, replicate.horizon = verdict.slope, verdict.hump, verdict.horizon
    replicate.underflow, replicate.mixed = verdict.underflow, verdict.mixed
    replicate.verdict_by_r = {f"{r:g}": name for r, name in zip(SENSITIVITY, verdict.names_by_r, strict=False)}
    replicate.horizon_by_r = {f"{r:g}": lag for r, lag in zip(SENSITIVITY, verdict.horizons_by_r, strict=False)}
    replicate.fit, replicate.power = verdict.fit, verdict.power


def told(curve: Curve, rows: slice, hidden_S: NDArray[np.bool_]) -> Curve:
    """The lanes `rows` of a curve, finite; NaN where `hidden_S` has them hidden."""
    finite_SK = np.nan_to_num(curve.values_SK[rows], nan=LARGEST, posinf=LARGEST)
    values = np.where(hidden_S[rows, None], np.nan, finite_SK)
    exact = curve.exact_log10_SK
    if exact is not None:
        exact = np.where(hidden_S[rows, None], np.nan, exact[rows])
    return replace(curve, values_SK=values, exact_log10_SK=exact)
