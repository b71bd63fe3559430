"""Which early signal, or model of several, tells best who will solve the task, on sweeps that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rnnlab.errors import SpecError
from rnnlab.training.signals import AT
from sweeps.analysis.data import SweepData
from sweeps.analysis.resampling import (
    Array,
    Pairs,
    both_outcomes,
    cells_of,
    draws,
    interval,
    simultaneous,
    tasks_of,
    units_of,
)
from sweeps.analysis.results import Interval, Result
from sweeps.analysis.signals import FEW, READ, column

Rival = Literal["early loss", "chance", "loss and cell type"]
LOSS: Final = "early loss"
CELL = "cell type"
LOSS_CELL: Final = "loss and cell type"
REST, REST_LOSS, REST_LOSS_CELL = "all but the loss", "all and the loss", "all, the loss and cell type"
ONE = {
    LOSS: ("loss",),
    "decades": ("decades", "decades_size"),
    "change of decades": ("decades_change",),
    "horizon": ("horizon",),
    "condition number": ("condition",),
    "saturation": ("saturation",),
    "early share": ("early_share",),
}
"""Name of a model of one signal -> what it reads; D with its size, so that too much may be as bad as too little."""
CONTROLS = (CELL, LOSS_CELL, REST_LOSS_CELL)
FOLDS = 5
"""Groups of units of a single sweep, each judged by a model fitted on the others."""
GAIN = "simultaneous over the table, cluster bootstrap, max-t"


class Sample(Result):
    """One sweep that was judged."""

    sweep_id: str
    task: str
    cells: list[str]
    replicates: int
    solved: int
    units: int
    gone: dict[int, int]
    """Percent -> replicates that had diverged by then, which are no question any more."""
    adaptive: bool
    """Whether a sampler picked trials by looking at scores."""


class Judged(Result):
    """One model at one percent of the budget, on replicates that it was not fitted on."""

    model: str
    signals: list[str]
    percent: int
    auc: Interval
    """Mean over the sweeps."""
    by_sweep: dict[str, float]
    against: Rival | None
    """What `gain` is over: the early loss at the same percent, or 0.5 at 0%, where there is no loss."""
    gain: Interval | None
    """AUC less that of `against`, on the same replicates."""


class Prediction(Result):
    """What was asked of which sweeps, and what every model came to."""

    sweeps: list[Sample]
    across: bool
    """Every sweep judged by models fitted on the others; else one sweep's units in groups."""
    judged: list[Judged]
    unread: list[str]
    """Signals that no model reads, since a sweep did not measure them."""


@dataclass(frozen=True)
class _Rows:
    """The rows of one sweep that are a question at one percent."""

    sweep_id: str
    signals: pd.DataFrame
    cells: NDArray[np.object_]
    solved: NDArray[np.bool_]
    units: NDArray[np.int_]
    count: int
    tasks: NDArray[np.int_]


def predict(datas: Sequence[SweepData]) -> Prediction:
    """Judge every model at every percent: leave one sweep out, or of one sweep alone leave out groups of units.

    A model is a logistic regression (L2, C = 1) of standardised signals; what is missing is the median, with a flag.
    Every sweep that it is fitted on counts the same, and in it the solved as much as the unsolved, so that nothing is
    learnt from how many solved. The AUC is of pairs inside a sweep, and in it inside one task and one group, then the
    mean over sweeps.
    Intervals resample units and keep the fitted models: they hold for these sweeps, not for all that could be run.
    Of 60 simulated pairs of sweeps without any signal 3 claimed a gain over the loss, of 40 single sweeps none.

    Raises:
        SpecError: a sweep named twice, without solved or unsolved replicates, or without early signals.
    """
    samples = [_sample(data) for data in datas]
    ids = [sample.sweep_id for sample in samples]
    if not ids or len(set(ids)) < len(ids):
        raise SpecError(f"predicting takes one or more different sweeps, but got {', '.join(ids) or 'none'}")
    drawn = {data.sweep_id: draws(units_of(data).nunique(), seed) for seed, data in enumerate(datas)}
    judged: list[_Judge] = []
    unread: dict[str, None] = {}
    for percent in AT:
        rows = [found for data in datas if (found := _rows(data, percent)) is not None]
        if not rows or (len(datas) > 1 and len(rows) < 2):
            continue
        asked = [signal for signal in READ if not (percent == 0 and signal in ("loss", "decades_change"))]
        told = [signal for signal in asked if _told(signal, rows)]
        unread |= dict.fromkeys(signal for signal in asked if signal not in told)
        cells = sorted({cell for one in rows for cell in one.cells})
        for name, signals in _models(told, len(cells) > 1):
            reads_cell = name in CONTROLS
            pairs = _out_of_sample(rows, signals, cells if reads_cell else [])
            judged.append(_Judge(name, signals, percent, pairs, drawn))
    if not judged:
        raise SpecError(
            f"predicting takes probes at 0, 2, 5 or 10% of the budget in at least {FEW} solved and {FEW} unsolved "
            f"replicates, but {', '.join(ids)} has none; run again with `probe.schedule: log`"
        )
    return Prediction(sweeps=samples, across=len(datas) > 1, judged=_compared(judged), unread=list(unread))


