"""A checkpoint goes on with exactly the numbers that training would have had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnlab.cells import CELLS
from rnnlab.clipping import CLIPS
from rnnlab.errors import DataError
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.tasks import TASKS
from rnnlab.training import OPTIMISERS
from rnnlab.training.checkpoint import restore, save
from rnnlab.training.loop import Trainer
from rnnlab.written import validated


def trial(**sections: Any) -> TrialSpec:
    plain: dict[str, Any] = {
        "task": {"kind": "adding", "length": 20},
        "model": {"cell": "gru", "hidden": 6},
        "optim": {"lr": 1e-2, "batch": 4, "clip": {"norm": 0.5}},
        "replicates": 2,
        "budget": {"updates": 24, "evaluations": 6},
    }
    return validated(TrialSpec, {**plain, **sections})


def finish(trainer: Trainer) -> Trainer:
    while not trainer.advance().done:
        pass
    return trainer


def plain_result(trainer: Trainer) -> dict[str, Any]:
    """Everything but times."""
    result = trainer.result.as_dict()
    return {name: value for name, value in result.items() if not name.endswith("seconds")}


def interrupted(spec: TrialSpec, path: Path, evaluations: int) -> tuple[Trainer, MemoryRecorder]:
    """Trained to a number of evaluations, saved, and gone on with by a new trainer to the end."""
    first = Trainer(spec)
    for _ in range(evaluations):
        first.advance()
    save(first, path)
    memory = MemoryRecorder()
    second = Trainer(spec, memory)
    restore(second, path)
    return finish(second), memory


def assert_same(left: Trainer, right: Trainer) -> None:
    assert torch.equal(left.network.theta, right.network.theta)
    assert plain_result(left) == plain_result(right)


OPTIONS = {
    "adding": {"length": 20}, "copying": {"length": 8}, "temporal_order": {"length": 20}, "digits": {"read": "rows"},
    "weather": {}, "adding_hs97": {"length": 20}, "adding_pascanu": {"length": 20}, "memorisation": {"length": 8},
    "temporal_order_3bit": {"length": 20}, "delayed_copy": {"length": 20, "delay": 5},
    "delayed_xor": {"length": 20, "delay": 5}, "parity": {"length": 10}, "latch": {"length": 20}, "sines": {"length": 20},
    "mackey_glass": {"length": 20}, "lorenz": {"length": 20}, "characters": {"length": 20},
}  # fmt: skip
SHORT = {"updates": 20, "evaluations": 4}
CASES: list[dict[str, Any]] = [
    *({"task": {"kind": kind, **options}} for kind, options in OPTIONS.items()),
    *({"optim": {"kind": kind, "lr": 1e-2, "batch": 4}} for kind in OPTIMISERS),
    {"optim": {"kind": "sgd", "momentum": 0.9, "lr": 1e-2, "batch": 4}},
    *({"optim": {"clip": kind, "lr": 1e-2, "batch": 4}} for kind in CLIPS),
    *({"model": {"cell": cell, "hidden": 6, "depth": 2}} for cell in ("rnn", "lstm", "gru")),
    *(
        {"task": {"kind": "adding", "length": 12}, "model": {"cell": cell, "hidden": 8, "depth": 2}, "budget": SHORT}
        for cell in CELLS
        if cell not in ("rnn", "lstm", "gru")
    ),
    {"probe": {"measure": "signals"}},
]


@pytest.mark.parametrize("sections", CASES, ids=str)
def test_training_goes_on_bit_for_bit(tmp_path: Path, sections: dict[str, Any]) -> None:
    spec = trial(**sections)
    whole = finish(Trainer(spec))
    for evaluations in (1, 3):
        went_on, _ = interrupted(spec, tmp_path / f"{evaluations}.pt", evaluations)
        assert_same(whole, went_on)


@pytest.mark.parametrize("at", [0, 1, 7, 12])
def test_one_that_was_stopped_between_evaluations_goes_on(tmp_path: Path, at: int) -> None:
    spec = trial()
    asked = iter(range(100))
    stopped = Trainer(spec, stop=lambda: next(asked) == at)
    finish(stopped)
    assert (stopped.done, stopped.result.outcome) == (at, "interrupted")
    save(stopped, tmp_path / "c.pt")
    second = Trainer(spec)
    restore(second, tmp_path / "c.pt")
    assert not second.result.done
    assert_same(finish(Trainer(spec)), finish(second))


def test_one_that_had_ended_says_so_at_once(tmp_path: Path) -> None:
    whole = finish(Trainer(trial()))
    save(whole, tmp_path / "c.pt")
    second = Trainer(trial())
    restore(second, tmp_path / "c.pt")
    assert second.advance().done
    assert_same(whole, second)


def test_every_task_is_tried() -> None:
    assert set(OPTIONS) | {"table", "aeon"} == set(TASKS)  # these draw as digits and weather do


def test_what_is_recorded_later_is_the_same(tmp_path: Path) -> None:
    spec = trial()
    memory = MemoryRecorder()
    finish(Trainer(spec, memory))
    _, later = interrupted(spec, tmp_path / "c.pt", 2)
    assert later.scalars_seen
    assert min(update for update, _ in later.scalars_seen) == 9
    before = dict(memory.scalars_seen)
    for update, values in later.scalars_seen:
        for name, value in values.items():
            assert (before[update][name] == value).all(), (update, name)
    curves = {(curve.update, curve.name): curve for curve in memory.curves_seen}
    for curve in later.curves_seen:
        assert (curves[curve.update, curve.name].values_SK == curve.values_SK).all()


def test_a_lane_that_diverged_stays_diverged(tmp_path: Path) -> None:
    spec = trial(
        model={"cell": "rnn", "activation": "relu", "init": {"orthogonal": 2.5}, "hidden": 16},
        optim={"kind": "sgd", "lr": 0.02, "batch": 4}, task={"kind": "adding", "length": 40}, replicates=6,
    )  # fmt: skip
    whole = finish(Trainer(spec))
    outcomes = {replicate.outcome for replicate in whole.result.replicates}
    assert "diverged" in outcomes
    went_on, _ = interrupted(spec, tmp_path / "c.pt", 1)
    assert_same(whole, went_on)


def test_one_lane_diverged_and_the_others_stopped_is_no_finished_trial(tmp_path: Path) -> None:
    spec = trial(
        model={"cell": "rnn", "activation": "relu", "init": {"orthogonal": 1.3}, "hidden": 16},
        optim={"kind": "sgd", "lr": 0.01, "batch": 4}, task={"kind": "adding", "length": 40}, replicates=6,
    )  # fmt: skip
    ends = sorted(r.update for r in finish(Trainer(spec)).result.replicates)
    assert ends[0] < ends[-1]
    asked = iter(range(100))
    stopped = Trainer(spec, stop=lambda: next(asked) == ends[0])
    finish(stopped)
    assert {r.outcome for r in stopped.result.replicates} == {"diverged", "interrupted"}
    assert stopped.result.outcome == "interrupted"


def test_time_spent_before_counts(tmp_path: Path) -> None:
    first = Trainer(trial())
    first.advance()
    first.result.seconds, first.result.cpu_seconds = 1000.0, 500.0
    save(first, tmp_path / "c.pt")
    second = Trainer(trial())
    restore(second, tmp_path / "c.pt")
    result = second.advance()
    assert 1000 < result.seconds < 1100
    assert 500 < result.cpu_seconds < 600


def test_in_another_process_too(tmp_path: Path) -> None:
    spec, path = trial(), tmp_path / "c.pt"
    first = Trainer(spec)
    first.advance()
    save(first, path)
    code = """
