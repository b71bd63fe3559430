"""What each clip claims, against slow twins and torch; that training records it, and goes on with it bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnlab.cells import CELLS
from rnnlab.cells.base import Cell, Weights, affine
from rnnlab.choices import choose, parse_choice
from rnnlab.clipping import CLIPS
from rnnlab.clipping.adaptive import AdaptiveClip
from rnnlab.clipping.base import Clip, row_norm
from rnnlab.clipping.parameter import ParameterClip
from rnnlab.clipping.percentile import FIRST, PercentileClip
from rnnlab.clipping.skip import SkipClip
from rnnlab.clipping.timestep import TimestepClip
from rnnlab.clipping.zscore import ZScoreClip
from rnnlab.errors import SpecError
from rnnlab.model import Network, build
from rnnlab.spec import ModelSpec, TrialSpec
from rnnlab.training.checkpoint import restore, save
from rnnlab.training.loop import Trainer
from rnnlab.training.seeding import generator_for
from rnnlab.training.step import update
from rnnlab.written import validated

SEEDS = [1, 2, 3]


def network(cell: str = "gru", **given: Any) -> Network:
    spec = validated(ModelSpec, {"cell": cell, "hidden": 5, "depth": 2, **given})
    return build(spec, 2, 1, 10, SEEDS).double()


def attached(clip: Clip, of: Network | None = None) -> Any:
    clip.attach(of or network())
    return clip


def gradient(of: Network, scale: float = 1.0) -> Tensor:
    draw = generator_for("clip claims", of.theta.shape[1])
    return scale * torch.randn(of.theta.shape, generator=draw, dtype=torch.float64)


def norms(count: int, seed: int = 0) -> Tensor:
    """Log-normal norms, a row an update and a column a lane, the lanes of different size."""
    draw = generator_for("norms", seed)
    return torch.randn(count, 3, generator=draw, dtype=torch.float64).exp() * torch.tensor([1.0, 1e-3, 50.0])


def thresholds(clip: Clip, norm_US: Tensor) -> Tensor:
    """Norms that a clip leaves of gradients with these norms, (U, S)."""
    left = []
    for norm_S in norm_US:
        g_SP = torch.zeros(3, 4, dtype=torch.float64)
        g_SP[:, 1] = norm_S
        left.append(row_norm(clip(g_SP, norm_S)))
    return torch.stack(left)


class TestParameter:
    def test_it_is_torchs_norm_clip_of_every_parameter_alone(self) -> None:
        net = network()
        g_SP = gradient(net, 0.3)
        found = net.named(attached(ParameterClip(1.5), net)(g_SP.clone(), row_norm(g_SP)))
        clipped = 0
        for name, whole in net.named(g_SP).items():
            for lane in range(3):
                parameter = torch.zeros_like(whole[lane]).requires_grad_()
                parameter.grad = whole[lane].clone()
                clipped += float(torch.nn.utils.clip_grad_norm_([parameter], 1.5)) > 1.5
                torch.testing.assert_close(found[name][lane], parameter.grad, rtol=1e-14, atol=0)
        assert 0 < clipped < 3 * len(found)


class TestAdaptive:
    def test_no_row_moves_by_more_than_its_share_and_the_readout_is_free(self) -> None:
        net = network(init="orthogonal")  # biases are 0: the floor counts
        g_SP = gradient(net, 0.01)
        found = net.named(attached(AdaptiveClip(0.02, 1e-3), net)(g_SP.clone(), row_norm(g_SP)))
        clipped = rows = 0
        for name, whole in net.named(g_SP).items():
            if name.startswith("readout"):
                assert torch.equal(found[name], whole)
                continue
            weight = net.named()[name].detach()
            for lane in range(3):
                parts = (x[lane] if x.ndim == 3 else x[lane][None] for x in (whole, weight, found[name]))
                for g_I, w_I, found_I in zip(*parts, strict=True):
                    most, norm = 0.02 * max(float(w_I.norm()), 1e-3), float(g_I.norm())
                    expected = g_I * most / norm if norm / most > 1 else g_I
                    torch.testing.assert_close(found_I, expected, rtol=1e-12, atol=0)
                    clipped, rows = clipped + (norm > most), rows + 1
        assert 0.1 < clipped / rows < 0.9

    def test_it_follows_the_weights(self) -> None:
        net = network()
        g_SP, clip = gradient(net), attached(AdaptiveClip(), net)
        before = net.named(clip(g_SP.clone(), row_norm(g_SP)))["weight_hh_l1"]
        with torch.no_grad():
            net.theta.mul_(2)
        after = net.named(clip(g_SP.clone(), row_norm(g_SP)))["weight_hh_l1"]
        torch.testing.assert_close(after, 2 * before)


class TestPercentile:
    @pytest.mark.parametrize("percentile", [0.0, 10.0, 50.0, 97.3, 100.0])
    def test_the_threshold_is_numpys_percentile_of_all_norms_so_far(self, percentile: float) -> None:
        norm_US = norms(2 * FIRST + 5)  # the room doubles twice
        found = thresholds(attached(PercentileClip(percentile)), norm_US)
        for lane in range(3):
            for update_ in range(len(norm_US)):
                limit = np.percentile(norm_US[: update_ + 1, lane].numpy(), percentile)
                norm = float(norm_US[update_, lane])
                expected = norm * min(1.0, limit / (norm + 1e-6))
                assert float(found[update_, lane]) == pytest.approx(expected, rel=1e-12)
        assert float(found[0, 0]) == pytest.approx(float(norm_US[0, 0]), rel=1e-5)

    def test_ten_clips_nine_in_ten_and_a_hundred_nothing(self) -> None:
        norm_US = norms(400)
        shares = [
            float((thresholds(attached(PercentileClip(p)), norm_US) < norm_US * (1 - 1e-6)).double().mean())
            for p in (10.0, 100.0)
        ]
        # 1,200 norms; 0.9 with a standard error of 0.009, and the smallest lane's 1e-6 beside a norm of 1e-3 counts
        assert shares[0] == pytest.approx(0.9, abs=0.03)
        assert thresholds(attached(PercentileClip(100.0)), norm_US)[:, 0] == pytest.approx(norm_US[:, 0], rel=1e-4)


def zclip(norm_U: list[float], z: float, alpha: float, warmup: int) -> list[float]:
    """ZClip a norm at a time, as its authors write it (buffer, then EMA; "adaptive_scaling"), with eps and cap 0."""
    buffer: list[float] = []
    mean = variance = 0.0
    left = []
    for norm in norm_U:
        if len(buffer) < warmup:
            buffer.append(norm)
            left.append(norm)
            if len(buffer) == warmup:
                mean = sum(buffer) / warmup
                variance = sum((x - mean) ** 2 for x in buffer) / warmup
            continue
        deviation = math.sqrt(variance)
        score = (norm - mean) / deviation
        value = mean + z * deviation / (score / z) if score > z else norm
        left.append(value)
        mean = alpha * mean + (1 - alpha) * value
        variance = alpha * variance + (1 - alpha) * (value - mean) ** 2
    return left


class TestZScore:
    @pytest.mark.parametrize(("z", "alpha", "warmup"), [(2.5, 0.97, 25), (1.0, 0.9, 2)])
    def test_it_is_the_authors_rule(self, z: float, alpha: float, warmup: int) -> None:
        norm_US = norms(300)
        found = thresholds(attached(ZScoreClip(z, alpha, warmup)), norm_US)
        for lane in range(3):
            expected = np.array(zclip(norm_US[:, lane].tolist(), z, alpha, warmup))
            # torch's 1e-6 beside the norm that is divided by, where it was clipped
            norm_U = norm_US[:, lane].numpy()
            clipped = expected < norm_U
            assert 0.005 < clipped.mean() < 0.9
            np.testing.assert_allclose(
                found[:, lane].numpy(), np.where(clipped, expected * norm_U / (norm_U + 1e-6), expected), rtol=1e-9
            )

    def test_a_spike_comes_back_nearer_the_mean_the_higher_it_is(self) -> None:
        def left(spike: float) -> float:
            norm_US = norms(41, 1) * 0 + 1
            norm_US[::2] = 1.2
            norm_US[40] = spike
            return float(thresholds(attached(ZScoreClip()), norm_US)[40, 0])

        # mean 1.1, deviation 0.1: 1.35 is where z of 2.5 begins
        assert left(1.3) == pytest.approx(1.3, rel=1e-5)
        assert 1.35 > left(1.5) > left(3.0) > left(100.0) > 1.1


def hooked(cell: Cell, weights: Weights, x_TSBI: Tensor, clamp: Callable[[Tensor], Tensor]) -> Tensor:
    """torch's equations of the three cells step by step, `clamp` hooked to the gradient at the pre-activations."""
    w_ih, w_hh, b_ih, b_hh, _ = weights
    h = c = x_TSBI.new_zeros(*x_TSBI.shape[1:3], w_hh.shape[-1])
    seen = []
    for x_SBI in x_TSBI:
        x, a = affine(w_ih, b_ih, x_SBI), affine(w_hh, b_hh, h)
        size = h.shape[-1]
        x_n = x[..., 2 * size :]
        # a GRU's candidate gets what W_hn h + b_hn gives through its reset gate, which comes between
        a = a + torch.cat([x[..., : 2 * size], torch.zeros_like(x_n)], -1) if "r" in cell.gates else x + a
        a.register_hook(clamp)  # type: ignore[no-untyped-call]
        if cell.gates == ("h",):
            h = torch.tanh(a)
        elif cell.gates == ("i", "f", "g", "o"):
            i, f, g, o = a.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        else:
            r, z, a_n = a.chunk(3, -1)
            z, n = torch.sigmoid(z), torch.tanh(x_n + torch.sigmoid(r) * a_n)
            h = (1 - z) * n + z * h
        seen.append(h)
    return torch.stack(seen)


