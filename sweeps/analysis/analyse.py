"""Everything that is said of a sweep, put together."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.analysis.arms import arms, sensitivity
from sweeps.analysis.data import ABSENT, SweepData, data_of, lag_of
from sweeps.analysis.effects import contrasts
from sweeps.analysis.findings import findings_of
from sweeps.analysis.health import crosses
from sweeps.analysis.importance import importances
from sweeps.analysis.interactions import interactions
from sweeps.analysis.results import Analysis
from sweeps.analysis.sentences import CELLS, ENOUGH, Told
from sweeps.analysis.signals import aucs
from sweeps.spec import SweepSpec
from sweeps.store import Lab, ReplicateRecord, TrialRecord

SHOWN = 4
"""Arms that a caveat names."""


def analyse_sweep(lab: Lab, sweep_id: str, lag: int | None = None) -> tuple[Analysis, SweepData]:
    """The analysis of a sweep in the lab database, as far as it is.

    Args:
        lag: of the task, in steps; None: read from the task itself, whose data is loaded for it.

    Raises:
        SpecError: no such sweep.
    """
    spec = SweepSpec.model_validate(lab.sweep(sweep_id).spec)
    trials, replicates = lab.trials(sweep_id), lab.replicates(sweep_id)
    data = data_of(sweep_id, spec, trials, replicates, lag_of(spec) if lag is None else lag)
    return analyse(data, trials, replicates), data


def analyse(data: SweepData, trials: Sequence[TrialRecord], replicates: Sequence[ReplicateRecord]) -> Analysis:
    """The analysis of a sweep from its table and its records."""
    units = data.paired["unit"].nunique()
    unit = "seed" if data.by_replicate else "block"
    of_arms, of_levels, across = arms(data), contrasts(data), interactions(data)
    health, signals = crosses(data), aucs(data)
    kinds = set(data.frame["cell"]) if "cell" in data.frame else {str(data.spec.model.get("cell", "rnn"))}
    fixed = CELLS.get(next(iter(kinds)), "network") if len(kinds) == 1 else "network"
    told = Told(data.lag, unit, fixed, _cell_of(data))
    return Analysis(
        sweep_id=data.sweep_id,
        units=units,
        unit=unit,
        trials=data.ended,
        axes={axis: data.levels(axis) for axis in data.axes},
        arms=of_arms,
        contrasts=of_levels,
        interactions=across,
        health=health,
        signals=signals,
        importance=importances(data.spec, trials, replicates),
        findings=findings_of(of_levels, across, health, signals, of_arms, told),
        sensitivity=sensitivity(data),
        caveats=_caveats(data, units, unit),
    )


def _cell_of(data: SweepData) -> dict[str, str]:
    """Axes that one cell alone has, and which."""
    if "cell" not in data.axes:
        return {}
    found = {}
    for axis in data.axes:
        cells = set(data.frame.loc[data.frame[axis] != ABSENT, "cell"])
        if axis != "cell" and len(cells) == 1:
            found[axis] = cells.pop()
    return found


def _caveats(data: SweepData, units: int, unit: str) -> list[str]:
    said = []
    missing = data.spec.trials - data.ended.get("complete", 0)
    if missing:
        shown = ", ".join(f"{count} {state}" for state, count in sorted(data.ended.items()) if state != "complete")
        said.append(
            f"{data.ended.get('complete', 0)} of {data.spec.trials} trials have used their budget"
            f"{f' ({shown})' if shown else ''}; what is said rests on these alone."
        )
    if len(data.adaptive):
        said.append(
            f"{data.adaptive['trial'].nunique()} trials were picked by looking at scores; they are marked "
            "adaptive, and no interval of a difference and no p-value comes from them."
        )
    said += _diverged(data)
    if 0 < units < ENOUGH:
        said.append(
            f"{units} {unit}s: by signs alone no p below {2 * 0.5**units:.2g} is possible; read the intervals, or run "
            "more blocks."
        )
    if data.ended.get("pruned"):
        said.append(
            f"The pruner {data.spec.search.pruner.kind} ended trials early; these are not among the replicates, which "
            "favours what learns fast."
        )
    return said


def _diverged(data: SweepData) -> list[str]:
    """Arms of which nothing was left to compare but that they diverged."""
    frame = data.frame
    if frame.empty or not frame["diverged"].any():
        return []
    dead = int(frame["diverged"].sum())
    if dead == len(frame):
        return [
            f"Every one of the {dead} replicates diverged: a state, a loss or a gradient was no longer finite. Their "
            "scores are +2 by definition, and no difference between scores speaks of learning; a lower learning rate, "
            "a clip or a smaller gain comes first."
        ]
    by_arm = frame.groupby("label", sort=True)["diverged"]
    lost = by_arm.all()
    said = f"{dead} of {len(frame)} replicates diverged; their scores are +2 by definition, and they count as unsolved."
    if lost.any():
        names = [str(label) for label in lost.index[lost]]
        shown = "; ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        said += f" All of: {shown}."
    return [said]
