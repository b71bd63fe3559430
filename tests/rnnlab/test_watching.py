"""`watch` against a slow twin: torch's equations step by step, with a probe added to each state."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

import rnnlab
from rnnlab.errors import SpecError
from rnnlab.training.seeding import generator_for

T, B, IN, H = 7, 4, 3, 5
LENGTHS = [4, 7, 1, 6]
KINDS: dict[str, Callable[..., Any]] = {
    "tanh": lambda *a, **k: nn.RNN(*a, nonlinearity="tanh", **k),
    "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}
LOSSES = ("output", "h_n", "c_n", "all")
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


def made(kind: str, layers: int = 1, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    torch.manual_seed(layers)
    return KINDS[kind](IN, H, layers, **options).to(dtype)


def twin_step(m: Any, suffix: str, x_I: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """One timestep of one sequence, written out from torch's documentation."""
    a = m.get_parameter(f"weight_ih_{suffix}") @ x_I
    b = m.get_parameter(f"weight_hh_{suffix}") @ state["h"]
    if m.bias:
        a, b = a + m.get_parameter(f"bias_ih_{suffix}"), b + m.get_parameter(f"bias_hh_{suffix}")
    if isinstance(m, nn.LSTM):
        i, f, g, o = (a + b).chunk(4)
        c = f.sigmoid() * state["c"] + i.sigmoid() * g.tanh()
        return {"h": o.sigmoid() * c.tanh(), "c": c}
    if isinstance(m, nn.GRU):
        (a_r, a_z, a_n), (b_r, b_z, b_n) = a.chunk(3), b.chunk(3)
        z = (a_z + b_z).sigmoid()
        return {"h": (1 - z) * (a_n + (a_r + b_r).sigmoid() * b_n).tanh() + z * state["h"]}
    return {"h": (a + b).tanh() if m.nonlinearity == "tanh" else (a + b).relu()}


class Twin:
    """The module sequence by sequence; `probes[b][layer, direction, state][t]` are zeros added after the step."""

    def __init__(self, m: Any, x_TBI: Tensor, lengths: list[int], hx: Any = None, masks: Any = None) -> None:
        self.m, self.directions = m, 2 if m.bidirectional else 1
        self.states = ("h", "c") if isinstance(m, nn.LSTM) else ("h",)
        self.lengths = lengths
        initial = dict(zip(self.states, hx if isinstance(hx, tuple) else (hx,), strict=False)) if hx is not None else {}
        self.probes: list[dict[tuple[int, int, str], list[Tensor]]] = []
        self.ended: list[dict[tuple[int, int, str], Tensor]] = []
        outputs = []
        for b, length in enumerate(lengths):
            probes: dict[tuple[int, int, str], list[Tensor]] = {}
            ended: dict[tuple[int, int, str], Tensor] = {}
            x = list(x_TBI[:length, b])
            for layer in range(m.num_layers):
                above: list[list[Tensor]] = [[] for _ in range(length)]
                for d in range(self.directions):
                    place = layer * self.directions + d
                    zero = x_TBI.new_zeros(H)
                    state = {s: initial[s][place, b] if initial else zero for s in self.states}
                    for s in self.states:
                        probes[layer, d, s] = [torch.zeros_like(zero, requires_grad=True) for _ in range(length)]
                    for t in range(length)[:: -1 if d else 1]:
                        state = twin_step(m, f"l{layer}" + "_reverse" * d, x[t], state)
                        state = {s: value + probes[layer, d, s][t] for s, value in state.items()}
                        above[t].append(state["h"])
                    ended |= {(layer, d, s): state[s] for s in self.states}
                x = [torch.cat(parts) for parts in above]
                if masks is not None and layer < m.num_layers - 1:
                    x = [value * masks[layer][t, b] for t, value in enumerate(x)]
            outputs.append(torch.stack(x))
            self.probes.append(probes)
            self.ended.append(ended)
        self.output = nn.utils.rnn.pad_sequence(outputs)

    def end(self, state: str) -> Tensor:
        """h_n or c_n, (L D, B, H)."""
        places = itertools.product(range(self.m.num_layers), range(self.directions))
        return torch.stack([torch.stack([ended[i, d, state] for ended in self.ended]) for i, d in places])

    def gradients(self, loss: Tensor, keep: bool = False) -> dict[tuple[int, int, str], Tensor]:
        """Total dL/ds_t, each (T, B, H), zeros in padding."""
        flat = [p for probes in self.probes for steps in probes.values() for p in steps]
        found = iter(torch.autograd.grad(loss, flat, retain_graph=keep, allow_unused=True, materialize_grads=True))
        by_sequence = [{place: [next(found) for _ in steps] for place, steps in p.items()} for p in self.probes]
        return {
            place: nn.utils.rnn.pad_sequence([torch.stack(each[place]) for each in by_sequence])
            for place in by_sequence[0]
        }