def _told(signal: str, rows: Sequence[_Rows]) -> bool:
    """Whether every sweep measured a signal, and it varies in one of them."""
    columns = [one.signals[signal] for one in rows]
    return all(column.notna().any() for column in columns) and any(column.nunique() > 1 for column in columns)


def _models(told: Sequence[str], several_cells: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of models and what they read, of the signals that every sweep has."""
    rest = tuple(signal for signal in told if signal != "loss")
    for name, signals in ONE.items():
        if read := tuple(signal for signal in signals if signal in told):
            yield name, read
    if rest:
        yield REST, rest
    if several_cells:
        yield CELL, ()
    if "loss" in told:
        if rest:
            yield REST_LOSS, (*rest, "loss")
        if several_cells:
            yield LOSS_CELL, ("loss",)
            if rest:
                yield REST_LOSS_CELL, (*rest, "loss")


@dataclass(frozen=True)
class _Judge:
    """A model's pairs in each sweep, and its AUC in every resample of them."""

    name: str
    signals: tuple[str, ...]
    percent: int
    pairs: dict[str, Pairs]
    drawn: dict[str, Array]

    @property
    def auc(self) -> float:
        return float(np.mean([one.auc for one in self.pairs.values()]))

    @property
    def units(self) -> int:
        return min(int(self.drawn[sweep].shape[1]) for sweep in self.pairs)

    def redrawn(self) -> Array:
        by_sweep = [one.redrawn(self.drawn[sweep]) for sweep, one in self.pairs.items()]
        mean: Array = np.mean(by_sweep, axis=0)
        return mean

    def interval(self) -> Interval:
        """Of the mean; where resamples cannot say, of a sweep alone: as if further sweeps told nothing new."""
        each = [one.interval(self.drawn[sweep]) for sweep, one in self.pairs.items()]
        if len(each) == 1:
            return each[0]
        return interval(self.auc, self.redrawn(), self.units, lambda auc: auc * (1 - auc) / self.units)


def _compared(judged: Sequence[_Judge]) -> list[Judged]:
    """With gains: over the early loss, at 0% over chance, and of the last control over the loss and the cell type."""
    at = {(one.percent, one.name): one for one in judged}
    over: dict[tuple[int, str], tuple[Rival, _Judge | None]] = {}
    for percent, name in at:
        if percent == 0:
            over[percent, name] = ("chance", None)
        elif name == REST_LOSS_CELL:
            over[percent, name] = (LOSS_CELL, at[percent, LOSS_CELL])
        elif name != LOSS and (percent, LOSS) in at:
            over[percent, name] = (LOSS, at[percent, LOSS])
    gains: dict[tuple[int, str], Interval] = {}
    for against in (LOSS, "chance", LOSS_CELL):
        keys = [key for key, (what, _) in over.items() if what == against]
        values, redrawn = [], []
        for key in keys:
            rival = over[key][1]
            values.append(at[key].auc - (rival.auc if rival else 0.5))
            redrawn.append(at[key].redrawn() - (rival.redrawn() if rival else 0.5))
        fewest = min((at[key].units for key in keys), default=0)
        gains |= dict(zip(keys, simultaneous(values, redrawn, fewest, GAIN), strict=True))
    return [
        Judged(
            model=one.name, signals=list(one.signals), percent=one.percent, auc=one.interval(),
            by_sweep={sweep: pairs.auc for sweep, pairs in one.pairs.items()},
            against=over[key][0] if key in over else None, gain=gains.get(key),
        )
        for key, one in at.items()
    ]  # fmt: skip


def _out_of_sample(rows: Sequence[_Rows], signals: Sequence[str], cells: Sequence[str]) -> dict[str, Pairs]:
    """Pairs of every sweep by scores of models that never saw the rows they score."""
    inputs = [_inputs(one, signals, cells) for one in rows]
    if len(rows) == 1:
        return {rows[0].sweep_id: _by_groups(rows[0], inputs[0])}
    pairs = {}
    for left, one in enumerate(rows):
        rest = [place for place in range(len(rows)) if place != left]
        scores = _fitted(
            np.concatenate([inputs[place] for place in rest]),
            np.concatenate([rows[place].solved for place in rest]),
            np.concatenate([_weights(rows[place].solved) for place in rest]),
            inputs[left],
        )
        pairs[one.sweep_id] = Pairs.of(scores, one.solved, one.units, one.count, one.tasks)
    return pairs


def _by_groups(one: _Rows, inputs: Array) -> Pairs:
    scores, folds = np.zeros(len(one.solved)), np.zeros(len(one.solved), dtype=int)
    groups = GroupKFold(min(FOLDS, len(np.unique(one.units))))
    for fold, (rest, left) in enumerate(groups.split(inputs, one.solved, one.units)):
        scores[left] = _fitted(inputs[rest], one.solved[rest], _weights(one.solved[rest]), inputs[left])
        folds[left] = fold
    return Pairs.of(scores, one.solved, one.units, one.count, one.tasks * FOLDS + folds)


def _fitted(inputs: Array, solved: NDArray[np.bool_], weights: Array, judged: Array) -> Array:
    """Log-odds of `judged` by a model of the rest; 0 where the rest has one outcome alone."""
    if solved.all() or not solved.any():
        return np.zeros(len(judged))
    model = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=1.0, max_iter=2000),
    )
    model.fit(inputs, solved, logisticregression__sample_weight=weights)
    odds: Array = model.decision_function(judged)
    return odds