import sys, torch
from pathlib import Path
from rnnlab.spec import TrialSpec
from rnnlab.training.checkpoint import restore
from rnnlab.training.loop import Trainer
torch.set_num_threads(1)
trainer = Trainer(TrialSpec.model_validate_json(sys.argv[1]))
restore(trainer, Path(sys.argv[2]))
while not trainer.advance().done: pass
torch.save(trainer.network.theta.data, sys.argv[3])
"""
    out = tmp_path / "theta.pt"
    subprocess.run(
        [sys.executable, "-c", code, spec.model_dump_json(), str(path), str(out)],
        check=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert torch.equal(torch.load(out), finish(Trainer(spec)).network.theta.data)


@pytest.mark.parametrize("damage", ["half", "empty", "text", "format"])
def test_a_spoilt_file_is_refused_and_says_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.pt"
    trainer = Trainer(trial())
    save(trainer, path)
    whole = path.read_bytes()
    if damage == "format":
        torch.save({"format": 99}, path)
    else:
        path.write_bytes({"half": whole[: len(whole) // 2], "empty": b"", "text": b"no checkpoint"}[damage])
    with pytest.raises(DataError, match="remove it"):
        restore(Trainer(trial()), path)


def test_a_checkpoint_of_another_trial_is_refused(tmp_path: Path) -> None:
    save(Trainer(trial()), tmp_path / "c.pt")
    with pytest.raises(DataError, match="another trial"):
        restore(Trainer(trial(seed=1)), tmp_path / "c.pt")


def test_what_must_come_before_a_checkpoint_comes_while_it_does_not_count_yet(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    trainer = Trainer(trial())
    save(trainer, path)
    old = path.read_bytes()
    trainer.advance()
    seen: list[bool] = []

    def fails() -> None:
        seen.append(path.read_bytes() == old and len(os.listdir(tmp_path)) == 2)
        raise DataError("the recorder has taken nothing")

    with pytest.raises(DataError):
        save(trainer, path, before=fails)
    assert seen == [True]
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["c.pt"]
    save(trainer, path, before=lambda: seen.append(path.read_bytes() == old))
    assert seen == [True, True]
    assert path.read_bytes() != old


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    trainer = Trainer(trial())
    save(trainer, path)
    before = path.read_bytes()
    trainer.specs[0] = None  # type: ignore[call-overload]
    with pytest.raises(AttributeError):
        save(trainer, path)
    assert path.read_bytes() == before
    with pytest.raises(OSError, match=r"(?i)no such"):
        save(Trainer(trial()), tmp_path / "gone" / "c.pt")
    assert os.listdir(tmp_path) == ["c.pt"]
