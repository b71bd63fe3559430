"""One forward call of a watched nn.RNN, nn.LSTM or nn.GRU: what was kept of it, and its replay with our cells.

Everything needed is copied at the forward, so that an optimiser step or a reused buffer changes nothing later.
Shapes: T timesteps, B sequences, I inputs, H hidden, L layers, D directions (2 if bidirectional), F features.
**Scan order** is the order in which a direction reads: time for direction 0, each sequence's own steps from its
last to its first for direction 1. Padding stands behind the sequence in both.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnnlab.cells.base import Cell, States, Weights
from rnnlab.choices import Choice
from rnnlab.errors import SpecError
from rnnlab.model import load_cell
from rnnlab.training.seeding import generator_for

Place = tuple[int, int, str]
"""Layer, direction, state."""
Recurrent = nn.RNN | nn.LSTM | nn.GRU
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Largest difference of a replayed output from the module's, as a share of the largest output."""
COARSE = 0.1
"""The same under autocast and for half types."""


@dataclass(frozen=True)
class Layout:
    """How a call's tensors are turned to (T, B, F) in the caller's order of sequences.

    Args:
        batch_first: of the module; packed sequences have no such axis.
        batched: False for an input (T, I) of one sequence.
        packed: the packed input, whose sizes and order say where each row belongs; None for a plain tensor.
    """

    batch_first: bool
    batched: bool
    packed: PackedSequence | None

    def steps(self, tensor: Tensor) -> Tensor:
        """An input, an output, its gradient or packed rows as (T, B, F); zeros where a sequence has ended."""
        if self.packed is not None:
            _, sizes, order, back = self.packed
            return pad_packed_sequence(PackedSequence(tensor, sizes, order, back))[0]
        if not self.batched:
            return tensor.unsqueeze(1)
        return tensor.transpose(0, 1) if self.batch_first else tensor

    def states(self, tensor: Tensor) -> Tensor:
        """h_0, c_0, h_n, c_n or a gradient there as (L D, B, H)."""
        return tensor if self.batched else tensor.unsqueeze(1)

    def lengths(self, tensor: Tensor) -> Tensor:
        """Timesteps of each sequence, (B,) int64 on the CPU, from the input `tensor`."""
        if self.packed is not None:
            return pad_packed_sequence(self.packed)[1]
        steps, batch = self.steps(tensor).shape[:2]
        return torch.full((batch,), steps)

    def masks(self, lengths_B: Tensor, features: int, count: int, p: float, dtype: torch.dtype) -> list[Tensor]:
        """Dropout between layers, each (T, B, F), drawn from the generator's state as torch draws on a CPU."""
        rows = (int(lengths_B.sum()),) if self.packed else (int(lengths_B.max()), len(lengths_B))
        time_first = Layout(False, True, self.packed)
        drawn = [nn.functional.dropout(torch.ones(*rows, features, dtype=dtype), p, True) for _ in range(count)]
        return [time_first.steps(mask) for mask in drawn]


