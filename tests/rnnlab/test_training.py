"""Training a trial: lanes, divergence, schedules, scores, and what the recorder hears."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnlab import train
from rnnlab.cells.base import loop
from rnnlab.choices import choose
from rnnlab.clipping.none import NoClip
from rnnlab.probes.schedule import probe_updates
from rnnlab.recorder import SCALARS, FanOutRecorder, MemoryRecorder, NullRecorder
from rnnlab.spec import ExplodedSpec, TrialSpec
from rnnlab.tasks import TASKS
from rnnlab.tasks.base import Batch, loss_by_timestep
from rnnlab.training.explosion import ExplosionWatch
from rnnlab.training.loop import Trainer
from rnnlab.training.optimiser import SGD
from rnnlab.training.outcome import Outcome, ReplicateResult, TrialResult, score_of
from rnnlab.training.scale import HIGHEST, LOWEST
from rnnlab.training.seeding import generator_for, replicate_seed, seed_of
from rnnlab.training.step import evaluate, update


def spec_of(**changes: Any) -> TrialSpec:
    """Three small replicates on adding; `changes` replace whole sections."""
    sections = {
        "task": {"kind": "adding", "length": 20},
        "model": {"hidden": 8},
        "optim": {"kind": "sgd", "lr": 0.05, "batch": 6},
        "budget": {"updates": 12, "evaluations": 3},
        "replicates": 3,
    }
    return TrialSpec.model_validate(sections | changes)


WILD: dict[str, Any] = {
    "task": {"kind": "adding", "length": 40},
    "model": {"activation": "relu", "init": {"orthogonal": 1.2}, "hidden": 16},
    "optim": {"kind": "sgd", "lr": 0.02, "momentum": 0.9, "batch": 8},
    "budget": {"updates": 20, "evaluations": 4},
    "replicates": 4,
}
"""A trial of which some replicates diverge and some do not."""


def run(spec: TrialSpec) -> tuple[Trainer, MemoryRecorder]:
    recorder = MemoryRecorder()
    trainer = Trainer(spec, recorder)
    while not trainer.advance().done:
        pass
    return trainer, recorder


def spoil(lane: int, at: int, value: float = math.inf) -> Callable[[Trainer], Callable[[], bool]]:
    """A `stop` that never stops, but spoils one number of a lane before update `at` (from 0)."""

    def of(trainer: Trainer) -> Callable[[], bool]:
        def stop() -> bool:
            if trainer.done == at:
                trainer.network.named()["weight_hh_l0"].data[lane, 0, 0] = value
            return False

        return stop

    return of


def run_spoilt(spec: TrialSpec, spoiling: Callable[[Trainer], Callable[[], bool]]) -> Any:
    recorder = MemoryRecorder()
    trainer = Trainer(spec, recorder)
    trainer.stop = spoiling(trainer)
    while not trainer.advance().done:
        pass
    return trainer, recorder


CELLS = [{"cell": "rnn"}, {"cell": "lstm", "depth": 2}, {"cell": "gru"}]


class TestLanes:
    @pytest.mark.parametrize("model", CELLS, ids=str)
    @pytest.mark.parametrize("optim", [{"kind": "sgd", "lr": 0.05}, {"kind": "rmsprop", "clip": {"norm": 0.1}}])
    def test_a_replicate_alone_gives_the_numbers_it_has_beside_others(
        self, model: dict[str, Any], optim: dict[str, Any]
    ) -> None:
        spec = spec_of(model={"hidden": 8, **model}, optim={**optim, "batch": 6})
        whole, told = run(spec)
        for lane in range(spec.replicates):
            recorder = MemoryRecorder()
            alone = Trainer(spec.model_copy(update={"replicates": 1}), recorder)
            if lane:  # a trial of one has replicate 0: give it another's numbers and stream
                start = Trainer(spec)
                alone.network.theta.data.copy_(start.network.theta.data[lane : lane + 1])
                alone.streams = [start.streams[lane]]
            while not alone.advance().done:
                pass
            # float32 products over lanes may be summed in another order: 6e-8, carried over 12 updates
            torch.testing.assert_close(alone.network.theta[0], whole.network.theta[lane], rtol=1e-5, atol=1e-6)
            mine, other = alone.result.replicates[0], whole.result.replicates[lane]
            assert (mine.outcome, mine.verdict, mine.update) == (other.outcome, other.verdict, other.update)
            assert mine.score == pytest.approx(other.score, abs=1e-5)
            assert mine.test_score == pytest.approx(other.test_score, abs=1e-5)
            for one, all_ in zip(recorder.curves_seen, told.curves_seen, strict=True):
                assert one.name == all_.name
                np.testing.assert_allclose(one.values_SK[0], all_.values_SK[lane], rtol=2e-4, atol=1e-12)

    def test_lane_0_is_the_same_whatever_the_number_of_replicates(self) -> None:
        one, three = (run(spec_of(replicates=n))[0] for n in (1, 3))
        # as above
        torch.testing.assert_close(one.network.theta[0], three.network.theta[0], rtol=1e-5, atol=1e-6)
        assert one.result.replicates[0].seed == three.result.replicates[0].seed

    def test_lanes_begin_and_learn_differently(self) -> None:
        trainer, recorder = run(spec_of())
        losses = np.array([values["train_loss"] for _, values in recorder.scalars_seen])
        assert len(np.unique(losses)) == losses.size
        assert not torch.equal(trainer.network.theta[0], trainer.network.theta[1])

    def test_a_trial_again_is_the_same_to_the_bit(self) -> None:
        (first, told), (again, retold) = run(spec_of()), run(spec_of())
        assert torch.equal(first.network.theta, again.network.theta)
        for one, other in zip(told.curves_seen, retold.curves_seen, strict=True):
            assert np.array_equal(one.values_SK, other.values_SK)


class TestSeeds:
    def test_arms_of_a_block_see_the_same_data(self) -> None:
        arms = [spec_of(model={"cell": cell, "hidden": size}) for cell, size in (("rnn", 4), ("gru", 8))]
        one, other = (Trainer(arm) for arm in arms)
        for left, right in zip(one.streams, other.streams, strict=True):
            assert torch.equal(one.task.draw(left, 5).x_TNI, other.task.draw(right, 5).x_TNI)

    @pytest.mark.parametrize("change", [{"block": 1}, {"seed": 1}])
    def test_blocks_and_sweeps_differ(self, change: dict[str, int]) -> None:
        one, other = Trainer(spec_of()), Trainer(spec_of(**change))
        assert not torch.equal(one.network.theta, other.network.theta)
        drawn = [t.task.draw(t.streams[0], 5).x_TNI for t in (one, other)]
        assert not torch.equal(*drawn)

    def test_streams_of_replicates_differ(self) -> None:
        trainer = Trainer(spec_of())
        drawn = [trainer.task.draw(stream, 5).x_TNI for stream in trainer.streams]
        assert not torch.equal(drawn[0], drawn[1])

    def test_a_seed_is_a_hash_of_every_part(self) -> None:
        # from the definition, so that an accidental change cannot pass: stored sweeps rely on it
        assert seed_of("a", 1) != seed_of("a", "1")
        assert seed_of("a", "b") != seed_of("ab")
        assert 0 <= seed_of("a") < 2**63
        seeds = {replicate_seed(s, b, r) for s in range(3) for b in range(3) for r in range(3)}
        assert len(seeds) == 27
        assert torch.equal(torch.rand(3, generator=generator_for("a")), torch.rand(3, generator=generator_for("a")))


class TestUpdate:
    @pytest.mark.parametrize("loss", [None, {"at": "every"}, {"at": [3, -1], "combine": "sum"}], ids=str)
    @pytest.mark.parametrize("model", CELLS, ids=str)
    def test_one_update_is_that_of_an_autograd_loop(self, model: dict[str, Any], loss: dict[str, Any] | None) -> None:
        task = {"kind": "adding", "length": 20} | ({"loss": loss} if loss else {})
        trainer = Trainer(spec_of(task=task, model={"hidden": 8, **model}))
        network = trainer.network
        batches = [trainer.task.draw(stream, 6) for stream in trainer.streams]
        before = network.theta.detach().clone()
        # a learning rate of 1 leaves the gradient in the difference
        optimiser = SGD(network.theta.data, torch.ones(3))
        alive_S = torch.ones(3, dtype=torch.bool)
        step = update(network, trainer.task, optimiser, NoClip(), batches, alive_S)
        theta = before.double().requires_grad_()
        x = torch.stack([b.x_TNI for b in batches], 1).double()
        y = torch.stack([b.y_TN for b in batches], 1).double()
        for weights in network.layers(theta):
            x = loop(network.cell, weights, x)["h"]
        error_TS = (network.read(x, theta) - y).square().mean((2, 3))
        loss_S = trainer.task.combine(error_TS)
        (expected,) = torch.autograd.grad(loss_S.sum(), [theta])
        # float32 against float64: 6e-8 a rounding, some hundred of them in a gradient of order 1
        torch.testing.assert_close((before - network.theta).double(), expected, rtol=1e-4, atol=2e-6)
        torch.testing.assert_close(step.loss_S.double(), loss_S.detach(), rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(step.norm_S, expected.norm(dim=1), rtol=1e-5, atol=0)
        assert torch.equal(step.norm_S, step.applied_S)
        assert not any(failed.any() for failed in step.failed.values())

    @pytest.mark.parametrize(
        ("name", "value", "cause"),
        [
            # tanh of inf is 1: the state stays finite, its gradient does not
            ("weight_hh_l0", math.inf, "gradient"),
            ("weight_ih_l0", math.nan, "state"),
            ("readout.bias", math.inf, "loss"),
            ("readout.weight", 1e25, "loss"),
            # the loss is 1e36, and float32 ends at 3e38
            ("readout.weight", 1e18, None),
        ],
    )
    def test_what_fails_is_named_and_left(self, name: str, value: float, cause: str | None) -> None:
        trainer = Trainer(spec_of())
        network = trainer.network
        network.named()[name].data[1].view(-1)[0] = value
        before = network.theta.detach().clone()
        batches = [trainer.task.draw(stream, 6) for stream in trainer.streams]
        step = update(network, trainer.task, trainer.optimiser, trainer.clip, batches, torch.ones(3, dtype=torch.bool))
        failed = {cause: lanes.tolist() for cause, lanes in step.failed.items() if lanes.any()}
        assert failed == ({cause: [False, True, False]} if cause else {})
        moved_S = (network.theta != before).any(1) & ~before.isnan().any(1)
        assert moved_S.tolist() == [True, cause is None, True]
        assert step.norm_S.isfinite().all()

    def test_a_gradient_that_overflows_is_named(self) -> None:
        # a finite state and loss, but the gradient through 20 steps passes float32: h stays 0, W_hh is 1e5
        trainer = Trainer(spec_of(model={"hidden": 8, "activation": "linear", "init": "identity"}))
        named = trainer.network.named()
        for part in ("weight_hh_l0", "weight_ih_l0", "readout.weight"):
            value = torch.eye(8) * 1e5 if part == "weight_hh_l0" else torch.zeros_like(named[part][1])
            named[part].data[1] = value + (1.0 if part == "readout.weight" else 0.0)
        batches = [trainer.task.draw(stream, 6) for stream in trainer.streams]
        step = update(
            trainer.network, trainer.task, trainer.optimiser, NoClip(), batches, torch.ones(3, dtype=torch.bool)
        )
        assert step.failed["gradient"].tolist() == [False, True, False]
        assert not step.failed["state"].any()
        assert not step.failed["loss"].any()

    def test_a_frozen_lane_has_no_norm(self) -> None:
        trainer = Trainer(spec_of())
        batches = [trainer.task.draw(stream, 6) for stream in trainer.streams]
        before = trainer.network.theta.detach().clone()
        alive_S = torch.tensor([True, False, True])
        step = update(trainer.network, trainer.task, trainer.optimiser, trainer.clip, batches, alive_S)
        assert step.norm_S[1] == 0
        assert torch.equal(trainer.network.theta[1], before[1])
        assert (trainer.network.theta[[0, 2]] != before[[0, 2]]).any(1).all()


class TestDivergence:
    def test_some_diverge_and_the_others_go_on(self) -> None:
        trainer, recorder = run(spec_of(**WILD))
        by_outcome = {
            outcome: [r for r in trainer.result.replicates if r.outcome is outcome]
            for outcome in (Outcome.DIVERGED, Outcome.FINISHED)
        }
        assert by_outcome[Outcome.DIVERGED]
        assert by_outcome[Outcome.FINISHED]
        assert trainer.result.outcome is Outcome.FINISHED
        for dead in by_outcome[Outcome.DIVERGED]:
            assert dead.cause in ("state", "loss", "gradient")
            assert 0 < dead.update <= 20
            assert dead.exploded
            assert dead.exploded_at is not None
            assert dead.exploded_at <= dead.update
            assert (dead.score, dead.test_score, dead.solved, dead.accuracy) == (2.0, 2.0, False, None)
        for live in by_outcome[Outcome.FINISHED]:
            assert (live.cause, live.update) == (None, 20)
        check_records(trainer, recorder)

    @pytest.mark.parametrize("model", [*CELLS, {"activation": "relu"}], ids=str)
    @pytest.mark.parametrize("at", [0, 5, 11])
    def test_a_spoilt_lane_is_frozen_and_changes_no_other(self, model: dict[str, Any], at: int) -> None:
        spec = spec_of(model={"hidden": 8, **model}, optim={"kind": "adam", "clip": {"norm": 0.5}, "batch": 6})
        clean, told = run(spec)
        spoilt, retold = run_spoilt(spec, spoil(1, at))
        replicate = spoilt.result.replicates[1]
        assert (replicate.outcome, replicate.update) == (Outcome.DIVERGED, at + 1)
        # gates and tanh may bound a state that relu lets through, but not its gradient
        assert replicate.cause in (("state",) if "relu" in model.values() else ("state", "gradient"))
        assert (replicate.exploded, replicate.exploded_at) == (True, at + 1)
        # to the bit: the same shapes, hence the same sums
        assert torch.equal(clean.network.theta[[0, 2]], spoilt.network.theta[[0, 2]])
        for lane in (0, 2):
            mine, other = (t.result.replicates[lane].as_dict() for t in (clean, spoilt))
            assert mine == other
        again = {(c.update, c.name): c for c in retold.curves_seen if not np.isnan(c.values_SK[0]).all()}
        assert len(again) == len(told.curves_seen)
        for curve in told.curves_seen:
            other = again[curve.update, curve.name].values_SK
            assert np.array_equal(curve.values_SK[[0, 2]], other[[0, 2]])
        for (at_one, values), (at_other, others) in zip(told.scalars_seen, retold.scalars_seen, strict=True):
            assert at_one == at_other
            for name in values:
                assert np.array_equal(values[name][[0, 2]], others[name][[0, 2]])
        check_records(spoilt, retold)

    def test_the_frozen_lane_keeps_its_numbers(self) -> None:
        trainer = Trainer(spec_of(optim={"kind": "sgd", "lr": 0.05, "momentum": 0.9}))
        kept = []

        def stop() -> bool:
            if trainer.done == 5:
                trainer.network.named()["weight_hh_l0"].data[1, 0, 0] = math.inf
                kept.append(trainer.network.theta.detach()[1].clone())
            return False

        trainer.stop = stop
        while not trainer.advance().done:
            pass
        assert torch.equal(trainer.network.theta[1], kept[0])

    def test_a_dying_lane_is_probed_once_more(self) -> None:
        # update 8 is on no schedule; the last that lane 1 shows is its curve there
        trainer, recorder = run_spoilt(spec_of(), spoil(1, 7))
        assert 8 not in trainer.probe_at
        last = [c for c in recorder.curves_seen if c.update == 8]
        assert {c.kind for c in last} == {"anytime_loss", "total", "inputs", "anchor"}
        for curve in last:
            assert np.isfinite(curve.values_SK[1]).all()
            assert np.isnan(curve.values_SK[[0, 2]]).all()
        # W_hh is infinite, and so is what its gradient grows by
        assert trainer.result.replicates[1].verdict == "exploding"
        check_records(trainer, recorder)

    def test_clip_statistics_stop_with_the_lane(self) -> None:
        spec = spec_of(optim={"kind": "sgd", "lr": 0.01, "clip": {"norm": 1e-3}, "batch": 6})
        replicate = run_spoilt(spec, spoil(1, 3))[0].result.replicates[1]
        # three updates clipped to nearly nothing, the fourth had no gradient to clip
        assert replicate.clip_rate == pytest.approx(3 / 4)
        assert 1 / 4 < replicate.clip_coefficient < 1 / 4 + 0.01

    def test_a_loss_that_is_infinite_on_validation_alone_diverges(self) -> None:
        # the last update throws the lane away: its training loss was finite, its validation loss is not
        spec = spec_of(budget={"updates": 4, "evaluations": 2}, optim={"kind": "sgd", "lr": 0.05})
        trainer = Trainer(spec, recorder := MemoryRecorder())
        trainer.optimiser.lr_S1[1] = 1e30
        while not trainer.advance().done:
            pass
        first = trainer.result.replicates[1]
        assert first.outcome is Outcome.DIVERGED
        assert first.update <= 2
        check_records(trainer, recorder)
        trainer = Trainer(spec, recorder := MemoryRecorder())

        def stop() -> bool:
            if trainer.done == 3:
                trainer.optimiser.lr_S1[1] = 1e30
            return False

        trainer.stop = stop
        while not trainer.advance().done:
            pass
        dead = trainer.result.replicates[1]
        assert (dead.outcome, dead.cause, dead.update) == (Outcome.DIVERGED, "loss", 4)
        assert (dead.exploded, dead.score, dead.test_score) == (True, HIGHEST, HIGHEST)
        check_records(trainer, recorder)

    @pytest.mark.parametrize("updates", [1, 12])
    def test_when_all_diverge_the_trial_ends(self, updates: int) -> None:
        spec = spec_of(budget={"updates": updates, "evaluations": 1})
        trainer = Trainer(spec, recorder := MemoryRecorder())
        trainer.network.theta.data[:, 0] = math.nan
        result = trainer.advance()
        assert result.done
        assert result.outcome is Outcome.DIVERGED
        assert (result.updates, result.score, result.test_score, result.exploded) == (1, 2.0, 2.0, 3)
        assert result.healthy == 0
        check_records(trainer, recorder)

    def test_a_state_that_only_float64_can_hold_is_recorded_as_a_number(self) -> None:
        # a finite lane whose curve overflows float64 within 40 lags
        spec = spec_of(
            task={"kind": "adding", "length": 40},
            model={"activation": "linear", "hidden": 8, "init": {"identity": 10.0}},
        )
        trainer = Trainer(spec, recorder := MemoryRecorder())
        trainer.network.named()["weight_hh_l0"].data[1] *= 1e8
        trainer.advance()
        first = [c for c in recorder.curves_seen if c.update == 0 and c.kind == "anchor"]
        assert first[0].values_SK[1, -1] == np.finfo(np.float64).max
        assert first[0].log10_SK[1, -1] == 320
        assert trainer.result.replicates[1].verdict_init == "exploding"
        check_records(trainer, recorder)


def check_records(trainer: Trainer, recorder: MemoryRecorder) -> None:
    """Nothing that was told of a live lane is non-finite, nothing of a dead one is anything but NaN."""
    died = {r.number: r.update if r.outcome is Outcome.DIVERGED else math.inf for r in trainer.result.replicates}
    for at, values in recorder.scalars_seen:
        assert set(values) <= set(SCALARS)
        for name, value_S in values.items():
            assert value_S.shape == (len(died),)
            assert value_S.dtype.kind == "f", name
            for lane, end in died.items():
                assert np.isfinite(value_S[lane]) == (at < end), (name, at, lane)
    dying = {update for update in died.values() if update not in trainer.probe_at}
    for curve in recorder.curves_seen:
        for lane, end in died.items():
            row = curve.values_SK[lane]
            # a probe that is not on the schedule shows the dying lanes alone
            shown = curve.update == end if curve.update in dying else curve.update <= end
            if shown:
                assert np.isfinite(row).all(), (curve.name, curve.update, lane)
            else:
                assert np.isnan(row).all(), (curve.name, curve.update, lane)
    assert np.isfinite(trainer.result.score)
    for replicate in trainer.result.replicates:
        numbers = [value for value in replicate.as_dict().values() if isinstance(value, float)]
        assert np.isfinite(numbers).all()


class TestScore:
    @pytest.mark.parametrize(
        ("loss", "expected"),
        [(0.1, -1.0), (1.0, 0.0), (1e-9, -4.0), (0.0, -4.0), (1e9, 2.0), (math.inf, 2.0), (math.nan, 2.0)],
    )
    def test_rules(self, loss: float, expected: float) -> None:
        assert score_of(loss, 1.0) == pytest.approx(expected, abs=1e-12)

    def test_it_is_relative_to_the_baseline(self) -> None:
        assert score_of(1 / 60, 1 / 6) == pytest.approx(-1, abs=1e-12)
        assert (LOWEST, HIGHEST) == (-4.0, 2.0)

    def test_a_trials_is_the_mean(self) -> None:
        rows = [ReplicateResult(i, i, score=s, test_score=s - 1) for i, s in enumerate((-2.0, 2.0, 0.3))]
        result = TrialResult(rows, 5, 1.0, 1.0)
        assert result.score == pytest.approx(0.1)
        assert result.test_score == pytest.approx(-0.9)
        assert result.score_sd == pytest.approx(float(np.std([-2.0, 2.0, 0.3], ddof=1)))
        rows[1].test_score = None
        assert result.test_score is None

    def test_healthy_counts_those_that_did_not_explode(self) -> None:
        rows = [ReplicateResult(i, i, verdict="healthy", exploded=i == 0) for i in range(3)]
        rows[2].verdict = "vanishing"
        result = TrialResult(rows, 5, 1.0, 1.0)
        assert (result.healthy, result.exploded, result.verdict) == (1, 1, "healthy")

    def test_mixtures_of_outcomes(self) -> None:
        rows = [ReplicateResult(i, i) for i in range(2)]
        result = TrialResult(rows, 5, 1.0, 1.0)
        assert result.outcome is Outcome.RUNNING
        rows[0].outcome = Outcome.DIVERGED
        result.end(Outcome.PRUNED)
        assert [r.outcome for r in rows] == [Outcome.DIVERGED, Outcome.PRUNED]

    def test_of_a_trial_is_that_of_its_validation_loss(self) -> None:
        trainer, recorder = run(spec_of())
        seen = evaluate(trainer.network, trainer.task, trainer.task.validation)
        for lane, replicate in enumerate(trainer.result.replicates):
            expected = math.log10(float(seen.loss_S[lane]) / (1 / 6))
            assert replicate.score == pytest.approx(expected, abs=1e-9)
        at, values = recorder.scalars_seen[-1]
        assert at == 12
        np.testing.assert_allclose(values["validation_loss"], seen.loss_S, rtol=1e-12)

    def test_the_test_split_is_looked_at_once_at_the_end(self) -> None:
        trainer = Trainer(spec_of())
        looked = []
        make = trainer.task.make_split

        def watched(split: Any) -> Batch:
            looked.append((split, trainer.done))
            return make(split)

        trainer.task.make_split = watched  # type: ignore[method-assign]
        while not trainer.advance().done:
            assert all(r.test_score is None for r in trainer.result.replicates)
            assert trainer.result.test_score is None
        assert [split for split, _ in looked if split == "test"] == ["test"]
        assert ("test", 12) in looked
        assert "test" not in {split for split, done in looked if done < 12}
        seen = evaluate(trainer.network, trainer.task, trainer.task.test)
        for lane, replicate in enumerate(trainer.result.replicates):
            assert replicate.test_score == score_of(float(seen.loss_S[lane]), 1 / 6)
            assert replicate.test_score != replicate.score

    def test_evaluation_is_over_all_sequences(self) -> None:
        spec = spec_of(task={"kind": "digits", "read": "rows"})
        trainer = Trainer(spec)
        batch = trainer.task.validation  # 300 of them: more than one chunk, and no multiple of one
        seen = evaluate(trainer.network, trainer.task, batch)
        out = trainer.network(batch.x_TNI[:, None])[-1]
        expected = torch.stack([torch.nn.functional.cross_entropy(lane, batch.y_TN[-1]) for lane in out])
        # float32 logits
        torch.testing.assert_close(seen.loss_S, expected.double().detach(), rtol=1e-6, atol=0)
        right = (out.argmax(-1) == batch.y_TN[-1]).double().mean(1)
        assert seen.accuracy_S is not None
        torch.testing.assert_close(seen.accuracy_S, right, rtol=1e-12, atol=0)


class TestSchedule:
    @pytest.mark.parametrize(
        ("updates", "expected"),
        [
            (1, [0, 1]),
            (2, [0, 1, 2]),
            (10, [0, 1, 2, 5, 10]),
            (60, [0, 1, 2, 3, 5, 6, 10, 20, 50, 60]),  # 2% and 5% of 60 are 1.2 and 3 updates
            (300, [0, 1, 2, 5, 6, 10, 15, 20, 30, 50, 100, 200, 300]),
            (2000, [0, 1, 2, 5, 10, 20, 40, 50, 100, 200, 500, 1000, 2000]),
        ],
    )
    def test_log(self, updates: int, expected: list[int]) -> None:
        assert probe_updates("log", updates) == expected

    def test_given_ones_and_the_last(self) -> None:
        assert probe_updates([3, 3, 700, 0], 20) == [0, 3, 20]
        assert probe_updates([], 20) == [20]

    def test_probes_come_when_they_are_due(self) -> None:
        _, recorder = run(spec_of())
        assert sorted({curve.update for curve in recorder.curves_seen}) == [0, 1, 2, 5, 10, 12]
        names = [curve.name for curve in recorder.curves_seen if curve.update == 5]
        assert names == ["anytime_loss", "total_h_l0", "inputs", "anchor_h_l0"]

    def test_what_is_measured_can_be_chosen(self) -> None:
        _, recorder = run(spec_of(probe={"measure": ["anchor"], "schedule": [4]}))
        assert [(curve.update, curve.name) for curve in recorder.curves_seen] == [
            (0, "anchor_h_l0"), (4, "anchor_h_l0"), (12, "anchor_h_l0"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("updates", "evaluations", "expected"),
        [(12, 3, [4, 8, 12]), (10, 4, [3, 5, 8, 10]), (3, 10, [1, 2, 3]), (7, 1, [7])],
    )
    def test_evaluations_are_evenly_spaced(self, updates: int, evaluations: int, expected: list[int]) -> None:
        spec = spec_of(budget={"updates": updates, "evaluations": evaluations}, replicates=1)
        trainer = Trainer(spec, recorder := MemoryRecorder())
        stops = []
        while True:
            result = trainer.advance()
            stops.append(result.updates)
            if result.done:
                break
        assert stops == expected
        assert [at for at, values in recorder.scalars_seen if "validation_loss" in values] == expected

    def test_probes_do_not_change_training(self) -> None:
        often, seldom = (run(spec_of(probe={"schedule": s}))[0] for s in (list(range(12)), []))
        assert torch.equal(often.network.theta, seldom.network.theta)

    def test_verdicts_follow_the_probes(self) -> None:
        trainer, recorder = run(spec_of(task={"kind": "adding", "length": 60}))
        anchors = [curve for curve in recorder.curves_seen if curve.kind == "anchor"]
        for lane, replicate in enumerate(trainer.result.replicates):
            verdicts = [curve.verdict(59, lane) for curve in anchors]
            assert replicate.verdict_init == verdicts[0].name == "vanishing"
            assert replicate.decades_init == verdicts[0].decades
            assert (replicate.verdict, replicate.decades) == (verdicts[-1].name, verdicts[-1].decades)
            share = np.mean([verdict.name == "healthy" for verdict in verdicts])
            assert replicate.healthy_share == share
        recorded = [values["decades"] for _, values in recorder.scalars_seen if "decades" in values]
        np.testing.assert_array_equal(recorded[-1], [r.decades for r in trainer.result.replicates])

    def test_the_worst_layer_is_the_verdict_and_an_lstm_is_read_at_c(self) -> None:
        model = {"cell": "lstm", "hidden": 8, "depth": 2, "bias_init": {"chrono": 60}}
        trainer, recorder = run(spec_of(task={"kind": "adding", "length": 60}, model=model))
        last = {c.name: c for c in recorder.curves_seen if c.update == 12 and c.kind == "anchor"}
        assert set(last) == {"anchor_h_l0", "anchor_c_l0", "anchor_h_l1", "anchor_c_l1"}
        for lane, replicate in enumerate(trainer.result.replicates):
            decades = [last[f"anchor_c_l{layer}"].verdict(59, lane).decades for layer in (0, 1)]
            assert replicate.decades in decades


class TestStopping:
    def test_a_stop_interrupts(self) -> None:
        recorder = MemoryRecorder()
        trainer = Trainer(spec_of(), recorder)
        trainer.stop = lambda: trainer.done >= 6
        result = trainer.advance()
        assert not result.done
        assert result.updates == 4
        result = trainer.advance()
        assert (result.done, result.updates, result.outcome) == (True, 6, Outcome.INTERRUPTED)
        assert all(r.test_score is None for r in result.replicates)
        assert trainer.advance().updates == 6

    def test_at_once(self) -> None:
        result = train(spec_of(), stop=lambda: True)
        assert (result.updates, result.outcome) == (0, Outcome.INTERRUPTED)
        assert all(r.verdict_init != "" and r.update == 0 for r in result.replicates)

    def test_a_diverged_replicate_stays_diverged(self) -> None:
        trainer = Trainer(spec_of())
        trainer.network.theta.data[1, 0] = math.nan
        trainer.stop = lambda: trainer.done >= 2
        while not trainer.advance().done:
            pass
        outcomes = [r.outcome.value for r in trainer.result.replicates]
        assert outcomes == ["interrupted", "diverged", "interrupted"]

    def test_recorders_can_be_fanned_out(self) -> None:
        one, two = MemoryRecorder(), MemoryRecorder()
        train(spec_of(), FanOutRecorder(one, NullRecorder(), two))
        assert one.curves_seen == two.curves_seen
        assert one.scalars_seen == two.scalars_seen
        assert one.curves_seen


class TestExplosions:
    def watch(self, lanes: int = 1, **given: Any) -> ExplosionWatch:
        return ExplosionWatch(lanes, ExplodedSpec.model_validate(given))

    def see(self, watch: ExplosionWatch, norms: list[float], applied: list[float] | None = None) -> list[bool]:
        seen = []
        for norm, after in zip(norms, applied or norms, strict=True):
            pair = (torch.tensor([value], dtype=torch.float64) for value in (norm, after))
            seen.append(bool(watch.see(*pair)[0]))
        return seen

    def test_ten_norms_must_have_been_seen(self) -> None:
        assert not any(self.see(self.watch(), [1.0] * 9 + [1e9]))
        assert self.see(self.watch(), [1.0] * 10 + [1e9])[-1]
        assert self.see(self.watch(least=2), [1.0] * 2 + [1e9])[-1]

    def test_the_ratio(self) -> None:
        assert not self.see(self.watch(), [1.0] * 10 + [100.0])[-1]
        assert self.see(self.watch(), [1.0] * 10 + [100.1])[-1]
        assert self.see(self.watch(ratio=5), [1.0] * 10 + [5.1])[-1]

    def test_the_median_is_over_the_last_fifty(self) -> None:
        # 100 norms of 1 are forgotten after 50 of 10: then 900 is below 100 times the median
        for count, exploded in ((20, True), (50, False)):
            assert self.see(self.watch(), [1.0] * 100 + [10.0] * count + [900.0])[-1] is exploded
        assert not self.see(self.watch(window=10), [1.0] * 100 + [10.0] * 10 + [900.0])[-1]

    def test_a_clipped_one_is_a_spike_and_no_explosion(self) -> None:
        watch = self.watch()
        assert not any(self.see(watch, [5.0] * 10 + [1e6, 5.0, 1e6], [1.0] * 13))
        assert watch.spikes_S.tolist() == [2]

    def test_the_median_is_of_norms_before_clipping(self) -> None:
        # applied ones of .001 would make a median that 1 passes a thousandfold
        assert not any(self.see(self.watch(), [1.0] * 20, [0.001] * 10 + [1.0] * 10))

    def test_lanes_are_watched_apart(self) -> None:
        watch = self.watch(3)
        for _ in range(10):
            watch.see(*[torch.tensor([1.0, 1e6, 0.0]).double()] * 2)
        last = torch.tensor([1e4, 1e4, 0.0]).double()
        # the third is frozen: its norms are 0, and 0 explodes nothing
        assert watch.see(last, last).tolist() == [True, False, False]
        assert watch.spikes_S.tolist() == [1, 0, 0]

    def test_a_trial_tells_them(self) -> None:
        def kick(clip: Any) -> ReplicateResult:
            spec = spec_of(
                budget={"updates": 14, "evaluations": 1},
                optim={"kind": "sgd", "lr": 1e-4, "clip": clip},
            )
            trainer = Trainer(spec)

            def stop() -> bool:
                if trainer.done == 12:
                    trainer.network.named()["readout.bias"].data[1] = 1e3
                return False

            trainer.stop = stop
            while not trainer.advance().done:
                pass
            assert [r.exploded for r in trainer.result.replicates][::2] == [False, False]
            return trainer.result.replicates[1]

        free, clipped = kick("none"), kick({"norm": 1.0})
        assert (free.exploded, free.exploded_at, free.outcome) == (True, 13, Outcome.FINISHED)
        assert free.score == HIGHEST  # finite: it keeps the score that its loss gives
        assert not clipped.exploded
        assert free.spikes == clipped.spikes == 2
        assert clipped.clip_rate > 0
        assert clipped.clip_coefficient < 1 == free.clip_coefficient


class TestLossByTimestep:
    @pytest.mark.parametrize(
        ("kind", "name"),
        [("adding", "anytime_loss"), ("copying", "loss"), ("temporal_order", "anytime_loss")],
    )
    def test_the_curve_is_named_after_where_the_loss_looks(self, kind: str, name: str) -> None:
        _, recorder = run(spec_of(task={"kind": kind, "length": 20}))
        assert {c.name for c in recorder.curves_seen if "loss" in c.name} == {name}

    def test_a_loss_put_at_every_step_makes_it_the_loss(self) -> None:
        task = {"kind": "adding", "length": 20, "loss": {"at": "every"}}
        _, recorder = run(spec_of(task=task))
        assert {c.name for c in recorder.curves_seen if "loss" in c.name} == {"loss"}

    @pytest.mark.parametrize("combine", ["mean", "sum"])
    @pytest.mark.parametrize("at", ["every", "last", [0, 5, -2]])
    def test_L_is_the_combination_of_the_recorded_ones(self, at: Any, combine: str) -> None:
        task = {"kind": "copying", "length": 5, "loss": {"at": at, "combine": combine}}
        trainer, recorder = run(spec_of(task=task, probe={"batch": 64}))
        (curve,) = (c for c in recorder.curves_seen if c.update == 12 and "loss" in c.name)
        assert curve.values_SK.shape == (3, 25)
        expected = curve.values_SK[:, {"every": slice(None), "last": [24]}.get(str(at), [0, 5, 23])]
        expected = expected.mean(1) if combine == "mean" else expected.sum(1)
        found = evaluate(trainer.network, trainer.task, trainer.probe_batch)
        # the curve is float64, evaluation float32: some roundings of 6e-8
        np.testing.assert_allclose(found.loss_S, expected, rtol=2e-6)
        # and the loss that is trained is the same one
        lanes = [trainer.probe_batch] * 3
        step = update(
            trainer.network, trainer.task, trainer.optimiser, NoClip(), lanes, torch.ones(3, dtype=torch.bool)
        )
        np.testing.assert_allclose(step.loss_S, expected, rtol=2e-6)

    def test_each_is_the_readout_at_that_step(self) -> None:
        trainer, recorder = run(spec_of())
        (curve,) = (c for c in recorder.curves_seen if c.update == 12 and "loss" in c.name)
        batch = trainer.probe_batch
        out = trainer.network(batch.x_TNI[:, None]).detach()
        expected: Tensor = (out - batch.y_TN[:, None]).square().mean((2, 3))
        # float32 against float64, as above
        np.testing.assert_allclose(curve.values_SK, expected.T, rtol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(name, marks=[pytest.mark.datasets] if name == "aeon" else []) for name in TASKS if name != "table"],
)
def test_every_task_trains(kind: str) -> None:
    if kind == "aeon":
        pytest.importorskip("aeon", reason="the extra `datasets` is not installed")
    options = {"length": 45} if "length" in TASKS[kind].options else {}
    spec = spec_of(task={"kind": kind, **options}, budget={"updates": 3, "evaluations": 1}, replicates=2)
    trainer, recorder = run(spec)
    check_records(trainer, recorder)
    assert trainer.result.outcome is Outcome.FINISHED
    assert choose(TASKS, kind).load()(spec.task).lag == trainer.task.lag
    out = trainer.network(trainer.task.validation.x_TNI[:, None, :5])
    y = trainer.task.validation.y_TN[:, None, :5]
    assert loss_by_timestep(trainer.task.objective, out, y).shape == (trainer.task.length, 2, 5)