class TestTimestep:
    cells = CLIPS["timestep"].cells or ()

    def test_it_is_offered_for_the_cells_that_have_it(self) -> None:
        assert "BIASED" in CLIPS["timestep"].summary
        having = {name for name in CELLS if choose(CELLS, name).load().limited is not Cell.limited}
        assert set(self.cells) <= having
        for cell in set(CELLS) - set(self.cells):
            with pytest.raises(SpecError, match="clip 'timestep' requires the cell rnn or lstm or gru"):
                validated(TrialSpec, spec_of("timestep", model={"cell": cell}))

    @pytest.mark.parametrize("cell", cells)
    def test_the_gradient_is_that_of_hooks_on_every_timestep(self, cell: str) -> None:
        net = network(cell, init="orthogonal", **({"activation": "tanh"} if cell == "rnn" else {}))
        x_TSBI = torch.randn(12, 3, 4, 2, generator=generator_for("x"), dtype=torch.float64)
        limits = torch.tensor([0.002, 0.02, 1e9], dtype=torch.float64)
        clip = attached(TimestepClip(limits), net)
        loss = net.read(net.top(x_TSBI, limit=clip.limit())).square().sum()
        (found,) = torch.autograd.grad(loss, [net.theta])
        before, after = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)

        def clamp(delta_SBG: Tensor) -> Tensor:
            clamped = torch.stack([d.clamp(-c, c) for d, c in zip(delta_SBG, limits.tolist(), strict=True)])
            before.add_(delta_SBG.square().sum((1, 2)))
            after.add_(clamped.square().sum((1, 2)))
            return clamped

        h_TSBH = x_TSBI
        for weights in net.layers():
            h_TSBH = hooked(net.cell, weights, h_TSBH, clamp)
        (expected,) = torch.autograd.grad(net.read(h_TSBH).square().sum(), [net.theta])
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        norm_S = row_norm(found)
        kept_S = clip.kept(norm_S, norm_S)
        torch.testing.assert_close(kept_S, (after / before).sqrt(), rtol=1e-10, atol=0)
        assert kept_S[0] < kept_S[1] < kept_S[2] == 1
        # the lane that is not clipped has the true gradient, the others do not
        (true,) = torch.autograd.grad(net.read(net.top(x_TSBI)).square().sum(), [net.theta])
        torch.testing.assert_close(found[2], true[2], rtol=1e-10, atol=1e-12)
        assert not torch.allclose(found[1], true[1], rtol=1e-3)

    def test_growth_is_bounded_where_it_arises(self) -> None:
        net = network("rnn", depth=1, activation="linear", init={"orthogonal": 2.0})
        x_TSBI = torch.randn(60, 3, 4, 2, generator=generator_for("x"), dtype=torch.float64)
        clip, seen = attached(TimestepClip(0.1), net), []

        def watch(delta_SBG: Tensor) -> None:
            clip.limit()(delta_SBG)
            seen.append(float(delta_SBG.abs().max()))

        torch.autograd.grad(net.read(net.top(x_TSBI, limit=watch)[-1:]).sum(), [net.theta])
        # 2^59 without it
        assert max(seen) == pytest.approx(0.1)
        free: list[float] = []
        limit = lambda delta_SBG: free.append(float(delta_SBG.abs().max()))  # noqa: E731
        torch.autograd.grad(net.read(net.top(x_TSBI, limit=limit)[-1:]).sum(), [net.theta])
        assert free[-1] > 1e15

    def test_probes_see_the_true_gradient(self) -> None:
        curves = []
        for clip in ("none", {"timestep": 1e-6}):
            trainer = Trainer(validated(TrialSpec, spec_of(clip, budget={"updates": 1, "evaluations": 1})))
            trainer.advance()
            curves.append([(r.verdict_init, r.decades_init) for r in trainer.result.replicates])
        assert curves[0] == curves[1]


