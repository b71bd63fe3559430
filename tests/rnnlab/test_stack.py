"""Trials side by side are what each is alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnlab.cells import CELLS
from rnnlab.clipping import CLIPS
from rnnlab.recorder import MemoryRecorder
from rnnlab.spec import TrialSpec
from rnnlab.training import OPTIMISERS
from rnnlab.training.checkpoint import restore, save, update_of
from rnnlab.training.loop import Trainer
from rnnlab.training.outcome import Outcome
from rnnlab.training.shape import shape_of
from rnnlab.training.stack import Stack
from rnnlab.written import validated

BARE = {
    "timestep": (0.01, 0.1, 1.0),
    "percentile": (5.0, 50.0, 95.0),
    "z": (1.5, 2.0, 3.0),
    "adaptive": (0.01, 0.1, 1.0),
}
ROUNDING: dict[str, Any] = {"rtol": 2e-4, "atol": 2e-5}
"""float32 products over more lanes may be summed in another order, carried over the updates."""


def trial(clip: str = "norm", number: int = 0, **sections: Any) -> TrialSpec:
    """Three of one shape, by number: another seed, start, rate and value of the clip."""
    own = CLIPS[clip].by_lane
    value = BARE.get(clip, BARE.get(own or "", (0.05, 0.3, 2.0)))[number]
    plain: dict[str, Any] = {
        "task": {"kind": "adding", "length": 10},
        "model": {"hidden": 5, "init": ("default", "orthogonal", "glorot")[number]},
        "optim": {
            "kind": "adam",
            "lr": (1e-3, 1e-2, 3e-2)[number],
            "batch": 4,
            "clip": {clip: {own: value}} if own else clip,
        },
        "replicates": 2,
        "budget": {"updates": 8, "evaluations": 2},
        "seed": number,
    }
    return validated(
        TrialSpec, {k: {**v, **sections.get(k, {})} if isinstance(v, dict) else v for k, v in plain.items()}
    )


def trained(specs: Sequence[TrialSpec]) -> tuple[Stack, list[MemoryRecorder]]:
    recorders = [MemoryRecorder() for _ in specs]
    return finish(Stack(specs, recorders)), recorders


def finish(stack: Stack) -> Stack:
    while stack.running:
        stack.train_on()
    return stack


def assert_same(stack: Stack, specs: Sequence[TrialSpec], told: Sequence[MemoryRecorder] | None = None) -> None:
    """Every trial of a stack is what it is alone."""
    for number, spec in enumerate(specs):
        alone, recorder = trained([spec])
        rows = stack.rows(number)
        torch.testing.assert_close(stack.network.theta[rows], alone.network.theta, **ROUNDING)
        mine, other = stack.results[number].as_dict(), alone.results[0].as_dict()
        for one, same in zip(mine.pop("replicates"), other.pop("replicates"), strict=True):
            assert_near(one, same)
        assert_near(mine, other)
        if told is not None:
            assert [update for update, _ in told[number].scalars_seen] == [u for u, _ in recorder[0].scalars_seen]
            for (_, scalars), (_, same_scalars) in zip(
                told[number].scalars_seen, recorder[0].scalars_seen, strict=True
            ):
                for name, value in scalars.items():
                    np.testing.assert_allclose(value, same_scalars[name], rtol=2e-3, atol=2e-4, err_msg=name)
            for curve, same_curve in zip(told[number].curves_seen, recorder[0].curves_seen, strict=True):
                assert (curve.name, curve.update) == (same_curve.name, same_curve.update)
                np.testing.assert_allclose(curve.values_SK, same_curve.values_SK, rtol=2e-3, atol=1e-9)


def assert_near(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in one.items():
        if name in ("seconds", "cpu_seconds", "signals"):
            continue
        if isinstance(value, float):
            assert value == pytest.approx(other[name], abs=2e-3, rel=2e-3), name
        else:
            assert value == other[name], name


@pytest.mark.parametrize("clip", CLIPS)
def test_trials_that_differ_in_start_rate_and_clip_are_what_they_are_alone(clip: str) -> None:
    specs = [trial(clip, number) for number in range(3)]
    stack, told = trained(specs)
    assert_same(stack, specs, told)


@pytest.mark.parametrize("cell", CELLS)
def test_of_every_cell(cell: str) -> None:
    specs = [trial(number=number, model={"cell": cell, "depth": 2, "init": "default"}) for number in range(2)]
    stack, told = trained(specs)
    assert_same(stack, specs, told)


def test_one_that_diverges_ends_and_the_others_go_on() -> None:
    wild = {"activation": "relu", "init": {"orthogonal": 10.0}}
    calm = {"activation": "relu", "init": "default"}
    specs = [trial("none", n, task={"length": 90}, model=model) for n, model in ((0, calm), (1, wild), (2, calm))]
    recorders = [MemoryRecorder() for _ in specs]
    stack = Stack(specs, recorders)
    stack.train_on()
    assert stack.running == [0, 2]
    ended = stack.results[1]
    assert ended.done
    assert ended.outcome is Outcome.DIVERGED
    assert ended.updates == 1
    heard = len(recorders[1].scalars_seen), len(recorders[1].curves_seen)
    finish(stack)
    assert heard == (len(recorders[1].scalars_seen), len(recorders[1].curves_seen))
    assert_same(stack, specs, recorders)


def test_a_stop_interrupts_all_that_still_run() -> None:
    specs = [trial("none", n) for n in range(2)]
    stack = Stack(specs, stop=lambda: stack.done == 7)
    finish(stack)
    assert [result.outcome for result in stack.results] == [Outcome.INTERRUPTED] * 2
    assert [result.updates for result in stack.results] == [7, 7]
    assert all(result.test_score is None for result in stack.results)


def test_time_is_shared_among_those_that_were_trained() -> None:
    stack = Stack([trial(number=n) for n in range(3)])
    began = stack._since
    finish(stack)
    wall, cpu = (stack._since[i] - began[i] for i in (0, 1))
    assert sum(result.seconds for result in stack.results) == pytest.approx(wall)
    assert sum(result.cpu_seconds for result in stack.results) == pytest.approx(cpu)


class TestCheckpoints:
    """A trial's file is its own: it is taken up alone, or beside others."""

    @pytest.mark.parametrize(
        ("clip", "optimiser"), [*((clip, "adam") for clip in CLIPS), *(("norm", name) for name in OPTIMISERS)]
    )
    def test_in_other_company(self, clip: str, optimiser: str, tmp_path: Path) -> None:
        specs = [trial(clip, number, optim={"kind": optimiser}) for number in range(3)]
        # two that were beside each other, and one that was alone
        pair, lone = Stack(specs[:2]), Trainer(specs[2])
        files = [tmp_path / f"{number}.pt" for number in range(3)]
        pair.train_on()
        lone.advance()
        for number in range(2):
            save(pair, files[number], trial=number)
        save(lone, files[2])
        assert {update_of(file, spec) for file, spec in zip(files, specs, strict=True)} == {pair.done}
        together = Stack(specs)
        restore(together, *files)
        assert_same(finish(together), specs)
        for number, spec in enumerate(specs):
            alone = Trainer(spec)
            restore(alone, files[number])
            assert_same(finish(alone), [spec])

    def test_a_file_holds_one_trial_alone(self, tmp_path: Path) -> None:
        stack = Stack([trial(number=n % 3, model={"hidden": 40}) for n in range(3)])
        alone = Trainer(trial(model={"hidden": 40}))
        stack.train_on()
        alone.advance()
        save(stack, tmp_path / "beside.pt", trial=0)
        save(alone, tmp_path / "alone.pt")
        sizes = [(tmp_path / name).stat().st_size for name in ("beside.pt", "alone.pt")]
        assert sizes[0] < 1.1 * sizes[1]

    def test_percentiles_that_outgrew_their_room(self, tmp_path: Path) -> None:
        specs = [trial("percentile", n, budget={"updates": 70, "evaluations": 2}) for n in range(2)]
        stack = Stack(specs)
        while stack.done < 70:  # beyond the 64 norms that there is room for at first
            stack._update()
        for number in range(2):
            save(stack, tmp_path / str(number), trial=number)
        again = Stack(specs)
        restore(again, tmp_path / "0", tmp_path / "1")
        for name in ("sorted_SN", "seen_S", "percentile_S"):
            assert torch.equal(getattr(again.clip, name), getattr(stack.clip, name))


