"""Divergence in every form: outcome, cause and update are right, alone and beside others, and every number is finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from rnnlab import train
from rnnlab.errors import DataError
from rnnlab.probes import PROBES
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TaskSpec, TrialSpec
from rnnlab.tasks.table import TableTask
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import Outcome
from rnnlab.training.scale import HIGHEST

LANE = 1
"""The lane that diverges, between two that do not."""
PLAIN: dict[str, Any] = {
    "task": {"kind": "temporal_order", "length": 12},
    "model": {"activation": "linear", "hidden": 4},
    "optim": {"kind": "adam", "lr": 1e-3, "batch": 5},
    "budget": {"updates": 12, "evaluations": 3},
    "replicates": 3,
}

Weights = dict[str, Tensor]
"""The parameters of one lane by name, views that can be changed."""


def state(w: Weights) -> None:
    w["weight_hh_l0"].copy_(1e5 * torch.eye(4))


def loss(w: Weights) -> None:
    w["readout.bias"][0] = math.nan


def gradient(w: Weights) -> None:
    """h_1 of 1e-6 feeds h_0 by 1e5, which a readout of 1e36 sees: logits of 1e35, but dL/dh_1 of 1e41."""
    for weight in w.values():
        weight.zero_()
    w["weight_ih_l0"][1] = 1e-6
    w["weight_hh_l0"][0, 1] = 1e5
    w["readout.weight"][0, 0] = 1e36


def optimiser(w: Weights) -> None:
    """The same with a gradient of 1e25, which float32 holds and its square not."""
    gradient(w)
    w["readout.weight"][0, 0] = 1e20


CAUSES = (state, loss, gradient, optimiser)


def lane_of(trainer: Trainer, lane: int) -> Weights:
    return {name: value.data[lane] for name, value in trainer.network.named().items()}


def run(
    spec: TrialSpec, spoil: Callable[[Weights], None] | None = None, at: int = 0, lane: int = LANE, only: bool = False
) -> tuple[Trainer, MemoryRecorder]:
    """Train to the end; `spoil` changes a lane before update `at` (from 1). `only`: that lane of the spec, alone."""
    trainer = Trainer(spec, recorder := MemoryRecorder())
    if only:
        alone = Trainer(spec.model_copy(update={"replicates": 1}), recorder)
        alone.network.theta.data.copy_(trainer.network.theta.data[lane : lane + 1])
        alone.streams = [trainer.streams[lane]]
        trainer, lane = alone, 0

    def stop() -> bool:
        if spoil is not None and trainer.done == at - 1:
            spoil(lane_of(trainer, lane))
        return False

    trainer.stop = stop
    while not trainer.advance().done:
        pass
    return trainer, recorder


def non_finite(value: Any, place: str = "result") -> Iterator[str]:
    """Places of what is NaN or infinite."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from non_finite(part, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from non_finite(part, f"{place}[{index}]")


@pytest.mark.parametrize("at", [1, 6, 12], ids=["first", "between evaluations", "last"])
@pytest.mark.parametrize("spoil", CAUSES, ids=lambda spoil: spoil.__name__)
def test_a_lane_diverges_alone_as_beside_others_and_changes_none(spoil: Callable[[Weights], None], at: int) -> None:
    spec = TrialSpec.model_validate(PLAIN)
    clean, told = run(spec)
    assert {r.outcome for r in clean.result.replicates} == {Outcome.FINISHED}
    beside, retold = run(spec, spoil, at)
    alone, _ = run(spec, spoil, at, only=True)
    for dead in (beside.result.replicates[LANE], alone.result.replicates[0]):
        assert (dead.outcome, dead.cause, dead.update) == (Outcome.DIVERGED, spoil.__name__, at)
        assert (dead.exploded, dead.exploded_at) == (True, at)
        assert (dead.score, dead.test_score, dead.solved) == (HIGHEST, HIGHEST, False)
    assert alone.result.updates == at  # nothing was left to train
    assert beside.result.outcome is Outcome.FINISHED
    assert not list(non_finite(beside.result.as_dict()))
    assert not list(non_finite(alone.result.as_dict()))
    # to the bit: the same shapes, hence the same sums
    others = [lane for lane in range(3) if lane != LANE]
    assert torch.equal(clean.network.theta[others], beside.network.theta[others])
    for lane in others:
        assert clean.result.replicates[lane].as_dict() == beside.result.replicates[lane].as_dict()
    shown = {(curve.update, curve.name): curve.values_SK for curve in retold.curves_seen
             if not np.isnan(curve.values_SK[0]).all()}  # fmt: skip
    for curve in told.curves_seen:
        assert np.array_equal(curve.values_SK[others], shown[curve.update, curve.name][others])
    for (_, values), (_, again) in zip(told.scalars_seen, retold.scalars_seen, strict=True):
        for name in values:
            assert np.array_equal(values[name][others], again[name][others])