def spec_of(clip: Any, **sections: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "task": {"kind": "adding", "length": 20},
        "model": {"cell": "gru", "hidden": 6},
        "optim": {"lr": 1e-2, "batch": 4, "clip": clip},
        "replicates": 3,
        "budget": {"updates": 24, "evaluations": 6},
        "probe": {"schedule": [0]},
    }
    return {**plain, **sections}


ACTING: dict[str, Any] = {
    "norm": 0.3, "value": 0.02, "parameter": 0.1, "adaptive": 0.01, "percentile": 40.0,
    "zscore": {"z": 0.3, "warmup": 4}, "timestep": 0.003, "skip_nonfinite": 0.3,
}  # fmt: skip
"""Options under which a clip acts at some updates of `spec_of` and not at all of them, if it is of that kind."""


class Remembering(Trainer):
    """A trainer that keeps every update's norms before and after."""

    def __init__(self, spec: TrialSpec) -> None:
        super().__init__(spec)
        self.norms: list[tuple[Tensor, Tensor]] = []
        plain = self.watch.see

        def see(norm_S: Tensor, applied_S: Tensor) -> Tensor:
            self.norms.append((norm_S, applied_S))
            return plain(norm_S, applied_S)

        self.watch.see = see  # type: ignore[method-assign]