def _weights(solved: NDArray[np.bool_]) -> Array:
    """Of one sweep: the solved together as much as the unsolved, and 100 in all."""
    yes = int(solved.sum())
    return np.where(solved, 50 / max(1, yes), 50 / max(1, len(solved) - yes))


def _inputs(one: _Rows, signals: Sequence[str], cells: Sequence[str]) -> Array:
    flags = [(one.cells == cell).astype(float) for cell in cells]
    return np.column_stack([*(one.signals[signal].to_numpy() for signal in signals), *flags])


def _rows(data: SweepData, percent: int) -> _Rows | None:
    """Rows whose probe at that percent ran; None with fewer than 5 solved or unsolved among them."""
    seen = _alive(data, percent)
    solved = data.frame["solved"].to_numpy(dtype=bool)[seen]
    tasks = tasks_of(data)[seen]
    if min(solved.sum(), (~solved).sum()) < FEW or not both_outcomes(solved, tasks):
        return None
    names, places = np.unique(units_of(data).to_numpy(), return_inverse=True)
    return _Rows(
        sweep_id=data.sweep_id,
        signals=pd.DataFrame({signal: column(data.frame, signal, percent)[seen] for signal in READ}),
        cells=cells_of(data).to_numpy()[seen],
        solved=solved,
        units=places[seen],
        count=len(names),
        tasks=tasks,
    )


def _alive(data: SweepData, percent: int) -> NDArray[np.bool_]:
    return data.frame["decades_0" if percent == 0 else f"loss_{percent}"].notna().to_numpy()


def _sample(data: SweepData) -> Sample:
    """Raises:
    SpecError: fewer than 5 solved or unsolved replicates, or all in one unit.
    """
    solved, of = int(data.frame["solved"].sum()), len(data.frame)
    units = int(units_of(data).nunique())
    if min(solved, of - solved) < FEW or units < 2:
        raise SpecError(
            f"predicting success takes at least {FEW} solved and {FEW} unsolved replicates in 2 blocks or more of each "
            f"sweep, but {data.sweep_id} has {solved} solved of {of} in {units}; leave it out, or give it a task and "
            "a budget that some arms solve and some do not"
        )
    task = data.spec.task.model_dump(mode="json", exclude={"loss"})
    task |= {axis.removeprefix("task."): ", ".join(data.levels(axis)) for axis in data.axes if axis.startswith("task.")}
    options = ", ".join(f"{name} {value}" for name, value in task.items() if name != "kind")
    gone = data.frame["diverged"].to_numpy(dtype=bool)
    return Sample(
        sweep_id=data.sweep_id,
        task=f"{task['kind']} ({options})" if options else str(task["kind"]),
        cells=sorted(map(str, cells_of(data).unique())),
        replicates=of,
        solved=solved,
        units=units,
        gone={percent: int((gone & ~_alive(data, percent)).sum()) for percent in AT},
        adaptive=len(data.adaptive) > 0,
    )