@pytest.mark.parametrize("kind", ["adam", "rmsprop"])
def test_an_optimiser_that_overflowed_does_not_train_on_in_silence(kind: str) -> None:
    """With an infinite mean of squares every later step is 0: the lane would end as finished, learning nothing."""
    spec = TrialSpec.model_validate({**PLAIN, "optim": {**PLAIN["optim"], "kind": kind}})
    trainer, _ = run(spec, optimiser, 3)
    assert trainer.result.replicates[LANE].cause == "optimiser"
    assert trainer.result.replicates[LANE].update == 3


@pytest.mark.parametrize(
    "cell",
    [{"activation": "relu", "init": {"orthogonal": 3.0}}, {"activation": "linear", "init": {"identity": 3.0}}],
    ids=str,
)
def test_a_gain_of_three_over_200_steps_overflows_the_state(cell: dict[str, Any]) -> None:
    plain = {**PLAIN, "task": {"kind": "adding", "length": 200}, "model": {"hidden": 8, **cell}}
    spec = TrialSpec.model_validate({**plain, "budget": {"updates": 2, "evaluations": 1}})
    result = train(spec)
    assert result.outcome is Outcome.DIVERGED
    assert {(r.cause, r.update, r.verdict) for r in result.replicates} == {("state", 1, "exploding")}
    assert not list(non_finite(result.as_dict()))


def test_a_state_that_relu_brings_back_to_zero_is_still_the_cause() -> None:
    """Units a = 1, z = 1 a step later, b = 1e20 in between, c = 1e20 b: infinite at steps 3, 7 and 11 of 12.

    All hear of c by -1, so that the step after it all are 0, and begin again.
    """
    spec = TrialSpec.model_validate({**PLAIN, "model": {"activation": "relu", "hidden": 4}})

    def back(w: Weights) -> None:
        for weight in w.values():
            weight.zero_()
        w["bias_ih_l0"][0] = 1.0
        hh = w["weight_hh_l0"]
        hh[1, 0], hh[2, 0], hh[2, 1], hh[3, 2] = 1.0, 1e20, -1e30, 1e20
        hh[:, 3] = -1.0

    trainer, _ = run(spec, back, 2)
    assert trainer.result.replicates[LANE].cause == "state"


def test_what_overflows_in_a_probe_alone_ends_nothing() -> None:
    """h stays 0 and nothing reads it, so training is finite; but an anchor feels W^k, 1e20 a step."""
    spec = TrialSpec.model_validate({**PLAIN, "task": {"kind": "temporal_order", "length": 24},
                                     "probe": {"measure": list(PROBES)}})  # fmt: skip

    def still(w: Weights) -> None:
        for weight in w.values():
            weight.zero_()
        w["weight_hh_l0"].copy_(1e20 * torch.eye(4))

    trainer, recorder = run(spec, still, 1)
    seen = trainer.result.replicates[LANE]
    assert (seen.outcome, seen.cause, seen.verdict) == (Outcome.FINISHED, None, "exploding")
    assert not seen.exploded
    assert not list(non_finite(trainer.result.as_dict()))
    for curve in recorder.curves_seen:
        assert np.isfinite(curve.values_SK).all(), curve.name
        assert np.isfinite(curve.log10_SK).all(), curve.name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e38], ids=str)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_every_probe_of_a_dead_lane_gives_numbers(cell: str, value: float) -> None:
    model = {"cell": cell, "hidden": 4, "depth": 2}
    spec = TrialSpec.model_validate({**PLAIN, "model": model, "probe": {"measure": list(PROBES)},
                                     "budget": {"updates": 2, "evaluations": 1}})  # fmt: skip

    def spoil(w: Weights) -> None:
        w["weight_hh_l0"].fill_(value)

    trainer, recorder = run(spec, spoil, 1)
    assert not list(non_finite(trainer.result.as_dict()))
    for curve in recorder.curves_seen:
        shown = ~np.isnan(curve.values_SK).all(1)
        assert np.isfinite(curve.values_SK[shown]).all(), curve.name
        assert np.isfinite(curve.log10_SK[shown]).all(), curve.name


