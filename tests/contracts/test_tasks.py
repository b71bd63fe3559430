"""What every line of the table of tasks promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rnnlab.choices import choose
from rnnlab.errors import SpecError
from rnnlab.spec import TaskSpec
from rnnlab.tasks import TASKS
from rnnlab.tasks.base import Task, correct_by_timestep, loss_by_timestep
from rnnlab.tasks.stored import PARTS, StoredTask, WindowedTask
from rnnlab.training.seeding import generator_for

TABLE = {"inputs": ["level", "flow"], "lag": 3, "length": 5, "path": "FILE"}
EXTRA: dict[str, list[dict[str, Any]]] = {
    "memorisation": [{"values": 2}, {"values": 5}],
    "parity": [{"length": 20}, {"length": 7}],
    "lorenz": [{"observe": "x"}, {"observe": "xyz"}],
    "aeon": [{"name": "BasicMotions"}, {"name": "PickupGestureWiimoteZ"}],
    "digits": [{"read": "pixels"}, {"read": "rows"}, {"read": "permuted"}],
    "table": [
        {**TABLE, "predict": "next", "target": "level"},
        {**TABLE, "predict": "step_class", "target": "side"},
        {**TABLE, "predict": "sequence_class", "target": "kind", "group": "site", "split": "group"},
    ],
}
MARKS = {"aeon": [pytest.mark.datasets]}
CASES = [
    pytest.param((kind, options), marks=MARKS.get(kind, [])) for kind in TASKS for options in EXTRA.get(kind, [{}])
]
SPLITS = ("validation", "test")


def case_name(case: tuple[str, dict[str, Any]]) -> str:
    kind, options = case
    said = ("read", "predict", "values", "length", "observe", "name")
    return "-".join([kind, *(str(options[name]) for name in said if name in options)])


def write_table(path: Path) -> None:
    """Twenty sites of ten days, enough for every mode."""
    draw = generator_for("contract", "table")
    rows = ["site,level,flow,side,kind"]
    for site in range(20):
        for level, flow in torch.randn(10, 2, generator=draw).tolist():
            rows.append(f"s{site},{level},{flow},{'up' if level > 0 else 'down'},{site % 2}")
    path.write_text("\n".join(rows))


@pytest.mark.parametrize("case", CASES, ids=case_name)
class TestTask:
    @pytest.fixture(autouse=True)
    def make(self, case: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
        self.kind, self.options = case[0], dict(case[1])
        if self.kind == "aeon":
            pytest.importorskip("aeon", reason="the extra `datasets` is not installed")
        if "path" in self.options:
            self.options["path"] = str(tmp_path / "table.csv")
            write_table(tmp_path / "table.csv")
        self.task = self.new()

    def new(self, **more: Any) -> Task:
        spec = TaskSpec.model_validate({"kind": self.kind, **self.options, **more})
        task = choose(TASKS, self.kind).load()(spec)
        assert isinstance(task, Task)
        return task

    def batches(self) -> dict[str, Any]:
        task = self.task
        return {
            "drawn": task.draw(generator_for("a"), 7),
            "validation": task.validation,
            "test": task.test,
        }

    def test_shapes_types_and_ranges(self) -> None:
        task = self.task
        for name, batch in self.batches().items():
            count = batch.x_TNI.shape[1]
            assert batch.x_TNI.shape == (task.length, count, task.inputs), name
            assert batch.x_TNI.dtype == torch.float32
            assert count == 7 if name == "drawn" else count > 0
            assert batch.x_TNI.isfinite().all()
            assert batch.y_TN.isfinite().all()
            if task.objective == "mse":
                assert batch.y_TN.shape == (task.length, count, task.outputs)
                assert batch.y_TN.dtype == torch.float32
            elif task.objective == "binary":
                assert task.outputs == 1
                assert batch.y_TN.shape == (task.length, count)
                assert set(batch.y_TN.unique().tolist()) <= {0.0, 1.0}
            else:
                assert batch.y_TN.shape == (task.length, count)
                assert batch.y_TN.dtype == torch.int64
                assert batch.y_TN.min() >= 0
                assert batch.y_TN.max() < task.outputs

    def test_the_lag_lies_within_the_sequence(self) -> None:
        assert 1 <= self.task.lag <= self.task.length - 1

    def test_a_stream_depends_on_its_generator_alone(self) -> None:
        first, again = (task.draw(generator_for("a"), 7) for task in (self.task, self.new()))
        other = self.task.draw(generator_for("b"), 7)
        assert torch.equal(first.x_TNI, again.x_TNI)
        assert torch.equal(first.y_TN, again.y_TN)
        assert not torch.equal(first.x_TNI, other.x_TNI)

    def test_splits_are_fixed_and_differ(self) -> None:
        other = self.new()
        for split in SPLITS:
            mine, theirs = getattr(self.task, split), getattr(other, split)
            assert torch.equal(mine.x_TNI, theirs.x_TNI)
            assert torch.equal(mine.y_TN, theirs.y_TN)
        assert not torch.equal(self.task.validation.x_TNI[:, :1], self.task.test.x_TNI[:, :1])

    def test_no_sequence_is_in_two_parts(self) -> None:
        task = self.task
        if isinstance(task, WindowedTask):  # a text may say the same thing twice; rows are what may not be shared
            return
        drawn = task.training if isinstance(task, StoredTask) else task.draw(generator_for("a"), 500)
        seen = [
            {x_TI.numpy().tobytes() for x_TI in part.x_TNI.unbind(1)} for part in (drawn, task.validation, task.test)
        ]
        assert not seen[0] & seen[1]
        assert not seen[0] & seen[2]
        assert not seen[1] & seen[2]

    def test_windows_of_two_parts_share_no_row(self) -> None:
        if not isinstance(self.task, WindowedTask):
            return
        parts = [self.task.windows_of(part) for part in PARTS]
        assert all(part.x_RI is parts[0].x_RI for part in parts)
        read = torch.zeros(len(parts), len(parts[0].x_RI), dtype=torch.bool)
        for number, windows in enumerate(parts):
            read[number, (windows.starts_N[:, None] + torch.arange(windows.length)).flatten()] = True
        assert read.any(1).all()
        assert read.sum(0).max() == 1

    def test_the_baseline_is_that_of_its_timesteps(self) -> None:
        for split in SPLITS:
            loss_T = self.task.baseline_by_timestep(split)
            assert loss_T.shape == (self.task.length,)
            assert self.task.baseline(split) == pytest.approx(float(self.task.combine(loss_T)), rel=1e-12)
            assert self.task.baseline(split) > 0

    def test_positions_follow_the_spec(self) -> None:
        length = self.task.length
        assert self.new(loss={"at": "every"}).positions == list(range(length))
        assert self.new(loss={"at": "last"}).positions == [length - 1]
        assert self.new(loss={"at": [-1, 0, 1]}).positions == [0, 1, length - 1]
        assert self.new(loss={"at": [-1, length - 1]}).positions == [length - 1]
        for outside in (length, -length - 1):
            with pytest.raises(SpecError, match=f"timestep {outside}, but task '{self.kind}' has {length}"):
                _ = self.new(loss={"at": [outside]}).positions
        with pytest.raises(SpecError, match="at least one timestep"):
            _ = self.new(loss={"at": []}).positions

    def test_a_sum_is_the_mean_times_the_positions(self) -> None:
        loss_T = torch.rand(self.task.length, 3, generator=generator_for("c"))
        mean, total = (self.new(loss={"at": [1, -1], "combine": how}) for how in ("mean", "sum"))
        torch.testing.assert_close(mean.combine(loss_T) * 2, total.combine(loss_T))
        torch.testing.assert_close(total.combine(loss_T), loss_T[1] + loss_T[-1])

    def test_lanes_stand_between_time_and_sequences(self) -> None:
        task, batch = self.task, self.task.draw(generator_for("a"), 7)
        # as many lanes as timesteps: a target that broadcast over the wrong axis would not raise
        out_TSNO = torch.randn(task.length, task.length, 7, task.outputs, generator=generator_for("d"))
        loss_TSN = loss_by_timestep(task.objective, out_TSNO, batch.y_TN)
        right_TSN = correct_by_timestep(task.objective, out_TSNO, batch.y_TN, task.tolerance)
        assert loss_TSN.shape == (task.length, task.length, 7)
        for lane in range(min(3, task.length)):
            alone = loss_by_timestep(task.objective, out_TSNO[:, lane], batch.y_TN)
            torch.testing.assert_close(loss_TSN[:, lane], alone)
            if right_TSN is not None:
                right = correct_by_timestep(task.objective, out_TSNO[:, lane], batch.y_TN, task.tolerance)
                assert right is not None
                assert torch.equal(right_TSN[:, lane], right)
        assert (right_TSN is None) == (task.objective == "mse" and task.tolerance is None)
