"""Connections between layers, zoneout, dropout, dilation and truncated backpropagation, against slow twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnlab.architecture import noise
from rnnlab.between import BETWEEN
from rnnlab.cells.base import loop
from rnnlab.choices import choose
from rnnlab.errors import SpecError
from rnnlab.exported import OneLane, exported
from rnnlab.model import Network, build
from rnnlab.probes.anchor import anchor_curves, anchor_gradients, directions
from rnnlab.probes.context import ProbeContext, zero_probes
from rnnlab.probes.lyapunov import lyapunov_exponents
from rnnlab.probes.renormalised import anchor_log10_norms
from rnnlab.probes.total import total_curves
from rnnlab.probes.weight_share import weight_deltas
from rnnlab.spec import ModelSpec, TrialSpec
from rnnlab.tasks.base import Batch
from rnnlab.training.loop import Trainer, train
from rnnlab.training.seeding import generator_for
from rnnlab.training.stack import load_task
from rnnlab.unrolling import Windows, interleaved, restored
from rnnlab.written import validated

TWIN: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-13}
"""float64: sums of some hundred terms in another order."""
OLD = {
    "022d6c251ca6": {},
    "71c6ae9a4304": {"cell": "lstm", "depth": 2, "bias_init": "chrono"},
    "6ee86f7564d0": {"activation": "relu", "init": {"identity": 0.9}},
}
"""Hashes of specs as they were before any field of this file."""
OPTIONS: list[dict[str, Any]] = [
    {"between": "residual", "depth": 3},
    {"between": "highway", "depth": 3},
    {"dilation": 2, "depth": 3},
    {"dilation_start": 3, "between": "highway", "depth": 2},
    {"zoneout_h": 0.3, "depth": 2},
    {"cell": "lstm", "zoneout_h": 0.1, "zoneout_c": 0.4, "dilation": 2, "depth": 2},
    {"dropout": 0.4, "depth": 2},
    {"cell": "gru", "between": "residual", "dilation": 2, "depth": 3},
]
WHOLE = [*OPTIONS, {"truncate": {"k1": 3, "k2": 5}, "between": "highway", "dilation": 2, "depth": 2}]


def network(seeds: tuple[int, ...] = (1, 2), outputs: int | None = None, **model: Any) -> Network:
    spec = validated(ModelSpec, {"hidden": 5, "init": "glorot", **model})
    return build(spec, 3, outputs, 12, list(seeds)).double()


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator_for("architecture"), dtype=torch.float64)


def by_hand(made: Network, x_TSBI: Tensor, probes: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """All states timestep by timestep and layer by layer, with nothing but `cell.step` and the formulas."""
    d = [made.architecture.stride(layer) for layer in range(made.depth)]
    named, kind = made.named(), type(made.architecture.between).__name__
    seen: list[list[tuple[Tensor, ...]]] = [[] for _ in d]
    zero = x_TSBI.new_zeros(made.lanes, x_TSBI.shape[2], made.hidden)
    for t, x in enumerate(x_TSBI.expand(-1, made.lanes, -1, -1)):
        for layer, weights in enumerate(made.layers()):
            earlier = seen[layer][t - d[layer]] if t >= d[layer] else tuple(zero for _ in made.cell.states)
            new = made.cell.step(weights, x, earlier)
            new = tuple(s + probes[layer][n][t] for n, s in zip(made.cell.states, new, strict=True))
            seen[layer].append(new)
            h = new[0]
            if layer and kind == "Residual":
                h = x + h
            if layer and kind == "Highway":
                w, b = named[f"between.weight_l{layer}"], named[f"between.bias_l{layer}"]
                gate = torch.sigmoid(torch.stack([x[s] @ w[s].T + b[s] for s in range(made.lanes)]))
                h = gate * h + (1 - gate) * x
            x = h
    names = made.cell.states
    return [{n: torch.stack([s[i] for s in layer]) for i, n in enumerate(names)} for layer in seen]


@pytest.mark.parametrize("model", OPTIONS, ids=str)
class TestAgainstTheFormula:
    def test_states_and_gradients(self, model: dict[str, Any]) -> None:
        made, x = network(**model), draw(9, 2, 4, 3)
        found = []
        for run in (lambda probes: made.states(x, None, probes), lambda probes: by_hand(made, x, probes)):
            probes = zero_probes(made, x)
            seen = run(probes)
            loss = sum(((s + s.square()) * draw(*s.shape)).sum() for layer in seen for s in layer.values())
            flat = [probe for layer in probes for probe in layer.values()]
            assert isinstance(loss, Tensor)
            gradients = torch.autograd.grad(loss, [made.theta, *flat])
            found.append([*(s.detach() for layer in seen for s in layer.values()), *gradients])
        for ours, twin in zip(*found, strict=True):
            assert twin.abs().max() > 0
            torch.testing.assert_close(ours, twin, **TWIN)

    def test_training_without_noise_is_evaluation(self, model: dict[str, Any]) -> None:
        made, x = network(**model), draw(9, 2, 4, 3)
        hidden, top = made.run(x)
        seen = made.states(x)
        for h, states in zip(hidden, seen, strict=True):
            torch.testing.assert_close(h, states["h"], **TWIN)
        torch.testing.assert_close(top, made.reads(x, seen)[-1], **TWIN)

    def test_the_adjoint_in_logs_is_the_same(self, model: dict[str, Any]) -> None:
        made, x = network(**model), draw(9, 2, 4, 3)
        self.same_logs(made, x)

    @staticmethod
    def same_logs(made: Network, x: Tensor) -> None:
        theta, last_B, state = made.theta.detach(), torch.tensor([8, 5, 8, 0]), made.cell.anchor_state
        plain = anchor_gradients(made, x, theta, state=state, last_B=last_B)
        logs = anchor_log10_norms(made, x, theta, directions(4, 5, 0), last_B, state=state)
        for layer, by_state in enumerate(plain):
            for name, gradient in by_state.items():
                torch.testing.assert_close(logs[layer][name], gradient.norm(dim=-1).log10(), rtol=0, atol=1e-9)

    def test_all_lyapunov_exponents_add_up_to_the_determinant(self, model: dict[str, Any]) -> None:
        made, x = network((1,), **model), draw(7, 1, 1, 3)
        strides = [made.architecture.stride(layer) for layer in range(made.depth)]
        names, size = made.cell.states, made.hidden
        total, rows = 0.0, [(layer, slot, n) for layer, d in enumerate(strides) for slot in range(d) for n in names]
        seen = by_hand(made, x, zero_probes(made, x))
        for t in range(1, 7):

            def forward(z: Tensor, t: int = t) -> Tensor:
                """The whole delay state after timestep t from that before it."""
                z_of = dict(zip(rows, z.split(size), strict=True))
                below = x[t]
                for layer, weights in enumerate(made.layers()):
                    slot = t % strides[layer]
                    new = made.cell.step(weights, below, tuple(z_of[layer, slot, n][None, None] for n in names))
                    z_of |= {(layer, slot, n): s[0, 0] for n, s in zip(names, new, strict=True)}
                    below = made.connected(layer, made.named(), below, new[0])
                return torch.cat([z_of[row] for row in rows])

            def held(layer: int, slot: int, n: str, t: int = t) -> Tensor:
                times = [u for u in range(t) if u % strides[layer] == slot]
                return seen[layer][n][times[-1], 0, 0].detach() if times else torch.zeros(size, dtype=torch.float64)

            z = torch.cat([held(*row) for row in rows])
            jacobian = torch.autograd.functional.jacobian(forward, z)
            total += float(torch.linalg.slogdet(jacobian)[1]) / 6
        found = lyapunov_exponents(made, x, made.theta.detach())
        assert float(found.sum()) == pytest.approx(total, rel=1e-8)

    def test_lanes_are_alone(self, model: dict[str, Any]) -> None:
        both, x = network((1, 2), **model), draw(9, 1, 4, 3)
        for lane, seed in enumerate((1, 2)):
            alone = network((seed,), **model)
            assert torch.equal(alone.theta, both.theta[lane : lane + 1])
            ours = both.top(x, noise=noise([1, 2], 7))[:, lane]
            torch.testing.assert_close(ours, alone.top(x, noise=noise([seed], 7))[:, 0], **TWIN)


@pytest.mark.parametrize("model", WHOLE, ids=str)
def test_a_trial_trains_measures_and_is_exported(model: dict[str, Any]) -> None:
    spec = validated(
        TrialSpec,
        {
            "task": {"kind": "adding", "length": 20},
            "model": {"hidden": 6, **model},
            "optim": {"lr": 1e-2, "batch": 4},
            "replicates": 2,
            "budget": {"updates": 3, "evaluations": 1},
            "probe": {"batch": 3, "measure": ["anchor", "total", "inputs", "jacobian", "lyapunov", "weight_share", "reach", "saturation"]},
        },
    )  # fmt: skip
    trainer = Trainer(spec)
    while not trainer.advance().done:
        pass
    assert [r.outcome.value for r in trainer.result.replicates] == ["finished", "finished"]
    assert TrialSpec.model_validate(spec.model_dump(mode="json")) == spec
    module, made = exported(trainer.network, 1), trainer.network
    assert isinstance(module, OneLane) == (not made.architecture.known_to_torch)
    x = torch.randn(5, 20, 2, generator=generator_for("exported"))
    with torch.no_grad():
        expected = made(x.transpose(0, 1)[:, None])[:, 1].transpose(0, 1)
        torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)  # float32 kernels
    again = train(validated(TrialSpec, {**spec.model_dump(mode="json"), "replicates": 1}))
    assert again.replicates[0].score == pytest.approx(trainer.result.replicates[0].score, rel=1e-4)


@pytest.mark.parametrize("hashed", OLD)
def test_a_spec_from_before_keeps_its_hash_and_its_numbers(hashed: str) -> None:
    spec = validated(TrialSpec, {"task": {"kind": "adding", "length": 50}, "model": OLD[hashed]})
    assert spec.config_hash == hashed
    assert "between" not in spec.to_yaml()
    assert "regulariser" not in spec.model_dump_json()
    made = network(**OLD[hashed])
    assert not [name for name in made.shapes if name.startswith("between")]
    other = validated(TrialSpec, {"task": {"kind": "adding", "length": 50}, "model": {**OLD[hashed], "dropout": 0.1}})
    assert other.config_hash != hashed


class TestBetween:
    @pytest.mark.parametrize("name", BETWEEN)
    def test_every_line(self, name: str) -> None:
        made = network(between=name, depth=3, outputs=2)
        own = choose(BETWEEN, name).load()().shapes(5)
        assert list(made.shapes)[-2 * len(own) - 2 :][:2] == ["readout.weight", "readout.bias"]
        assert sum(n.startswith("between") for n in made.shapes) == 2 * len(own)
        plain = network(depth=3, outputs=2)
        assert torch.equal(made.theta[:, : plain.theta.shape[1]], plain.theta)
        one = network(between=name, depth=1)
        torch.testing.assert_close(one.top(draw(4, 1, 2, 3)), network(depth=1).top(draw(4, 1, 2, 3)), **TWIN)

    def test_a_closed_highway_is_the_first_layer_and_an_open_one_plain(self) -> None:
        x = draw(6, 1, 2, 3)
        for bias, of in ((-50.0, 0), (50.0, 2)):
            made = network(between="highway", depth=3)
            with torch.no_grad():
                for layer in (1, 2):
                    made.named()[f"between.weight_l{layer}"].zero_()
                    made.named()[f"between.bias_l{layer}"].fill_(bias)
            hidden, top = made.run(x)
            torch.testing.assert_close(top, hidden[of], **TWIN)

    def test_the_gate_begins_at_minus_two(self) -> None:
        named = network(between="highway", depth=3).named()
        assert (named["between.bias_l1"] == -2).all()
        assert not torch.equal(named["between.weight_l1"], named["between.weight_l2"])


class TestDilation:
    def test_there_and_back(self) -> None:
        value = draw(7, 2, 3, 4)
        for d in (1, 2, 3, 7, 9):
            parts = interleaved(value, d)
            assert parts.shape == (-(-7 // d), 2, 3 * min(d, 7), 4)
            assert torch.equal(restored(parts, d, 7), value)
        torch.testing.assert_close(interleaved(value, 2)[:, :, 1], torch.cat([value[1::2, :, 0], torch.zeros(1, 2, 4)]))

    def test_the_path_is_t_over_d(self) -> None:
        # a linear network that keeps g of its state a step has g^(k/d) left at lag k, and nothing between
        made = network((1,), activation="linear", dilation_start=4)
        with torch.no_grad():
            made.named()["weight_hh_l0"].copy_(0.875 * torch.eye(5))
        found = anchor_gradients(made, draw(21, 1, 2, 3), made.theta.detach(), state="h")[0]["h"].norm(dim=-1)[:, 0, 0]
        expected = [0.875 ** (lag / 4) if lag % 4 == 0 else 0.0 for lag in range(20, -1, -1)]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)

    def test_deltas_of_dilated_layers_sum_to_the_weights_gradient(self) -> None:
        spec = validated(
            TrialSpec, {"task": {"kind": "adding", "length": 12}, "model": {"hidden": 5, "depth": 2, "dilation": 3}}
        )
        task = load_task(spec)
        made = build(spec.model, 2, 1, 12, [1, 2])
        batch = Batch(task.validation.x_TNI[:, :4], task.validation.y_TN[:, :4])
        context = ProbeContext(made, task, batch, 0)
        theta = context.theta_SP.clone().requires_grad_()
        seen = made.states(context.x_TSBI, theta)
        out = made.read(seen[-1]["h"], theta)
        loss = (out[-1] - batch.y_TN[-1][None].double()).square().sum()
        (g,) = torch.autograd.grad(loss, [theta])
        for layer, d in enumerate((1, 3)):
            earlier = torch.cat([torch.zeros(d, 2, 4, 5), context.states[layer]["h"][:-d]])
            found = torch.einsum("tsbg,tsbh->sgh", weight_deltas(context, layer), earlier.double())
            torch.testing.assert_close(found, made.named(g)[f"weight_hh_l{layer}"], **TWIN)


class TestNoise:
    def test_masks_have_their_share_and_evaluation_the_mean(self) -> None:
        made, x = network(zoneout_h=0.3), draw(1, 1, 2000, 3)
        # from a zero state h is 0 where it is kept
        h = made.top(x, noise=noise([1, 2], 1))
        # 20,000 draws: a standard deviation of .0032
        assert float((h == 0).double().mean()) == pytest.approx(0.3, abs=0.015)
        kept = h != 0
        torch.testing.assert_close((made.top(x) / 0.7)[kept], h[kept], **TWIN)

    def test_updates_and_lanes_draw_their_own(self) -> None:
        made, x = network((1, 1), zoneout_h=0.5), draw(6, 1, 2, 3)
        first = made.top(x, noise=noise([1, 2], 1))
        assert torch.equal(first, made.top(x, noise=noise([1, 2], 1)))
        assert not torch.equal(first, made.top(x, noise=noise([1, 2], 2)))
        assert not torch.equal(first[:, 0], first[:, 1])

    def test_a_dropped_unit_is_read_by_none_at_any_time(self) -> None:
        made, x = network((1,), dropout=0.5), draw(9, 1, 4, 3)
        weights = made.architecture.dropped(made.layers()[0], noise([1], 3))
        ratio = weights.w_hh_SGH / made.layers()[0].w_hh_SGH
        assert set(ratio.flatten().tolist()) == {0.0, 2.0}
        assert all(len(set(column.tolist())) == 1 for column in ratio[0].T)
        expected = loop(made.cell, weights, x)["h"]
        torch.testing.assert_close(made.top(x, noise=noise([1], 3)), expected, **TWIN)

    def test_an_lstms_h_follows_the_candidate_of_c(self) -> None:
        made, x = network((1,), cell="lstm", zoneout_c=0.999999), draw(1, 1, 2, 3)
        plain = network((1,), cell="lstm")
        torch.testing.assert_close(made.states(x)[0]["h"], plain.states(x)[0]["h"], **TWIN)
        torch.testing.assert_close(made.states(x)[0]["c"], 1e-6 * plain.states(x)[0]["c"], rtol=1e-8, atol=0)


def truncated_twin(made: Network, x_TSBI: Tensor, mix: Tensor, k1: int, k2: int) -> Tensor:
    """The gradient of theta by one backward pass after another, each from states that were cut off by hand."""
    steps, total = len(x_TSBI), torch.zeros_like(made.theta)
    with torch.no_grad():
        whole = by_hand(made, x_TSBI, zero_probes(made, x_TSBI))
    for end in [*range(k1, steps, k1), steps]:
        start = max(0, end - k2)
        first = (end - 1) // k1 * k1
        seen: list[list[tuple[Tensor, ...]]] = [
            [tuple(layer[n][t] for n in made.cell.states) for t in range(start)] for layer in whole
        ]
        loss = torch.zeros(())
        zero = tuple(torch.zeros_like(whole[0]["h"][0]) for _ in made.cell.states)
        for t in range(start, end):
            x = x_TSBI[t].expand(made.lanes, -1, -1)
            for layer, weights in enumerate(made.layers()):
                d = made.architecture.stride(layer)
                seen[layer].append(made.cell.step(weights, x, seen[layer][t - d] if t >= d else zero))
                x = made.connected(layer, made.named(), x, seen[layer][-1][0])
            if t >= first:
                loss = loss + (x * mix[t]).sum()
        total += torch.autograd.grad(loss, [made.theta])[0]
    return total


class TestTruncation:
    @pytest.mark.parametrize(("k1", "k2"), [(1, 1), (3, 3), (2, 5), (4, 7), (13, 13), (20, 30)])
    @pytest.mark.parametrize(
        "model", [{}, {"cell": "lstm", "depth": 2}, {"depth": 3, "between": "highway", "dilation": 2}], ids=str
    )
    def test_against_passes_by_hand(self, model: dict[str, Any], k1: int, k2: int) -> None:
        made, x = network(truncate={"k1": k1, "k2": k2}, **model), draw(13, 2, 3, 3)
        mix = draw(13, 2, 3, 5)
        top = made.top(x)
        torch.testing.assert_close(top, network(**model).top(x), **TWIN)
        (g,) = torch.autograd.grad((top * mix).sum(), [made.theta])
        torch.testing.assert_close(g, truncated_twin(made, x, mix, k1, k2), **TWIN)
        if k2 >= 13:
            torch.testing.assert_close(g, plain_gradient(model, x, mix), **TWIN)

    @pytest.mark.parametrize("cell", ["rnn", "lstm"])
    def test_curves_are_exactly_zero_past_k2(self, cell: str) -> None:
        spec = validated(
            TrialSpec,
            {
                "task": {"kind": "adding", "length": 40},
                "model": {"cell": cell, "hidden": 6, "truncate": {"k1": 4, "k2": 10}},
            },
        )
        task = load_task(spec)
        made = build(spec.model, 2, 1, 40, [1, 2])
        context = ProbeContext(made, task, Batch(task.validation.x_TNI[:, :4], task.validation.y_TN[:, :4]), 0)
        for curve in total_curves(context):
            assert (curve.values_SK[:, :30] == 0).all()
            if curve.state == "h":
                assert (curve.values_SK[:, 30:] > 0).all()
        for curve in anchor_curves(context):
            assert (curve.values_SK[:, 10:] == 0).all()
            assert curve.verdict(39).name == "vanishing"
            assert curve.verdict(39).underflow
        # where it is not 0 it is the untruncated one
        free = build(spec.model.model_copy(update={"truncate": None}), 2, 1, 40, [1, 2])
        whole = total_curves(ProbeContext(free, task, context.batch, 0))
        for ours, twin in zip(total_curves(context), whole, strict=True):
            np.testing.assert_allclose(ours.values_SK[:, 30:], twin.values_SK[:, 30:], rtol=1e-10)

    def test_the_adjoint_in_logs_is_cut_too(self) -> None:
        made = network(truncate={"k1": 2, "k2": 3}, depth=2, between="residual")
        TestAgainstTheFormula.same_logs(made, draw(9, 2, 4, 3))

    def test_windows(self) -> None:
        windows = Windows(10, 4, 6)
        assert windows.ends_W.tolist() == [4, 8, 10]
        assert windows.times_KW[:, 0].tolist() == [-2, -1, 0, 1, 2, 3]
        value = torch.arange(10.0).reshape(10, 1, 1, 1).expand(10, 1, 3, 1)
        assert torch.equal(windows.joined(windows.cut(value), 3), value)
        assert windows.reached(torch.tensor([0, 3, 4, 7, 8, 9])).tolist() == [-2, -2, 2, 2, 4, 4]


def plain_gradient(model: dict[str, Any], x: Tensor, mix: Tensor) -> Tensor:
    made = network(**model)
    return torch.autograd.grad((made.top(x) * mix).sum(), [made.theta])[0]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"zoneout_c": 0.5}, "zoneout_c requires a cell with a state c, but the cell 'rnn' has h"),
        ({"truncate": {"k1": 5, "k2": 3}}, r"`k1 <= k2` must hold, but got \(k1=5, k2=3\)"),
        ({"dilation": 16, "depth": 4}, "must be at most 1,024, but is 4,096"),
        ({"between": "resdual"}, "between 'resdual' is unknown; did you mean 'residual'"),
        (
            {"cell": "gru_v1", "dropout": 0.1},
            "dropout requires a cell whose steps take W_hh h, but the cell 'gru_v1' does",
        ),
        ({"cell": "orthogonal", "dropout": 0.1}, "the cell 'orthogonal' makes another matrix of W_hh"),
        ({"cell": "antisymmetric", "dropout": 0.1}, "the cell 'antisymmetric' makes another matrix of W_hh"),
        ({"zoneout_h": 1.0}, "zoneout_h: got 1.0, but it should be less than 1"),
    ],
)
def test_what_does_not_fit_is_told(model: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        validated(ModelSpec, model)


def test_a_timestep_clip_refuses_what_autograd_does() -> None:
    for model in ({"zoneout_h": 0.1}, {"truncate": {"k1": 2, "k2": 2}}):
        with pytest.raises(SpecError, match="neither zoneout nor truncate"):
            validated(TrialSpec, {"task": {"kind": "adding"}, "model": model, "optim": {"clip": "timestep"}})