class TestShape:
    def test_a_lane_has_its_seed_block_start_rate_and_clip_value_of_its_own(self) -> None:
        first = trial()
        changed = first.model_copy(update={"seed": 9, "block": 4})
        assert shape_of(changed) == shape_of(first)
        assert len({shape_of(trial(number=n)) for n in range(3)}) == 1
        start = {"init": {"orthogonal": 1.5}, "bias_init": {"forget_bias": 2.0}, "cell": "lstm"}
        assert shape_of(trial(model=start)) == shape_of(trial(model={"cell": "lstm"}))

    @pytest.mark.parametrize(
        "sections",
        [
            {"task": {"length": 16}}, {"task": {"loss": {"at": "every"}}}, {"model": {"hidden": 6}},
            {"model": {"depth": 2}}, {"model": {"cell": "gru"}}, {"model": {"activation": "relu"}},
            {"model": {"dropout": 0.1}}, {"model": {"zoneout_h": 0.1}}, {"model": {"between": "residual"}},
            {"model": {"truncate": {"k1": 2, "k2": 4}}}, {"optim": {"batch": 5}}, {"optim": {"kind": "sgd"}},
            {"optim": {"beta1": 0.8}}, {"optim": {"clip": {"value": 1.0}}}, {"optim": {"regulariser": "omega"}},
            {"optim": {"gradient_checkpointing": 3}}, {"budget": {"updates": 15}}, {"budget": {"evaluations": 3}},
        ],
        ids=str,
    )  # fmt: skip
    def test_all_else_makes_another_one(self, sections: dict[str, Any]) -> None:
        assert shape_of(trial(**sections)) != shape_of(trial())
        with pytest.raises(ValueError, match="one shape"):
            Stack([trial(), trial(**sections)])

    def test_options_of_a_clip_that_are_none_of_a_lane(self) -> None:
        one, other = (
            trial("zscore").model_copy(
                update={"optim": validated(TrialSpec, {"task": {"kind": "adding"}, "optim": {"clip": clip}}).optim}
            )
            for clip in ({"zscore": {"z": 2.0}}, {"zscore": {"z": 2.0, "warmup": 30}})
        )
        assert shape_of(one) != shape_of(other)