class TestAPersonsData:
    """300 rows in three groups of different lengths; rows are held out in time, 15% of each group at a time."""

    OPTIONS: dict[str, Any] = {"inputs": ["x"], "target": "y", "lag": 1, "length": 3}
    ROWS = {"training": 20, "validation": 80, "test": 99}
    """A row of each part, from 0, of a file of one group of 100 rows."""

    def frame(self, rows: int = 100) -> pd.DataFrame:
        draw = np.random.default_rng(0)
        return pd.DataFrame({"x": draw.normal(size=rows), "y": draw.normal(size=rows), "g": "all"})

    @pytest.mark.parametrize("part", ROWS)
    @pytest.mark.parametrize("column", ["x", "y"])
    @pytest.mark.parametrize("cell", ["nan", "inf", "-inf", "1e39", ""])
    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_what_is_not_a_number_is_refused_where_it_stands(
        self, tmp_path: Path, part: str, column: str, cell: str, suffix: str
    ) -> None:
        row, frame, path = self.ROWS[part], self.frame(), tmp_path / f"mine.{suffix}"
        frame.loc[row, column] = float(cell or "nan")
        if suffix == "csv":
            frame[column] = frame[column].astype(str).where(frame.index != row, cell)
            frame.to_csv(path, index=False)
            place = f"line {row + 2}"  # the header is line 1
        else:
            frame.to_parquet(path)
            place = f"row {row + 1}"
        with pytest.raises(DataError) as told:
            TableTask(self.spec(path))
        assert f"{path}, {place}, column {column!r}: a" in str(told.value)

    @pytest.mark.parametrize("column", ["x", "y"])
    @pytest.mark.parametrize("part", ["validation", "test"])
    def test_what_cannot_be_standardised_is_refused_where_it_stands(
        self, tmp_path: Path, column: str, part: str
    ) -> None:
        """Training rows that differ by 1e-30 and one of 1e10: 1e40 deviations, more than float32 holds."""
        frame, path = self.frame(), tmp_path / "mine.csv"
        frame[column] *= 1e-30
        frame.loc[self.ROWS[part], column] = 1e10
        frame.to_csv(path, index=False)
        with pytest.raises(DataError, match="standard deviations") as told:
            TableTask(self.spec(path))
        assert f"{path}, line {self.ROWS[part] + 2}, column {column!r}: a value must lie" in str(told.value)

    def test_a_row_of_a_ragged_file_is_named_by_its_line(self, tmp_path: Path) -> None:
        """Groups of 60, 90 and 150 rows, shuffled together: the line is the file's, not the group's."""
        frame, path = self.frame(300), tmp_path / "mine.csv"
        frame["g"] = np.repeat(["a", "b", "c"], [60, 90, 150])
        frame["x"] *= 1e-30
        frame.loc[59, "x"] = 1e10  # the last of its group, in the test part
        frame = frame.sample(frac=1, random_state=3).sort_values("g", key=lambda g: g.index % 7, kind="stable")
        order = frame.index.tolist()
        frame = frame.loc[[at for at in order if at != 59] + [59]]
        frame.to_csv(path, index=False)
        with pytest.raises(DataError, match="line 301, column 'x'"):
            TableTask(self.spec(path, group="g"))

    def test_tiny_numbers_are_standardised_as_others(self, tmp_path: Path) -> None:
        """Squares of 1e-200 are 0 in float64; the column's deviation is not."""
        frame, path = self.frame(), tmp_path / "mine.csv"
        frame.to_csv(path, index=False)
        plain = TableTask(self.spec(path)).validation
        (frame.assign(x=frame["x"] * 2.0**-700, y=frame["y"] * 2.0**-700)).to_csv(path, index=False)
        tiny = TableTask(self.spec(path)).validation
        assert torch.equal(plain.x_TNI, tiny.x_TNI)
        assert torch.equal(plain.y_TN, tiny.y_TN)

    @pytest.mark.parametrize(("part", "update"), [("validation", 2), ("test", 6)])
    def test_what_overflows_in_training_alone_diverges(self, tmp_path: Path, part: str, update: int) -> None:
        """A target of 1e25 is a number, but its squared error is none that float32 holds."""
        frame, path = self.frame(), tmp_path / "mine.csv"
        frame.loc[self.ROWS[part] - 1, "y"] = 1e25
        frame.to_csv(path, index=False)
        plain = {**PLAIN, "task": {"kind": "table", "path": str(path), **self.OPTIONS}}
        result = train(TrialSpec.model_validate({**plain, "budget": {"updates": 6, "evaluations": 3}}))
        assert result.outcome is Outcome.DIVERGED
        assert (result.updates, result.score, result.test_score, result.solved) == (update, HIGHEST, HIGHEST, 0)
        assert {(r.outcome, r.cause, r.update, r.exploded_at) for r in result.replicates} == {
            (Outcome.DIVERGED, "loss", update, update)
        }
        assert not list(non_finite(result.as_dict()))

    def spec(self, path: Path, **options: Any) -> TaskSpec:
        return TaskSpec.model_validate({"kind": "table", "path": str(path), **self.OPTIONS, **options})
