"""A finished or unfinished sweep as an Optuna study in a file of its own, for Optuna's dashboard and plots.

Nothing of ours reads it. All stages go into one study, in the order of their numbers; a param whose condition
differs is a param of its own (`dimension.key`), since Optuna wants one distribution a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from sweeps.space.dimensions import Dimension
from sweeps.space.suggest import named_by_key
from sweeps.spec import SweepSpec
from sweeps.store import ReportRecord, SweepRecord, TrialRecord

STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "running": TrialState.RUNNING,
    "interrupted": TrialState.FAIL,
    "failed": TrialState.FAIL,
}
"""The lab database's states in Optuna's words, as `sweeps.search.tell` has them."""


def write_study(
    sweep: SweepRecord,
    trials: Sequence[TrialRecord],
    reports: Sequence[ReportRecord],
    path: Path,
    each: Callable[[int], None],
) -> None:
    """Write a sweep's trials with states, values, params, scores by update, and what else is known as attributes.

    Args:
        path: of the new SQLite file. each: told how many trials are written.
    """
    spec = SweepSpec.model_validate(sweep.spec)
    by_trial: dict[int, dict[int, float]] = {}
    for report in reports:
        by_trial.setdefault(report.trial, {})[report.update] = report.score
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
    try:
        study = optuna.create_study(storage=storage, study_name=sweep.id, direction="minimize")
        study.set_user_attr("description", spec.description)
        study.set_user_attr("status", sweep.status)
        study.set_user_attr("spec", sweep.spec)
        for done, trial in enumerate(trials, 1):
            study.add_trial(frozen(spec, trial, by_trial.get(trial.number, {})))
            each(done)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def frozen(spec: SweepSpec, trial: TrialRecord, reports: dict[int, float]) -> FrozenTrial:
    """One trial as Optuna keeps it. A complete one has its score; a pruned one the last that it told, as Optuna's own
    `tell` has it.

    Args:
        reports: score by update.
    """
    state = STATES[trial.state]
    value = trial.score if state is TrialState.COMPLETE else None
    if state is TrialState.PRUNED and reports:
        value = reports[max(reports)]
    space = spec.parsed_space
    known = {
        "number": trial.number, "label": trial.label, "stage": spec.stages.slot(trial.number).stage,
        "block": trial.block, "test_score": trial.test_score, "verdict": trial.verdict,
        "verdict_init": trial.verdict_init, "decades": trial.decades, "healthy": trial.healthy, "solved": trial.solved,
        "exploded": trial.exploded, "updates": trial.updates, "cause": trial.cause,
    }  # fmt: skip
    attributes: dict[str, Any] = {name: one for name, one in known.items() if one is not None}
    return FrozenTrial(
        number=trial.number,
        trial_id=-1,
        state=state,
        value=value,
        datetime_start=_local(trial.started_at),
        datetime_complete=_local(trial.ended_at or trial.started_at) if state.is_finished() else None,
        params=named_by_key(space, trial.params),
        distributions={
            (part := space.dimension_of(name, trial.params)).key: distribution_of(part) for name in trial.params
        },
        user_attrs=attributes,
        system_attrs={},
        intermediate_values=reports,
    )


def distribution_of(dimension: Dimension) -> BaseDistribution:
    """What `sweeps.space.suggest` asks Optuna for."""
    if dimension.choices:
        return CategoricalDistribution(list(dimension.choices))
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, int(dimension.step or 1))
    return FloatDistribution(dimension.low, dimension.high, dimension.log, dimension.step)


def _local(at: datetime) -> datetime:
    """Optuna keeps local times without a zone."""
    return at.astimezone().replace(tzinfo=None)