def weighing(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(like)


def loss_on(where: str, output_TBF: Tensor, h_n: Tensor, c_n: Tensor | None) -> Tensor:
    """A random linear form plus squares, so that gradients depend on the values; padding weighs nothing."""
    parts = {"output": output_TBF, "h_n": h_n, "c_n": c_n}
    chosen = [part for name, part in parts.items() if where in (name, "all") and part is not None]
    return torch.stack([(part * weighing(part, 1)).sum() + part.square().sum() for part in chosen]).sum()


def run(m: Any, x_TBI: Tensor, lengths: list[int] | None, hx: Any = None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The module's output (T, B, F), h_n and c_n, whatever its layout."""
    if lengths is None:
        output, ends = m(x_TBI.transpose(0, 1) if m.batch_first else x_TBI, hx)
        output = output.transpose(0, 1) if m.batch_first else output
    else:
        packed, ends = m(pack_padded_sequence(x_TBI, torch.tensor(lengths), enforce_sorted=False), hx)
        output = pad_packed_sequence(packed)[0]
    return (output, *ends) if isinstance(ends, tuple) else (output, ends, None)


def agrees(seen: Any, twin: Twin, loss: Tensor, tolerance: float) -> None:
    wanted = twin.gradients(loss)
    largest = max(float(value.abs().max()) for value in wanted.values())
    assert largest > 0
    for (layer, direction, state), value in wanted.items():
        told = seen.hidden_gradients(layer, direction, state)
        assert told.shape == (max(twin.lengths), len(twin.lengths), H)
        assert told.dtype == torch.float64
        assert float((told - value).abs().max()) <= tolerance * max(1.0, largest), (layer, direction, state)
        for b, length in enumerate(twin.lengths):
            assert not told[length:, b].any()


@pytest.mark.parametrize(
    ("kind", "where"), [(k, w) for k in KINDS for w in LOSSES if w != "c_n" or k == "lstm"]
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "two"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_gradients_are_the_twins(kind: str, layers: int, bidirectional: bool, packed: bool, where: str) -> None:
    for dtype, batch_first, given in (
        (torch.float64, False, False),
        (torch.float64, True, True),
        (torch.float32, True, False),
    ):
        m = made(kind, layers, dtype, bidirectional=bidirectional, batch_first=batch_first, bias=not given)
        x_TBI = weighing(torch.empty(T, B, IN, dtype=dtype), 5)
        hx: Any = None
        if given:
            rows = layers * (1 + bidirectional)
            hx = weighing(torch.empty(rows, B, H, dtype=dtype), 6)
            hx = (hx, weighing(hx, 7)) if kind == "lstm" else hx
        lengths = LENGTHS if packed else None
        plain = run(m, x_TBI, lengths, hx)
        loss_on(where, *plain).backward()
        without = {name: p.grad.clone() for name, p in m.named_parameters() if p.grad is not None}
        m.zero_grad()
        with rnnlab.watch(m) as seen:
            told = run(m, x_TBI, lengths, hx)
            loss_on(where, *told).backward()
        for a, b in zip(plain, told, strict=True):
            assert (a is None and b is None) or torch.equal(a, b)
        assert without
        for name, value in without.items():
            assert torch.equal(value, m.get_parameter(name).grad), name
        assert seen.lengths.tolist() == (LENGTHS if packed else [T] * B)
        twin = Twin(m, x_TBI, lengths or [T] * B, hx)
        if lengths is None:  # h_n of the twin is the module's: the twin is what torch computes
            assert torch.allclose(twin.end("h"), told[1], atol=1e-5)
        loss = loss_on(where, twin.output, twin.end("h"), twin.end("c") if kind == "lstm" else None)
        agrees(seen, twin, loss, TOLERANCE[dtype])


def test_a_stock_lstm_two_layers_two_directions_packed_batch_first() -> None:
    """The case that the issue names, with a loss on the padded output and real user code around it."""
    torch.manual_seed(0)
    m = nn.LSTM(IN, H, num_layers=2, bidirectional=True, batch_first=True)
    x_BTI = torch.randn(B, T, IN)
    with rnnlab.watch(m) as seen:
        packed, _ = m(pack_padded_sequence(x_BTI, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False))
        output_BTF, lengths = pad_packed_sequence(packed, batch_first=True)
        output_BTF.square().sum().backward()
    assert lengths.tolist() == LENGTHS == seen.lengths.tolist()
    twin = Twin(m, x_BTI.transpose(0, 1), LENGTHS)
    agrees(seen, twin, twin.output.square().sum(), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_dropout_between_layers_is_replayed(kind: str, packed: bool, p: float, dtype: torch.dtype) -> None:
    m = made(kind, 3, dtype, bidirectional=True, batch_first=True, dropout=p)
    x_TBI = weighing(torch.empty(T, B, IN, dtype=dtype), 5)
    lengths = LENGTHS if packed else None
    torch.manual_seed(11)
    plain = run(m, x_TBI, lengths)[0]
    after = torch.get_rng_state()
    torch.manual_seed(11)
    with rnnlab.watch(m) as seen:
        told = run(m, x_TBI, lengths)
        loss_on("all", *told).backward()
    assert torch.equal(plain, told[0])
    seen.hidden_gradients()
    assert torch.equal(torch.get_rng_state(), after), "the generator stands where it would without"
    # the masks as torch's documentation has them: one draw of zeros and 1 / (1 - p) for each inner layer's output
    torch.manual_seed(11)
    ones = torch.ones(sum(LENGTHS) if packed else T * B, 2 * H, dtype=dtype)
    drawn = [nn.functional.dropout(ones if packed else ones.view(T, B, -1), p) for _ in range(2)]
    if packed:
        shape = pack_padded_sequence(x_TBI, torch.tensor(LENGTHS), enforce_sorted=False)
        drawn = [pad_packed_sequence(PackedSequence(d, *shape[1:]))[0] for d in drawn]
    twin = Twin(m, x_TBI, lengths or [T] * B, masks=drawn)
    assert torch.allclose(twin.output, told[0], atol=1e-5)
    agrees(
        seen,
        twin,
        loss_on("all", twin.output, twin.end("h"), twin.end("c") if kind == "lstm" else None),
        TOLERANCE[dtype],
    )
    m.eval()
    with rnnlab.watch(m) as seen:
        m(x_TBI.transpose(0, 1))[0].sum().backward()
    twin = Twin(m, x_TBI, [T] * B)
    agrees(seen, twin, twin.output.sum(), TOLERANCE[dtype])


@pytest.mark.parametrize("steps", [1, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_without_a_batch_axis(kind: str, steps: int) -> None:
    m = made(kind, 2, batch_first=True)
    x_TI = weighing(torch.empty(steps, IN, dtype=torch.float64), 3)
    with rnnlab.watch(m) as seen:
        output, ends = m(input=x_TI, hx=None)
        (output.sum() + sum(end.square().sum() for end in (ends if isinstance(ends, tuple) else (ends,)))).backward()
    twin = Twin(m, x_TI[:, None], [steps])
    loss = twin.output.sum() + sum(twin.end(state).square().sum() for state in twin.states)
    agrees(seen, twin, loss, 1e-9)


def test_output_and_h_n_are_two_ways_into_the_last_state() -> None:
    m = made("gru")
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    found = []
    for pick in (0, 1):
        with rnnlab.watch(m) as seen:
            answer = m(x_TBI)
            (answer[0][-1] if pick == 0 else answer[1][0]).sum().backward()
        found.append(seen.hidden_gradients())
    assert torch.allclose(*found, atol=1e-12, rtol=0)
    assert torch.equal(found[0][-1], torch.ones(B, H, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_the_anchor_curve_is_that_of_gradient_curve(kind: str) -> None:
    m = made(kind, 2, torch.float32)
    x_TBI = weighing(torch.empty(T, B, IN), 3)
    with rnnlab.watch(m) as seen:
        m(x_TBI)
    for layer, state in itertools.product((0, 1, -1), ("h", "c") if kind == "lstm" else ("h",)):
        told = seen.anchor_curve(layer, state=state, seed=4)
        wanted = rnnlab.gradient_curve(m, x_TBI, layer=layer, state=state, seed=4)
        assert (told.kind, told.axis, told.state, told.layer) == ("anchor", "lag", state, layer % 2)
        np.testing.assert_allclose(told.values_SK, wanted.values_SK, rtol=1e-9)
    default = seen.anchor_curve()
    assert default.state == ("c" if kind == "lstm" else "h")
    assert default.verdict().name == default.verdict(lag=T - 1).name == "too_short"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", [0, 1])
def test_the_anchor_of_a_ragged_stack_of_two_directions(kind: str, direction: int) -> None:
    """Each sequence's own last step; a lower layer through both directions, against the twin."""
    m = made(kind, 3, bidirectional=True, dropout=0.5)
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    with rnnlab.watch(m) as seen:
        run(m, x_TBI, LENGTHS)
    state = "c" if kind == "lstm" else "h"
    v_BH = torch.randn(B, H, dtype=torch.float64, generator=generator_for("anchor", 0))
    v_BH = v_BH / v_BH.norm(dim=1, keepdim=True)
    twin = Twin(m, x_TBI, LENGTHS)
    ends_BH = torch.stack([ended[2, direction, state] for ended in twin.ended])
    wanted = twin.gradients((ends_BH * v_BH).sum())
    for layer in range(3):
        g_TBH = wanted[layer, direction, state]
        for lag in range(T):
            norms = [
                float(g_TBH[lag if direction else n - 1 - lag, b].norm()) for b, n in enumerate(LENGTHS) if n > lag
            ]
            rms = float(np.sqrt(np.mean(np.square(norms))))
            told = seen.anchor_curve(layer, direction).values_SK
            assert told.shape == (1, T)
            np.testing.assert_allclose(told[0, lag], rms, rtol=1e-9)
    assert seen.anchor_curve(2, direction).values_SK[0, 0] == pytest.approx(1)


def test_a_curve_is_the_norms_of_the_sequences_that_are_there() -> None:
    m = made("lstm", 2, bidirectional=True)
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    with rnnlab.watch(m) as seen:
        loss_on("all", *run(m, x_TBI, LENGTHS)).backward()
    frame = seen.to_frame()
    assert list(frame.columns) == ["module", "layer", "direction", "state", "timestep", "norm"]
    assert len(frame) == 2 * 2 * 2 * T
    assert set(frame["module"]) == {"LSTM"}
    for layer, direction, state in itertools.product((0, 1), (0, 1), "hc"):
        curve = seen.curve(layer, direction, state)
        assert (curve.kind, curve.axis, curve.state, curve.layer) == ("total", "timestep", state, layer)
        g_TBH = seen.hidden_gradients(layer, direction, state)
        for t in range(T):
            norms = [float(g_TBH[t, b].norm()) for b, n in enumerate(LENGTHS) if n > t]
            assert curve.values_SK[0, t] == pytest.approx(np.sqrt(np.mean(np.square(norms))), rel=1e-12)
        rows = frame[(frame.layer == layer) & (frame.direction == direction) & (frame.state == state)]
        assert rows["norm"].tolist() == curve.values_SK[0].tolist()
        with pytest.raises(ValueError, match="a verdict reads a G2 curve"):
            curve.verdict()
    figure = seen.plot()
    (axes,) = figure.axes
    assert len(axes.lines) == 8
    assert axes.get_legend().get_texts()[1].get_text() == "layer 0 forward, c"
    np.testing.assert_allclose(axes.lines[0].get_ydata(), seen.curve().log10_SK[0])


class Model(nn.Module):
    """An encoder and a decoder of different kinds, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"rnn": nn.GRU(IN, H, batch_first=True, bidirectional=True)})
        self.decoder = nn.LSTM(2 * H, H, 2, batch_first=True)
        self.spare = nn.RNN(IN, H)
        self.head = nn.Linear(H, 2)

    def forward(self, x_BTI: Tensor) -> Tensor:
        middle, _ = self.encoder["rnn"](x_BTI)
        return self.head(self.decoder(torch.relu(middle))[0])


def test_a_whole_model_by_path() -> None:
    torch.manual_seed(0)
    model = Model().double()
    x_BTI = torch.randn(B, T, IN, dtype=torch.float64)
    with rnnlab.watch(model) as seen:
        model(x_BTI).square().mean().backward()
    assert seen.modules == ("encoder.rnn", "decoder", "spare")
    encoder = Twin(model.encoder["rnn"], x_BTI.transpose(0, 1), [T] * B)
    decoder = Twin(model.decoder, torch.relu(encoder.output), [T] * B)
    loss = model.head(decoder.output).square().mean()
    for name, twin in (("encoder.rnn", encoder), ("decoder", decoder)):
        for (layer, direction, state), value in twin.gradients(loss, keep=True).items():
            told = seen.hidden_gradients(layer, direction, state, module=name)
            assert float((told - value).abs().max()) < 1e-9
    assert set(seen.to_frame()["module"]) == {"encoder.rnn", "decoder"}, "spare was not called"
    assert seen.plot().axes[0].get_legend().get_texts()[0].get_text() == "encoder.rnn, layer 0 forward, h"
    assert seen.calls("spare") == 0
    assert seen.lengths_of("decoder").tolist() == [T] * B
    with pytest.raises(SpecError, match=r"one of encoder\.rnn, decoder, spare, but got None"):
        seen.curve()
    with pytest.raises(SpecError, match="but got 'encoder'"):
        seen.curve(module="encoder")
    with pytest.raises(SpecError, match="'spare' was not"):
        seen.curve(module="spare")


def test_every_call_is_kept_and_an_optimiser_step_between_changes_nothing() -> None:
    """Gradient accumulation, a step and a reused input buffer inside one context."""
    m = made("lstm", 2, batch_first=True)
    optimiser = torch.optim.SGD(m.parameters(), lr=0.5)
    buffer_BTI = torch.zeros(B, T, IN, dtype=torch.float64)
    twins = []
    with rnnlab.watch(m) as seen:
        for i in range(3):
            buffer_BTI.copy_(weighing(buffer_BTI, i))
            twins.append((copy.deepcopy(m), buffer_BTI.clone().transpose(0, 1)))
            m(buffer_BTI)[0].square().sum().backward()
            if i:
                optimiser.step()
    assert seen.calls() == 3
    calls = seen._calls["LSTM"]
    assert calls[0].weights is calls[1].weights, "equal weights are kept once"
    for i, (same, x_TBI) in enumerate(twins):
        twin = Twin(same, x_TBI, [T] * B)
        wanted = twin.gradients(twin.output.square().sum())
        for (layer, direction, state), value in wanted.items():
            for call in (i, i - 3):
                told = seen.hidden_gradients(layer, direction, state, call=call)
                assert float((told - value).abs().max()) < 1e-9
    assert torch.equal(seen.hidden_gradients(), seen.hidden_gradients(call=2))
    for call in (3, -4):
        with pytest.raises(SpecError, match="call must be below 3"):
            seen.curve(call=call)


def test_states_carried_from_call_to_call_and_two_backward_passes() -> None:
    """A decoder called step by step: h_n brings what comes later; passes through one call add up."""
    m = made("lstm")
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    with rnnlab.watch(m) as whole:
        output, _ = m(x_TBI)
        output[2].sum().backward(retain_graph=True)
        early = whole.hidden_gradients()
        output[-1].square().sum().backward()
    assert not early[3:].any()
    with rnnlab.watch(m) as stepwise:
        hx, outputs = None, []
        for x_BI in x_TBI:
            step, hx = m(x_BI[None], hx)
            outputs.append(step[0])
        (outputs[2].sum() + outputs[-1].square().sum()).backward()
    for state in "hc":
        total = torch.cat([stepwise.hidden_gradients(state=state, call=t) for t in range(T)])
        assert float((total - whole.hidden_gradients(state=state)).abs().max()) < 1e-12


def test_in_place_changes_of_the_output_come_after() -> None:
    m = made("gru")
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    with rnnlab.watch(m) as seen:
        output = m(x_TBI)[0]
        output.mul_(3.0)
        output.sum().backward()
    twin = Twin(m, x_TBI, [T] * B)
    agrees(seen, twin, 3 * twin.output.sum(), 1e-9)


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_the_gradient_is_that_of_float64_to_bfloat16s_rounding(kind: str, p: float) -> None:
    """bfloat16 has 8 bits: the loss gradient that arrives is 2^-8 off, and grows over 7 steps and 2 layers to 3%."""
    m = made(kind, 2, torch.float32, bidirectional=True, dropout=p)
    x_TBI = weighing(torch.empty(T, B, IN), 3)
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            m(x_TBI)
    except RuntimeError as error:
        if "could not create a primitive" not in str(error):
            raise
        pytest.skip(f"torch's own {kind} has no bfloat16 on this processor: {error}")
    with rnnlab.watch(m) as seen, torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = m(x_TBI)
        output.float().square().sum().backward()
    assert seen.drift() < 0.02, "with other masks of dropout this would be about 1"
    twin = Twin(m.double(), x_TBI.double(), [T] * B)
    wanted = twin.gradients(twin.output.square().sum())
    for (layer, direction, state), value in wanted.items() if p == 0 else ():
        told = seen.hidden_gradients(layer, direction, state)
        assert float((told - value).abs().max()) <= 0.03 * float(value.abs().max())


def test_a_replay_in_float32() -> None:
    m = made("lstm", 2, torch.float32)
    x_TBI = weighing(torch.empty(T, B, IN), 3)
    with rnnlab.watch(m, dtype=torch.float32) as seen:
        m(x_TBI)[0].square().sum().backward()
    told = seen.hidden_gradients()
    assert told.dtype == torch.float32
    twin = Twin(m.double(), x_TBI.double(), [T] * B)
    wanted = twin.gradients(twin.output.square().sum())[0, 0, "h"]
    assert float((told - wanted).abs().max()) < 1e-5
    with pytest.raises(SpecError, match=r"float64 or torch\.float32, but got torch\.float16"):
        rnnlab.watch(m, dtype=torch.float16)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_in_bfloat16(kind: str) -> None:
    """Against the twin in float64 on the same, already rounded, weights and inputs: 2^-8 a step, here 5%."""
    m = made(kind, 1, torch.bfloat16)
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.bfloat16), 3)
    with rnnlab.watch(m) as seen:
        m(x_TBI)[0].square().sum().backward()
    twin = Twin(m.double(), x_TBI.double(), [T] * B)
    wanted = twin.gradients(twin.output.square().sum())[0, 0, "h"]
    assert float((seen.hidden_gradients() - wanted).abs().max()) <= 0.05 * float(wanted.abs().max())


@pytest.mark.gpu
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_it_is_the_twin_on_a_cpu(kind: str, packed: bool) -> None:
    m = made(kind, 2, bidirectional=True, batch_first=True)
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    twin = Twin(copy.deepcopy(m), x_TBI, LENGTHS if packed else [T] * B)
    c_n = twin.end("c") if kind == "lstm" else None
    loss = loss_on("all", twin.output, twin.end("h"), c_n)
    m = m.cuda()
    with rnnlab.watch(m) as seen:
        loss_on("all", *run(m, x_TBI.cuda(), LENGTHS if packed else None)).backward()
    for place, value in twin.gradients(loss).items():
        assert float((seen.hidden_gradients(*place).cpu() - value).abs().max()) < 1e-9
    assert np.isfinite(seen.curve().log10_SK).all()
    assert seen.anchor_curve().values_SK.shape == (1, T)


def hooks(module: nn.Module) -> dict[str, Any]:
    """Everything in the __dict__ of all modules, containers copied one level."""
    return {
        f"{name}.{key}": copy.copy(value) if isinstance(value, (dict, list, set)) else value
        for name, part in module.named_modules()
        for key, value in part.__dict__.items()
    }


def untouched(before: dict[str, Any], module: nn.Module) -> None:
    after = hooks(module)
    assert list(after) == list(before)
    for key, value in before.items():
        same = value is after[key] or (
            type(value) is type(after[key])
            and len(value) == len(after[key])
            and all(a is b for a, b in zip(value, after[key], strict=True))
        )
        assert same, key


def test_nothing_is_left_on_the_module() -> None:
    model = Model()
    given = hooks(model)
    x_BTI = torch.randn(B, T, IN)
    with rnnlab.watch(model) as seen:
        output = model(x_BTI)
        assert model.decoder._forward_hooks
    untouched(given, model)
    output.sum().backward()  # after the block: the tensors' hooks are gone too
    with pytest.raises(SpecError, match="inside the with block"):
        seen.hidden_gradients(module="decoder")
    model(x_BTI).sum().backward()
    assert seen.calls("decoder") == 1


@pytest.mark.parametrize("when", ["before", "forward", "backward", "after"])
def test_an_exception_passes_through(when: str) -> None:
    model = Model()
    given = hooks(model)

    def fail() -> None:
        raise KeyError(when)

    with pytest.raises((KeyError, RuntimeError)), rnnlab.watch(model) as seen:  # noqa: PT012
        if when == "before":
            fail()
        output = model(torch.randn(B, T, IN + (when == "forward")))
        if when == "backward":
            output.register_hook(lambda _: fail())
        output.sum().backward()
        fail()
    untouched(given, model)
    if when == "after":
        assert seen.hidden_gradients(module="decoder").any()


def test_a_watch_can_be_entered_again_but_not_twice_at_once() -> None:
    m = made("gru")
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    seen = rnnlab.watch(m)
    with seen:
        m(x_TBI)
        with pytest.raises(SpecError, match="this one is open"):
            seen.__enter__()
    with seen:
        assert seen.calls() == 0
        m(x_TBI)[0].sum().backward()
    assert seen.calls() == 1
    assert seen.curve().values_SK.shape == (1, T)


def test_what_is_asked_too_early_or_does_not_exist() -> None:
    m = made("lstm", 2)
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3)
    with rnnlab.watch(m) as seen:
        with pytest.raises(SpecError, match="called inside the with block with gradients enabled, but 'LSTM' was not"):
            seen.hidden_gradients()
        with torch.no_grad():
            m(x_TBI)
        with pytest.raises(SpecError, match="gradients enabled"):
            _ = seen.lengths
        loss = m(x_TBI)[0].sum()
        for ask in (seen.hidden_gradients, seen.curve, seen.to_frame, seen.plot, seen.drift):
            with pytest.raises(SpecError, match=r"call loss\.backward\(\) inside the with block"):
                ask()
        assert seen.anchor_curve().values_SK.shape == (1, T)
        loss.backward()
        assert seen.hidden_gradients().any()
    for match, options in (
        ("layer must be below 2", {"layer": 2}),
        ("layer must be below 2", {"layer": -3}),
        ("direction must be below 1", {"direction": 1}),
        ("state must be one of h, c, but got 'z'", {"state": "z"}),
        ("module must be one of LSTM, but got 'x'", {"module": "x"}),
    ):
        for ask in (seen.hidden_gradients, seen.curve, seen.anchor_curve):
            with pytest.raises(SpecError, match=match):
                ask(**options)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_what_it_refuses_to_watch() -> None:
    scripted = torch.jit.script(nn.LSTM(IN, H))
    traced = torch.jit.trace(nn.Linear(IN, H), torch.zeros(1, IN))
    for module in (scripted, traced, nn.Sequential(nn.Linear(IN, IN), scripted)):
        with pytest.raises(SpecError, match="not scripted or traced"):
            rnnlab.watch(module)
    with pytest.raises(SpecError, match="found none in Linear"):
        rnnlab.watch(nn.Linear(IN, H))
    with pytest.raises(SpecError, match=r"nn\.LSTMCell"):
        rnnlab.watch(nn.LSTMCell(IN, H))
    with pytest.raises(SpecError, match=r"takes an nn\.Module, but got list"):
        rnnlab.watch([])  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="'1' has proj_size=2"):
        rnnlab.watch(nn.Sequential(nn.GRU(IN, IN), nn.LSTM(IN, H, proj_size=2)))
    elsewhere = nn.GRU(IN, H, 2, dropout=0.5, device="meta")
    with pytest.raises(SpecError, match=r"on a CPU only, but 'GRU' has dropout=0.5 on meta"):
        rnnlab.watch(elsewhere)
    with rnnlab.watch(elsewhere.eval()), pytest.raises(SpecError, match="on a CPU only"):
        elsewhere.train()(torch.zeros(T, B, IN, device="meta"))
    # a traced part without a recurrence is none of its business
    assert rnnlab.watch(nn.Sequential(traced, nn.GRU(H, H))).modules == ("1",)


class Alone(nn.GRU):
    """Gives its output alone."""

    def forward(self, *args: Any) -> Any:
        return super().forward(*args)[0]


class Doubled(nn.GRU):
    """Computes something else under torch's name."""

    def forward(self, *args: Any) -> Any:
        output, h_n = super().forward(*args)
        return 2 * output, h_n


def test_a_forward_that_is_not_torchs_is_refused() -> None:
    m = Doubled(IN, H)
    with rnnlab.watch(m) as seen:
        m(torch.randn(T, B, IN))[0].sum().backward()
    with pytest.raises(SpecError, match=r"differ by .* its forward is not torch's own"):
        seen.hidden_gradients()
    with rnnlab.watch(Alone(IN, H)) as seen, pytest.raises(SpecError, match="'Alone' must give an output and its last"):
        next(iter(seen._found.values()))(torch.randn(T, B, IN))


def test_a_chaotic_network_warns_and_says_how_far_it_drifted() -> None:
    torch.manual_seed(0)
    m = nn.RNN(IN, 64)
    with torch.no_grad():
        m.weight_hh_l0.normal_(0, 3 / 8)
    with rnnlab.watch(m) as seen:
        m(torch.randn(200, 2, IN))[0][-1].sum().backward()
    with pytest.warns(UserWarning, match="exact for the replayed trajectory"):
        seen.hidden_gradients()
    assert seen.drift() > 1e-3


def test_a_parametrised_weight_is_read_as_the_kernel_read_it() -> None:
    torch.manual_seed(0)
    m = nn.GRU(IN, H)
    nn.utils.parametrizations.spectral_norm(m, "weight_hh_l0")
    x_TBI = torch.randn(T, B, IN)
    with rnnlab.watch(m) as seen:
        m(x_TBI)[0].sum().backward()
        u = m.parametrizations["weight_hh_l0"][0]._u.clone()
        assert seen.hidden_gradients().any()
    assert torch.equal(u, m.parametrizations["weight_hh_l0"][0]._u)
    assert seen.drift() < 1e-6


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_recomputed_activations_and_an_answer_in_inference_mode(use_reentrant: bool) -> None:
    m = made("lstm", 2)
    x_TBI = weighing(torch.empty(T, B, IN, dtype=torch.float64), 3).requires_grad_()
    with rnnlab.watch(m) as seen:
        output = checkpoint(lambda x: m(x)[0], x_TBI, use_reentrant=use_reentrant)
        output.square().sum().backward()
    assert seen.calls() == 1
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        told = seen.hidden_gradients()
        assert seen.anchor_curve().values_SK.shape == (1, T)
    twin = Twin(m, x_TBI.detach(), [T] * B)
    wanted = twin.gradients(twin.output.square().sum())[0, 0, "h"]
    assert float((told - wanted).abs().max()) < 1e-9


def test_random_networks_agree_with_their_twins() -> None:
    """Many small draws of every option at once."""
    draw = random.Random(0)
    for _ in range(40):
        kind, layers = draw.choice(list(KINDS)), draw.randint(1, 3)
        m = made(
            kind,
            layers,
            bidirectional=draw.random() < 0.5,
            batch_first=draw.random() < 0.5,
            bias=draw.random() < 0.7,
        )
        batch = draw.randint(1, 5)
        lengths = [draw.randint(1, 9) for _ in range(batch)]
        x_TBI = weighing(torch.empty(max(lengths), batch, IN, dtype=torch.float64), draw.randint(0, 99))
        with rnnlab.watch(m) as seen:
            loss_on("all", *run(m, x_TBI, lengths)).backward()
        twin = Twin(m, x_TBI, lengths)
        c_n = twin.end("c") if kind == "lstm" else None
        agrees(seen, twin, loss_on("all", twin.output, twin.end("h"), c_n), 1e-9)