@dataclass
class Call:
    """One forward call: copies of what went in, what came out, and the gradients that arrived since.

    Args:
        name: of the module, for messages.
        cell: ours, of the module's kind.
        depth: L.
        directions: D.
        weights: the values that the kernel used, one flat copy.
        shapes: of each weight in `weights`, in torch's order.
        stock: whether `forward` is torch's own.
        dropout: between layers, 0 where the module was in evaluation mode.
        rng: the CPU generator's state just before the call; None where nothing was drawn.
        dtype: in which the replay computes.
        x_TBI: the input; zeros where a sequence has ended.
        lengths_B: timesteps of each sequence, int64 on the CPU.
        initial: h_0 and for an LSTM c_0, each (L D, B, H); None for zeros.
        output_TBF: what the module gave, F = D H.
        coarse: whether autocast was on.
    """

    name: str
    cell: Cell
    depth: int
    directions: int
    weights: Tensor
    shapes: list[torch.Size]
    stock: bool
    dropout: float
    rng: Tensor | None
    dtype: torch.dtype
    layout: Layout
    x_TBI: Tensor
    lengths_B: Tensor
    initial: tuple[Tensor, ...] | None
    output_TBF: Tensor
    coarse: bool
    arrived: dict[str, Tensor] = field(default_factory=dict)
    """Gradients at `output`, `h` (that is h_n) and `c` (c_n) as autograd gave them, summed over backward passes."""
    drift: float | None = None
    """Largest difference of the replayed output from the module's, as a share of the largest; None before."""
    _found: dict[Place, Tensor] | None = None

    def arrive(self, name: str, gradient: Tensor) -> None:
        """A tensor hook's target: keeps a copy, changes nothing."""
        copy = gradient.detach().clone()
        self.arrived[name] = self.arrived[name] + copy if name in self.arrived else copy
        self._found = None

    @property
    def places(self) -> list[Place]:
        """Every layer, direction and state."""
        return [(i, d, s) for i in range(self.depth) for d in range(self.directions) for s in self.cell.states]

    @property
    def alive_TB(self) -> Tensor:
        """Whether a sequence has a timestep t, by time or in scan order alike."""
        return torch.arange(len(self.x_TBI))[:, None] < self.lengths_B

    def gradients(self) -> dict[Place, Tensor]:
        """Exact total dL/ds_t at every layer, direction and state, each (T, B, H) by time; 0 in padding.

        Raises:
            SpecError: nothing arrived yet; or the replay does not give the module's outputs.
        """
        if not self.arrived:
            raise SpecError(
                f"a gradient must have arrived at the module, but none reached this call of {self.name!r}: call "
                "loss.backward() inside the with block, on a loss that depends on the module's output"
            )
        if self._found is None:
            with _exactly(self.x_TBI.device):
                self._found = self._gradients()
        return self._found

    def _gradients(self) -> dict[Place, Tensor]:
        probes = {place: self._zeros().requires_grad_() for place in self.places}
        seen, out_TBF = self._replay(probes, dropped=True)
        self._compare(out_TBF.detach())
        ends = {
            state: torch.stack(
                [self._ends(seen[i, d][state]) for i in range(self.depth) for d in range(self.directions)]
            )
            for state in self.cell.states
        }
        roots, weights = [], []
        for name, gradient in self.arrived.items():
            is_output = name == "output"
            roots.append(out_TBF if is_output else ends[name])
            weights.append((self.layout.steps(gradient) if is_output else self.layout.states(gradient)).to(self.dtype))
        found = torch.autograd.grad(roots, list(probes.values()), weights, allow_unused=True, materialize_grads=True)
        return {place: self._in_time(gradient, place[1]) for place, gradient in zip(probes, found, strict=True)}

    def anchored(self, place: Place, seed: int) -> Tensor:
        """d<v_b, s_end>/ds at `place` by lag, (T, B, H); s_end is the top layer's own last state in scan order.

        v is one unit vector a sequence, that of `gradient_curve` with the same seed. The replay is
        without dropout. Behind a sequence's largest lag stand zeros.
        """
        _, direction, state = place
        with _exactly(self.x_TBI.device):
            probe = self._zeros().requires_grad_()
            seen, _ = self._replay({place: probe}, dropped=False)
            end_BH = self._ends(seen[self.depth - 1, direction][state])
            v_BH = torch.randn(end_BH.shape, dtype=torch.float64, generator=generator_for("anchor", seed))
            v_BH = (v_BH / v_BH.norm(dim=1, keepdim=True)).to(end_BH)
            (gradient,) = torch.autograd.grad((end_BH * v_BH).sum(), [probe])
        return self._flip(gradient)

    def _zeros(self) -> Tensor:
        hidden = self.shapes[1][1]
        return self.x_TBI.new_zeros(*self.x_TBI.shape[:2], hidden, dtype=self.dtype)

    def _replay(self, probes: Mapping[Place, Tensor], dropped: bool) -> tuple[dict[tuple[int, int], States], Tensor]:
        """States (T, B, H) in scan order by layer and direction, and the top output (T, B, F) by time."""
        masks: list[Tensor] = []
        if dropped and self.rng is not None:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(self.rng)
                wide, dtype = self.output_TBF.shape[2], self.output_TBF.dtype
                masks = self.layout.masks(self.lengths_B, wide, self.depth - 1, self.dropout, dtype)
        parts = torch.split(self.weights.to(self.dtype), [shape.numel() for shape in self.shapes])
        flat = [part.view(1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        each = len(flat) // (self.depth * self.directions)
        ragged = bool((self.lengths_B < len(self.x_TBI)).any())
        alive_TB1 = self.alive_TB[..., None].to(self.x_TBI.device)
        seen: dict[tuple[int, int], States] = {}
        x_TBF = self.x_TBI.to(self.dtype)
        for layer in range(self.depth):
            outputs = []
            for direction in range(self.directions):
                index = layer * self.directions + direction
                weights = _with_biases(flat[index * each : (index + 1) * each])
                own = {
                    s: probes[layer, direction, s][:, None] for s in self.cell.states if (layer, direction, s) in probes
                }
                initial = self.initial and tuple(s[index][None].to(self.dtype) for s in self.initial)
                read = self._in_time(x_TBF, direction)[:, None].contiguous()
                states = _run(self.cell, weights, read, own, initial)
                seen[layer, direction] = {name: value[:, 0] for name, value in states.items()}
                outputs.append(self._in_time(seen[layer, direction]["h"], direction))
            x_TBF = torch.cat(outputs, -1)
            if ragged:
                x_TBF = torch.where(alive_TB1, x_TBF, 0)
            if masks and layer < self.depth - 1:
                x_TBF = x_TBF * masks[layer].to(x_TBF)
        return seen, x_TBF

    def _compare(self, replayed_TBF: Tensor) -> None:
        """Sets `drift`; large, it is a warning for torch's own forward without dropout, and else an error.

        With those two, rounding alone can drive two trajectories apart (a chaotic or exploding network); in
        the other cases it cannot be told from a different computation.
        """
        told_TBF = self.output_TBF.to(self.dtype)
        finite = told_TBF.isfinite() & replayed_TBF.isfinite()
        largest = torch.where(finite, told_TBF, 0).abs().max()
        apart = torch.where(finite, told_TBF - replayed_TBF, 0).abs().max()
        self.drift = float(apart / largest) if apart else 0.0
        own = COARSE if self.coarse else TOLERANCE.get(self.output_TBF.dtype, COARSE)
        tolerance = max(own, TOLERANCE[self.dtype])
        if self.drift <= tolerance:
            return
        told = (
            f"the replayed outputs of {self.name!r} must agree with the module's to {tolerance:g}, but differ by "
            f"{self.drift:.2g} of the largest"
        )
        if self.stock and self.rng is None:
            why = "rounding has grown along the sequence: the gradients are exact for the replayed trajectory"
            warnings.warn(f"{told}; {why}", stacklevel=4)
            return
        raise SpecError(f"{told}: its forward is not torch's own, or its dropout was drawn in another way")

    def _ends(self, state_TBH: Tensor) -> Tensor:
        """The state after each sequence's own last step in scan order, (B, H)."""
        lengths_B = self.lengths_B.to(state_TBH.device)
        return state_TBH[lengths_B - 1, torch.arange(len(lengths_B), device=state_TBH.device)]

    def _in_time(self, tensor_TBF: Tensor, direction: int) -> Tensor:
        """Scan order to time and back."""
        return self._flip(tensor_TBF) if direction else tensor_TBF

    def _flip(self, tensor_TBF: Tensor) -> Tensor:
        """Every sequence reversed within its own length; padding stays where it is."""
        t_T1 = torch.arange(len(tensor_TBF))[:, None]
        index_TB = torch.where(self.alive_TB, self.lengths_B - 1 - t_T1, t_T1).to(tensor_TBF.device)
        return tensor_TBF.gather(0, index_TB[..., None].expand_as(tensor_TBF))


def keep(
    module: Recurrent,
    name: str,
    rng: Tensor | None,
    dtype: torch.dtype,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
    before: Call | None,
) -> Call:
    """The copy of a forward call that has just ended.

    Args:
        rng: the CPU generator's state before it where dropout was drawn.
        args: positional arguments of the call; with `kwargs` an input and perhaps initial states.
        output: what `forward` gave.
        before: the module's previous call, whose copy of the weights is shared if they are still the same.
    """
    given = args[0] if args else kwargs["input"]
    hx = args[1] if len(args) > 1 else kwargs.get("hx")
    packed = given if isinstance(given, PackedSequence) else None
    data = given if packed is None else packed.data
    layout = Layout(module.batch_first, packed is not None or data.dim() == 3, packed and _detached(packed))
    # what the kernel read: reading the attributes instead would run a parametrisation once more
    flat = [weight.detach() for weight in module._flat_weights if weight is not None]
    weights = torch.cat([weight.flatten() for weight in flat])
    if before is not None and before.weights.dtype == weights.dtype and torch.equal(before.weights, weights):
        weights = before.weights
    states = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
    initial = tuple(layout.states(state.detach()).clone() for state in states) or None
    told = output[0].data if packed is not None else output[0]
    kind = "rnn" if isinstance(module, nn.RNN) else module.mode.lower()
    phi = Choice(kind=module.nonlinearity) if isinstance(module, nn.RNN) else None
    return Call(
        name=name,
        cell=load_cell(Choice(kind=kind), phi),
        depth=module.num_layers,
        directions=2 if module.bidirectional else 1,
        weights=weights,
        shapes=[weight.shape for weight in flat],
        stock=type(module).forward in (nn.RNN.forward, nn.LSTM.forward, nn.GRU.forward),
        dropout=module.dropout if module.training else 0.0,
        rng=rng,
        dtype=dtype,
        layout=layout,
        x_TBI=layout.steps(data.detach()).clone(),
        lengths_B=layout.lengths(data.detach()),
        initial=initial,
        output_TBF=layout.steps(told.detach()).clone(),
        coarse=torch.is_autocast_enabled(told.device.type),
    )


def _detached(packed: PackedSequence) -> PackedSequence:
    """The same sizes and order without the rows' graph."""
    return PackedSequence(packed.data.detach(), *packed[1:])


def _with_biases(parts: list[Tensor]) -> Weights:
    """One layer's weights, with zeros where the module has no biases."""
    if len(parts) == 2:
        zeros = parts[0].new_zeros(1, parts[0].shape[1])
        return Weights(parts[0], parts[1], zeros, zeros)
    return Weights(*parts)


def _run(
    cell: Cell, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor], initial: tuple[Tensor, ...] | None
) -> States:
    """`cell.scan`; step by step through autograd where the states do not begin at zero."""
    if initial is None or not any(bool(state.any()) for state in initial):
        return cell.scan(weights, x_TSBI, probes)
    state, seen = initial, []
    for t, x_SBI in enumerate(x_TSBI):
        after = zip(cell.states, cell.step(weights, x_SBI, state), strict=True)
        state = tuple(value + probes[name][t] if name in probes else value for name, value in after)
        seen.append(state)
    return {name: torch.stack([s[i] for s in seen]) for i, name in enumerate(cell.states)}


@contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """Gradients on, autocast and inference mode off, whatever surrounds the question."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        yield