@pytest.mark.parametrize("clip", CLIPS)
def test_every_clip_records_its_rate_and_mean_coefficient(clip: str) -> None:
    trainer = Remembering(validated(TrialSpec, spec_of({clip: ACTING[clip]} if clip in ACTING else clip)))
    while not trainer.advance().done:
        pass
    rates = torch.tensor([r.clip_rate for r in trainer.result.replicates], dtype=torch.float64)
    coefficients = torch.tensor([r.clip_coefficient for r in trainer.result.replicates], dtype=torch.float64)
    assert ((rates > 0) == (clip != "none")).all()
    assert ((coefficients < 1) == (clip != "none")).all()
    if clip != "timestep":
        norm_US, applied_US = (torch.stack(rows) for rows in zip(*trainer.norms, strict=True))
        torch.testing.assert_close(coefficients, (applied_US / norm_US).mean(0), rtol=1e-12, atol=0)
        expected = (applied_US < norm_US * (1 - 1e-6)).double().mean(0)
        torch.testing.assert_close(rates, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("clip", ACTING)
def test_training_goes_on_bit_for_bit_while_it_acts(tmp_path: Path, clip: str) -> None:
    updates = 2 * FIRST if clip == "percentile" else 24  # past the first doubling of its room
    spec = validated(TrialSpec, spec_of({clip: ACTING[clip]}, budget={"updates": updates, "evaluations": 6}))
    whole, first = Trainer(spec), Trainer(spec)
    for _ in range(4):
        first.advance()
    save(first, tmp_path / "c.pt")
    second = Trainer(spec)
    restore(second, tmp_path / "c.pt")
    for trainer in (whole, second):
        while not trainer.advance().done:
            pass
    assert torch.equal(whole.network.theta, second.network.theta)
    for left, right in zip(whole.result.replicates, second.result.replicates, strict=True):
        assert left.as_dict() == right.as_dict()
    other = Trainer(spec)
    restore(other, tmp_path / "c.pt")
    other.clip = choose(CLIPS, clip).load()(**spec.optim.clip.options)
    other.clip.attach(other.network)
    while not other.advance().done:
        pass
    # what it remembers is part of the state: one that began anew gives other numbers
    assert torch.equal(whole.network.theta, other.network.theta) == (clip not in ("percentile", "zscore"))


@pytest.mark.parametrize("clip", ACTING)
def test_a_lane_alone_is_the_lane_among_others(clip: str) -> None:
    def trained(replicates: int) -> Trainer:
        trainer = Trainer(validated(TrialSpec, spec_of({clip: ACTING[clip]}, replicates=replicates)))
        while not trainer.advance().done:
            pass
        return trainer

    alone, among = trained(1), trained(3)
    # products of one lane and of three may sum in another order: 24 updates of float32 roundings
    torch.testing.assert_close(alone.network.theta[0], among.network.theta[0], rtol=1e-4, atol=1e-6)
    assert alone.result.replicates[0].clip_rate == among.result.replicates[0].clip_rate


class TestSkip:
    def poisoned(self, trainer: Trainer, lane: int) -> Any:
        """One update whose inputs hold an infinity in one lane."""
        batches = [trainer.task.draw(stream, 4) for stream in trainer.streams]
        batches[lane].x_TNI[3, 2, 0] = torch.inf
        return update(trainer.network, trainer.task, trainer.optimiser, trainer.clip, batches, trainer.alive_S)

    def test_only_that_lane_loses_only_that_update(self) -> None:
        spec = validated(TrialSpec, spec_of("skip_nonfinite"))
        hit, twin = Trainer(spec), Trainer(spec)
        before = hit.network.theta.detach().clone()
        step = self.poisoned(hit, 1)
        batches = [twin.task.draw(stream, 4) for stream in twin.streams]
        update(twin.network, twin.task, twin.optimiser, twin.clip, batches, twin.alive_S)
        assert step.skipped_S.tolist() == [False, True, False]
        assert not step.failed
        assert step.kept_S.tolist() == [1, 0, 1]
        assert step.norm_S[1] == 0
        assert step.loss_S.isnan().tolist() == [False, True, False]
        assert torch.equal(hit.network.theta[1], before[1])
        assert torch.equal(hit.network.theta[::2], twin.network.theta[::2])
        assert not torch.equal(hit.network.theta[0], before[0])
        without = self.poisoned(Trainer(validated(TrialSpec, spec_of("none"))), 1)
        assert torch.stack(list(without.failed.values())).any(0).tolist() == [False, True, False]
        assert not without.skipped_S.any()

    def test_a_trainer_goes_on_counts_it_and_calls_it_exploded(self) -> None:
        trainers = {}
        for clip in ("none", "skip_nonfinite"):
            trainer = trainers[clip] = Trainer(validated(TrialSpec, spec_of(clip)))
            plain = trainer.task.draw
            drawn: list[Any] = []

            def draw(generator: torch.Generator, count: int, plain: Any = plain, drawn: Any = drawn) -> Any:
                batch = plain(generator, count)
                drawn.append(batch)
                if len(drawn) in (2, 3 * 9 + 2):  # the second of three lanes, at its first and tenth update
                    batch.x_TNI[0] = torch.nan
                return batch

            trainer.task.draw = draw  # type: ignore[method-assign]
            while not trainer.advance().done:
                pass
        dead, alive = (trainers[clip].result.replicates for clip in ("none", "skip_nonfinite"))
        assert [r.outcome for r in dead] == ["finished", "diverged", "finished"]
        assert [r.outcome for r in alive] == ["finished"] * 3
        assert [r.clip_rate for r in alive] == [0, pytest.approx(2 / 24), 0]
        assert [r.clip_coefficient for r in alive] == [1, pytest.approx(22 / 24), 1]
        assert alive[1].exploded
        assert alive[1].exploded_at == 1
        assert alive[1].update == 24
        assert torch.equal(*(trainers[clip].network.theta[0] for clip in trainers))

    def test_the_others_may_be_clipped_by_norm(self) -> None:
        g_SP = gradient(network())
        plain, clipped = attached(SkipClip()), attached(SkipClip(0.5))
        assert torch.equal(plain(g_SP.clone(), row_norm(g_SP)), g_SP)
        assert row_norm(clipped(g_SP.clone(), row_norm(g_SP))).tolist() == pytest.approx([0.5] * 3, rel=1e-5)
        assert parse_choice(CLIPS, {"skip_nonfinite": 1}).label == "skip_nonfinite(1)"


def test_options_are_checked() -> None:
    for written, text in [
        ({"percentile": 101}, "it should be less than or equal to 100"),
        ({"zscore": {"alpha": 1}}, "it should be less than 1"),
        ({"zscore": {"warmup": 1}}, "it should be greater than or equal to 2"),
        ({"adaptive": 0}, "it should be greater than 0"),
        ({"timestep": {"treshold": 1}}, "did you mean 'threshold'"),
    ]:
        with pytest.raises(SpecError, match=text):
            parse_choice(CLIPS, written)
