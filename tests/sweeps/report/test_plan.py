"""What a plan says of a spec, and that its cost follows from what was timed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from simulated import SPACE

from rnnlab import compiled
from rnnlab.probes.schedule import probe_updates
from rnnlab.recorder import MemoryRecorder
from rnnlab.training.loop import Trainer
from rnnlab.training.stack import load_task
from rnnlab.written import validated
from sweeps.recipes import RECIPES
from sweeps.report.plan import plan_of, sampled, sentences, span
from sweeps.running import cost
from sweeps.running.cost import Timing, cost_of, shape_of, timing, wall_of
from sweeps.spec import SweepSpec


def spec_of(space: dict[str, Any] | None = None, search: dict[str, Any] | None = None, **changes: Any) -> SweepSpec:
    return validated(
        SweepSpec,
        {
            "name": "planned",
            "task": {"kind": "digits", "read": "rows"},
            "model": {"hidden": 8},
            "space": space or SPACE,
            "search": search or {"design": "screen", "blocks": 4, "nuisance": ["lr"]},
            "replicates": 2,
            "budget": {"updates": 60},
            **changes,
        },
    )


def test_a_screen() -> None:
    spec = spec_of()
    told = plan_of(spec)
    (stage,) = told.stages
    assert (stage.stage, stage.trials, stage.arms, stage.blocks) == ("screen", 24, 6, 4)
    assert (told.arms, told.all_arms, told.efficiency) == (6, 6, None)
    # two activations of a plain network, none of an LSTM, each with two inits
    assert told.levels == {
        "cell": {"rnn": 4, "lstm": 2}, "activation": {"tanh": 2, "relu": 2, "-": 2}, "init": {"default": 3, "orthogonal(1)": 3},
    }  # fmt: skip
    assert [arm.label for arm in told.listed if arm.baseline] == ["rnn tanh"]
    assert len(told.listed) == 6
    (lr,) = told.nuisance
    assert lr.drawn == [spec.stages.nuisance(spec.stages.slot(6 * block))["lr"] for block in range(4)]
    assert (told.units, told.unit) == (4, "block")
    assert told.power is not None
    assert told.power.units == 4
    words = " ".join(sentences(told))
    for part in ("24 trials of 2 replicates and 60 updates", "2,880 updates", "6 arms: every combination", "4 blocks"):
        assert part in words


def test_a_fraction() -> None:
    space = {
        "cell": ["rnn", "lstm", "gru"], "init": ["default", "orthogonal", "glorot"], "depth": [1, 2, 3],
        "clip": ["none", {"norm": 1.0}], "hidden": [8, 16, 24],
    }  # fmt: skip
    told = plan_of(spec_of(space, {"design": "screen", "blocks": 2, "size": 30}))
    assert (told.arms, told.all_arms) == (30, 162)
    assert told.efficiency is not None
    assert 0.9 < told.efficiency <= 1
    assert told.listed == []
    assert all(sum(counts.values()) == 30 for counts in told.levels.values())
    assert (told.units, told.unit) == (4, "seed")  # blocks draw nothing: each of 2 replicates is a unit
    assert "30 of 162 possible arms" in " ".join(sentences(told))


def test_a_sampler() -> None:
    told = plan_of(spec_of(search={"sampler": "tpe", "trials": 7, "pruner": "asha"}))
    assert [(stage.stage, stage.trials, stage.arms) for stage in told.stages] == [("search", 7, None)]
    assert told.power is None
    assert told.pruned
    assert "supports no claim" in " ".join(sentences(told))


def test_stages_of_a_screen_that_is_refined() -> None:
    search = {"design": "screen+refine", "blocks": 2, "nuisance": ["lr"], "trials": 5, "winners": 2, "confirm": 3}
    spec = spec_of(search=search)
    told = plan_of(spec)
    assert [(s.stage, s.trials, s.arms, s.blocks) for s in told.stages] == [
        ("screen", 12, 6, 2), ("refine", 15, 3, None), ("confirm", 9, 3, 3),
    ]  # fmt: skip
    weights = [weight for _, weight in sampled(spec)]
    assert sum(weights) == pytest.approx(36)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_have_plans(name: str) -> None:
    spec = RECIPES[name].load()()
    told = plan_of(spec)
    assert sum(stage.trials for stage in told.stages) == told.trials == spec.trials
    assert sentences(told)


def test_sample_of_a_large_sweep_stands_for_all() -> None:
    spec = spec_of(search={"design": "screen", "blocks": 1000, "nuisance": ["lr"]})
    found = sampled(spec)
    assert len(found) == 300
    assert sum(weight for _, weight in found) == pytest.approx(6000)
    by_cell = {
        cell: sum(weight for trial, weight in found if trial.model.cell.kind == cell) for cell in ("rnn", "lstm")
    }
    assert by_cell["rnn"] == pytest.approx(4000, rel=0.15)


def test_seconds_of_a_trial_add_up() -> None:
    (trial, _), *_ = sampled(spec_of())
    known = Timing(make=1, update=0.1, probe=2, evaluation=0.5, test=3, values=0, arrays=0, points=0)
    probes = len(probe_updates("log", 60))
    assert known.seconds(trial) == pytest.approx(1 + 60 * 0.1 + probes * 2 + 10 * 0.5 + 3)


def test_wall_time() -> None:
    around = cost.STARTING + cost.ENDING
    assert wall_of(100, 0, 10, 1, workers=4, cpus=4) == around + 100  # one trial uses one processor
    assert wall_of(100, 100, 1, 100, workers=2, cpus=2) == around + 100  # the recorder takes its share
    assert wall_of(10, 200, 1, 100, workers=16, cpus=16) == around + 200  # and is one process
    assert wall_of(100, 0, 10, 10, workers=2, cpus=8) == pytest.approx(around + 52.5)


def test_what_is_timed_is_what_training_does() -> None:
    (trial, _), *_ = sampled(spec_of())
    found = timing(trial)
    recorder = MemoryRecorder()
    short = trial.model_copy(update={"budget": trial.budget.model_copy(update={"updates": 1})})
    Trainer(short, recorder).advance()
    first = [curve for curve in recorder.curves_seen if curve.update == 0]
    assert found.values == sum(curve.values_SK.size for curve in first)
    assert found.arrays == len(first)
    assert found.points == 3 * load_task(trial).length  # anytime loss, total and anchor of 8 steps, not thinned
    assert min(found.update, found.probe, found.evaluation, found.test) > 0


def test_updates_that_a_regulariser_leaves_alone_are_timed_too() -> None:
    first, now_and_then = ({"before": before, "every": every, "sequences": 16} for before, every in ((20, 0), (0, 5)))
    spec = spec_of(
        {"regulariser": ["none", {"flossing": first}, {"flossing": now_and_then}]}, {"design": "screen", "blocks": 4},
        task={"kind": "adding", "length": 50}, budget={"updates": 100},
    )  # fmt: skip
    seconds = {one.shape.get("regulariser"): one.update_seconds for one in cost_of(sampled(spec)).shapes}
    plain, *mixed = (seconds.pop(name) for name in (None, "flossing(20, 0, 8, 1, 16)", "flossing(0, 5, 8, 1, 16)"))
    assert not seconds  # each is a shape of its own
    (trial, _), *_ = (pair for pair in sampled(spec) if pair[0].optim.regulariser.options.get("before") == 20)
    always = timing(trial.model_copy(update={"budget": trial.budget.model_copy(update={"updates": 20})})).update
    assert always > 10 * plain  # 8 tangents of 16 sequences and a QR at each of 50 steps
    for mean in mixed:  # 20 of 100 updates are such
        assert 0.1 * always < mean < 0.4 * always + plain


def test_a_network_that_dies_at_once_has_a_cost() -> None:
    spec = spec_of(
        {"cell": ["rnn"]}, {"design": "screen", "blocks": 5}, model={"hidden": 8, "activation": "relu"},
        optim={"kind": "sgd", "lr": 100.0},
    )  # fmt: skip
    (trial, _), *_ = sampled(spec)
    assert timing(trial).update > 0


def test_what_few_trials_have_makes_a_shape() -> None:
    spec = spec_of({"zoneout_h": [0.0, 0.1]}, {"design": "screen", "blocks": 5}, model={"truncate": {"k1": 4, "k2": 8}})
    shapes = [shape_of(trial) for trial, _ in sampled(spec)]
    assert {shape.get("zoneout_h") for shape in shapes} == {None, "0.1"}
    assert {shape["truncate"] for shape in shapes} == {"k1=4 k2=8"}
    assert not {"regulariser", "dropout"} & set().union(*shapes)


def test_cost_of_shapes() -> None:
    threads = torch.get_num_threads()
    spec = spec_of({"cell": ["rnn", "lstm"], "depth": [1, 2], "clip": ["none", {"norm": 1.0}], "lr": SPACE["lr"]})
    told = cost_of(sampled(spec), workers=3)
    assert torch.get_num_threads() == threads
    assert told.workers == 3
    # clips and learning rates are no shapes of their own: 8 arms in 4 blocks are 4 shapes of 8 trials
    assert [shape.trials for shape in told.shapes] == [8.0] * 4
    assert all(shape.measured for shape in told.shapes)
    assert told.cpu_seconds == pytest.approx(sum(shape.trials * shape.trial_seconds for shape in told.shapes))
    assert {(s.shape["cell"], s.shape["depth"]) for s in told.shapes} == {
        (c, d) for c in ("rnn", "lstm") for d in (1, 2)
    }


def test_out_of_patience_the_mean_stands_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "PATIENCE", 0.0)
    spec = spec_of({"cell": ["rnn", "lstm"], "depth": [1, 2], "lr": SPACE["lr"]})
    told = cost_of(sampled(spec))
    assert [shape.measured for shape in told.shapes].count(True) == 1
    assert len({shape.trial_seconds for shape in told.shapes}) == 1
    words = " ".join(sentences(plan_of(spec).model_copy(update={"cost": told})))
    assert "1 shape of 4, whose mean stands for the others" in words


@pytest.mark.skipif(compiled.library(torch.float32) is None, reason="no C compiler here (cc)")
def test_a_plan_says_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of({"cell": ["rnn"], "lr": SPACE["lr"]})
    said = []
    for compiler in ("", "cc"):
        monkeypatch.setenv(compiled.COMPILER, compiler)
        compiled.library.cache_clear()
        told = cost_of(sampled(spec))
        words = " ".join(sentences(plan_of(spec).model_copy(update={"cost": told})))
        said.append((told.compiled, "no C compiler" in words))
    assert said == [(False, True), (True, False)]
    compiled.library.cache_clear()


def test_shapes_differ_in_what_costs() -> None:
    spec = spec_of(
        {"cell": ["rnn", "lstm"], "task.read": ["rows", "pixels"], "lr": SPACE["lr"]}, task={"kind": "digits"}
    )
    assert len({tuple(shape_of(trial).items()) for trial, _ in sampled(spec)}) == 4


def test_spans_are_readable() -> None:
    assert [span(s) for s in (4.2, 89, 100, 3600, 7200, 300_000)] == [
        "4 s",
        "89 s",
        "2 min",
        "60 min",
        "2.0 h",
        "3.5 days",
    ]


def test_trials_that_share_a_worker_and_a_gpu() -> None:
    told = plan_of(spec_of(resources={"gpus": 1, "stack": 8}))
    assert "Up to 8 trials of one shape share a worker (resources.stack)." in sentences(told)
    timed = told.model_copy(update={"cost": cost_of(sampled(spec_of()))})
    assert any("these times are this machine's processor's" in one for one in sentences(timed))
    alone = " ".join(sentences(plan_of(spec_of()).model_copy(update={"cost": timed.cost})))
    assert "resources." not in alone
