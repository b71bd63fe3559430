"""A recurrent network with lanes: cells stacked in depth, a linear readout, and one flat parameter.

Lanes are networks computed side by side. All numbers of all lanes stand in `theta` (S, P), a row a lane, so
that an optimiser, a clip or a dtype is one operation over rows, and the weights that cells read are views.
Shapes: T timesteps, S lanes, B sequences, I inputs, H hidden, O outputs, L layers, P parameters of a lane.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rnnlab.activations import ACTIVATIONS
from rnnlab.architecture import PLAIN, Architecture, drawn, load_architecture
from rnnlab.cells import CELLS
from rnnlab.cells.base import Cell, Limit, States, Weights
from rnnlab.cells.zoneout import Zoneout
from rnnlab.choices import Choice, choose
from rnnlab.errors import SpecError
from rnnlab.inits import BIAS_INITS, INITS
from rnnlab.inits.draws import Draws
from rnnlab.parameters import WEIGHTS, between_shapes, parameter_shapes
from rnnlab.spec import ModelSpec
from rnnlab.unrolling import Windows, interleaved, restored

IN_TORCH = ("rnn", "lstm", "gru")
"""Cells that torch.nn has."""


def load_cell(cell: Choice, activation: Choice | None) -> Cell:
    """The cell that two choices name."""
    phi = choose(ACTIVATIONS, activation.kind).load()(**activation.options) if activation else None
    return choose(CELLS, cell.kind).load()(phi, **cell.options)  # type: ignore[no-any-return]


class Network(nn.Module):
    """Cells stacked in depth over lanes, and a readout O = W h + b of the top layer where outputs are given.

    Args:
        cell: what one timestep computes.
        inputs: I.
        hidden: H, the same in every layer.
        depth: L.
        outputs: O; None for a network without a readout.
        theta_SP: parameters of every lane in the order of `shapes`; dtype and lanes are taken from it.
        architecture: how layers are joined and run through time.
    """

    def __init__(
        self,
        cell: Cell,
        inputs: int,
        hidden: int,
        depth: int,
        outputs: int | None,
        theta_SP: Tensor,
        architecture: Architecture = PLAIN,
    ) -> None:
        super().__init__()
        self.cell, self.architecture = architecture.around(cell), architecture
        self.inputs, self.hidden, self.depth, self.outputs = inputs, hidden, depth, outputs
        self.shapes = parameter_shapes(
            len(cell.gates), inputs, hidden, depth, outputs, len(cell.recurrent), len(cell.vectors)
        )
        self.shapes |= between_shapes(architecture, hidden, depth)
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]
        if theta_SP.shape[1] != sum(self._sizes):
            raise ValueError(f"theta must have {sum(self._sizes)} columns, but has {theta_SP.shape[1]}")
        self.theta = nn.Parameter(theta_SP)

    @property
    def lanes(self) -> int:
        """S, networks computed side by side."""
        return self.theta.shape[0]

    def named(self, theta_SP: Tensor | None = None) -> dict[str, Tensor]:
        """Parameters by torch's names, each a view (S, ...) of `theta_SP` (default: the network's own)."""
        theta = self.theta if theta_SP is None else theta_SP
        parts: Sequence[Tensor] = torch.split(theta, self._sizes, 1)
        return {name: part.reshape(-1, *shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def layers(self, theta_SP: Tensor | None = None) -> list[Weights]:
        """The weights of every layer, bottom first."""
        named = self.named(theta_SP)
        none_S0H = self.theta.new_empty(self.lanes, 0, self.hidden)
        absent = {"weight_hh": none_S0H, "bias_hh": none_S0H[..., 0], "vectors": none_S0H}
        return [
            Weights(*(named[f"{name}_l{i}"] if f"{name}_l{i}" in named else absent[name] for name in WEIGHTS))
            for i in range(self.depth)
        ]

    def states(
        self,
        x_TSBI: Tensor,
        theta_SP: Tensor | None = None,
        probes: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> list[States]:
        """All states of all layers, bottom first, each (T, S, B, H).

        Args:
            x_TSBI: inputs; the lane axis may be 1, and is then the same for every lane.
            probes: for each layer, zeros (T, S, B, H) by state whose gradients are the exact total dL/ds_t.
        """
        seen: list[States] = []
        named, x = self._connections(theta_SP), self._over_lanes(x_TSBI)
        if self.architecture.truncate and torch.is_grad_enabled():
            return self._in_windows(x, theta_SP, probes)
        for layer, weights in enumerate(self.layers(theta_SP)):
            seen.append(self._scan(layer, weights, x, probes[layer] if probes else None))
            x = self.connected(layer, named, x, seen[-1]["h"])
        return seen

    def reads(self, x_TSBI: Tensor, seen: Sequence[States], theta_SP: Tensor | None = None) -> list[Tensor]:
        """What every layer reads, bottom first, and last what the readout reads, at the states `seen`."""
        named, found = self._connections(theta_SP), [self._over_lanes(x_TSBI)]
        for layer, states in enumerate(seen):
            found.append(self.connected(layer, named, found[-1], states["h"]))
        return found

    def connected(self, layer: int, named: Mapping[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        """What stands above a layer that read x and gave h: x^(l+1).

        Args:
            named: parameters by name. x, h: (T, S, B, ·), or one timestep's (S, B, ·).
        """
        if not layer:
            return h
        between = self.architecture.between
        own = {name: named[f"between.{name}_l{layer}"] for name in between.shapes(self.hidden)}
        return between(own, x, h)

    def top(
        self,
        x_TSBI: Tensor,
        theta_SP: Tensor | None = None,
        probes: Sequence[Tensor] | None = None,
        limit: Limit | None = None,
        noise: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """What the readout reads (T, S, B, H), h of the top layer in a plain stack, on the fastest path there is.

        The arguments are those of `run`.
        """
        return self.run(x_TSBI, theta_SP, probes, limit, noise)[1]

    def run(
        self,
        x_TSBI: Tensor,
        theta_SP: Tensor | None = None,
        probes: Sequence[Tensor] | None = None,
        limit: Limit | None = None,
        noise: Sequence[torch.Generator] | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """h of every layer, bottom first, and what the readout reads, each (T, S, B, H).

        Args:
            probes: for each layer, zeros (T, S, B, H) whose gradient is the exact total dL/dh_t.
            limit: acts on delta_t at every t of the backward pass; then there are no probes.
            noise: of every lane, what masks of zoneout and dropout are drawn from; None: evaluation.
        """
        x, named, architecture = self._over_lanes(x_TSBI), self._connections(theta_SP), self.architecture
        if architecture.truncate and torch.is_grad_enabled():
            by_name = None if probes is None else [{"h": probe} for probe in probes]
            seen = self._in_windows(x, theta_SP, by_name, noise)
            return [states["h"] for states in seen], self.reads(x, seen, theta_SP)[-1]
        found: list[Tensor] = []
        for layer, weights in enumerate(self.layers(theta_SP)):
            probe = probes[layer] if probes else None
            d, masks = architecture.stride(layer), None
            if noise is not None and architecture.noisy:
                weights = architecture.dropped(weights, noise)
                masks = drawn(self.cell, x, self.hidden, noise)
            if masks is not None:
                h = self._scan(layer, weights, x, None if probe is None else {"h": probe}, masks)["h"]
            elif d > 1:
                below = interleaved(x, d)
                at = None if probe is None else interleaved(probe, d)
                h = self.cell.fast(weights, below, at) if limit is None else self.cell.limited(weights, below, limit)
                h = restored(h, d, len(x))
            elif limit is None:
                h = self.cell.fast(weights, x, probe)
            else:
                h = self.cell.limited(weights, x, limit)
            found.append(h)
            x = self.connected(layer, named, x, h)
        return found, x

    def _scan(
        self,
        layer: int,
        weights: Weights,
        x_TSBI: Tensor,
        probes: Mapping[str, Tensor] | None,
        masks: Sequence[Tensor] | None = None,
    ) -> States:
        """All states of one layer (T, S, B, H), strided where the layer is."""
        d, steps = self.architecture.stride(layer), len(x_TSBI)
        if d > 1:
            x_TSBI = interleaved(x_TSBI, d)
            probes = probes and {name: interleaved(probe, d) for name, probe in probes.items()}
            masks = masks and [interleaved(mask, d) for mask in masks]
        if masks is None:
            seen = self.cell.scan(weights, x_TSBI, probes)
        else:
            assert isinstance(self.cell, Zoneout)
            seen = self.cell.noisy(weights, x_TSBI, masks, probes)
        return {name: restored(state, d, steps) for name, state in seen.items()} if d > 1 else seen

    def _in_windows(
        self,
        x_TSBI: Tensor,
        theta_SP: Tensor | None,
        probes: Sequence[Mapping[str, Tensor]] | None,
        noise: Sequence[torch.Generator] | None = None,
    ) -> list[States]:
        """All states of all layers, whose gradients go back as far as truncated backpropagation lets them."""
        assert self.architecture.truncate is not None
        steps, _, batch, _ = x_TSBI.shape
        windows = Windows(steps, *self.architecture.truncate)
        named, seen = self.named(theta_SP), []
        whole, x = x_TSBI, windows.cut(x_TSBI)
        for layer, weights in enumerate(self.layers(theta_SP)):
            masks = None
            if noise is not None and self.architecture.noisy:
                weights = self.architecture.dropped(weights, noise)
                masks = drawn(self.cell, x_TSBI, self.hidden, noise)
            with torch.no_grad():
                states = self._scan(layer, weights, whole, None, masks)
                whole = self.connected(layer, named, whole, states["h"])
            by_name = probes[layer] if probes else None
            found = windows.run(self.cell, weights, x, states, self.architecture.stride(layer), by_name, masks)
            x = self.connected(layer, named, x, found["h"])
            seen.append({name: windows.joined(state, batch) for name, state in found.items()})
        return seen

    def read(self, h_TSBH: Tensor, theta_SP: Tensor | None = None) -> Tensor:
        """The readout of top-layer states: (T, S, B, H) -> (T, S, B, O)."""
        return self.readout(self.named(theta_SP), h_TSBH)

    def readout(self, named: Mapping[str, Tensor], h_TSBH: Tensor) -> Tensor:
        """The same with parameters by name."""
        return h_TSBH @ named["readout.weight"].transpose(1, 2) + named["readout.bias"][:, None]

    def forward(self, x_TSBI: Tensor) -> Tensor:
        """Outputs (T, S, B, O), or the top layer's h where there is no readout."""
        h_TSBH = self.top(x_TSBI)
        return h_TSBH if self.outputs is None else self.read(h_TSBH)

    def to_torch(self, replicate: int = 0) -> nn.RNN | nn.LSTM | nn.GRU:
        """A torch module with one lane's recurrent weights (time first); its outputs are this network's.

        Raises:
            SpecError: a cell, an architecture or an activation that torch.nn does not have.
        """
        if not self.architecture.known_to_torch:
            raise SpecError("torch's modules are plain stacks, but this network has connections, zoneout or dilation")
        kind = next((name.upper() for name in IN_TORCH if type(self.cell) is CELLS[name].load()), None)
        if kind is None:
            raise SpecError(
                f"torch.nn has the cells {', '.join(IN_TORCH)}, but this network has {type(self.cell).__name__}; "
                "call the network itself, or keep one lane of it with rnnlab.exported.OneLane"
            )
        options: dict[str, Any] = {}
        if kind == "RNN":
            phi = type(self.cell.activation).__name__.lower()  # type: ignore[attr-defined]
            if phi not in ("tanh", "relu"):
                raise SpecError(f"torch.nn.RNN has the activations tanh and relu, but this network has {phi}")
            options["nonlinearity"] = phi
        made: nn.RNN | nn.LSTM | nn.GRU = getattr(nn, kind)(self.inputs, self.hidden, self.depth, **options)
        made.to(self.theta.dtype)
        with torch.no_grad():
            for name, value in self.named().items():
                if not name.startswith("readout"):
                    getattr(made, name).copy_(value[replicate])
        return made

    def _connections(self, theta_SP: Tensor | None) -> Mapping[str, Tensor]:
        """Parameters by name where connections have some; most have none, and a small network feels the views."""
        return self.named(theta_SP) if self.architecture.between.shapes(self.hidden) else {}

    def _over_lanes(self, x_TSBI: Tensor) -> Tensor:
        return x_TSBI.expand(-1, self.lanes, -1, -1)


def build(
    spec: ModelSpec | Sequence[ModelSpec],
    inputs: int,
    outputs: int | None,
    length: int,
    seeds: Sequence[int],
    device: torch.device | str = "cpu",
) -> Network:
    """A network initialised as `spec` says, a lane a seed, float32.

    Args:
        spec: of all lanes, or one a lane; these differ in nothing but `init` and `bias_init`.
        length: the task's T, which `chrono` needs.
        seeds: of the replicates; a lane's numbers depend on its own seed alone.
        device: where the parameters lie; they are drawn on the CPU, so that they are the same everywhere.
    """
    specs = [spec] * len(seeds) if isinstance(spec, ModelSpec) else list(spec)
    spec = specs[0]
    cell = load_cell(spec.cell, spec.activation)
    architecture = load_architecture(spec)
    lanes = [_initial(own, cell, inputs, outputs, length, seed) for own, seed in zip(specs, seeds, strict=True)]
    if architecture.between.shapes(spec.hidden):
        lanes = [
            torch.cat([lane, _connections(spec, architecture, seed)]) for lane, seed in zip(lanes, seeds, strict=True)
        ]
    theta_SP = torch.stack(lanes).float().to(device)
    return Network(cell, inputs, spec.hidden, spec.depth, outputs, theta_SP, architecture)


def _connections(spec: ModelSpec, architecture: Architecture, seed: int) -> Tensor:
    """One lane's parameters of the connections between layers, float64, (P,)."""
    begun = [
        architecture.between.begin(Draws(seed, layer, (), spec.hidden, spec.hidden)) for layer in range(1, spec.depth)
    ]
    parts = [own[name].flatten() for own in begun for name in architecture.between.shapes(spec.hidden)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def _initial(spec: ModelSpec, cell: Cell, inputs: int, outputs: int | None, length: int, seed: int) -> Tensor:
    """One lane's parameters, float64, (P,)."""
    init = choose(INITS, spec.init.kind).load()
    bias_init = choose(BIAS_INITS, spec.bias_init.kind).load()
    parts: list[Tensor] = []
    for layer in range(spec.depth):
        below = spec.hidden if layer else inputs
        draws = Draws(seed, layer, cell.gates, below, spec.hidden, spec.activation, cell.recurrent, cell.writes)
        weights = init(draws, **spec.init.options)
        vectors_VH = cell.begin(draws, weights, length, own=spec.init.kind == "default")
        bias_init(draws, weights, length, **spec.bias_init.options)
        parts += [weights.w_ih_GI, weights.w_hh_GH, weights.b_ih_G, weights.b_hh_G, vectors_VH]
    if outputs is not None:
        # the readout begins as torch.nn.Linear does, with the same draws under every init
        draws = Draws(seed, -1, (), spec.hidden, spec.hidden)
        bound = spec.hidden**-0.5
        parts += [
            bound * draws.uniform("weight", outputs, spec.hidden),
            bound * draws.uniform("bias", outputs),
        ]
    return torch.cat([part.flatten() for part in parts])


def from_torch(module: nn.RNN | nn.LSTM | nn.GRU) -> Network:
    """A one-lane network without a readout that gives the outputs of a torch module, to rounding.

    Weights are copied; dtype is kept; missing biases become zeros.

    Raises:
        SpecError: not an nn.RNN, nn.LSTM or nn.GRU, or one with two directions, a projection or dropout.
    """
    if not isinstance(module, (nn.RNN, nn.LSTM, nn.GRU)):
        raise SpecError(f"an nn.RNN, nn.LSTM or nn.GRU is required, but got {type(module).__name__}")
    kind = "rnn" if isinstance(module, nn.RNN) else module.mode.lower()
    if module.bidirectional or module.proj_size or (module.dropout and module.num_layers > 1):
        raise SpecError(
            "from_torch takes one direction, no projection and no dropout, but got "
            f"bidirectional={module.bidirectional}, proj_size={module.proj_size}, dropout={module.dropout}"
        )
    phi = Choice(kind=module.nonlinearity) if isinstance(module, nn.RNN) else None
    cell = load_cell(Choice(kind=kind), phi)
    size, depth = module.hidden_size, module.num_layers
    shapes = parameter_shapes(len(cell.gates), module.input_size, size, depth, None)
    like: Tensor = next(module.parameters())
    parts = [
        getattr(module, name).detach() if hasattr(module, name) else like.new_zeros(shape)
        for name, shape in shapes.items()
    ]
    theta_SP = torch.cat([part.flatten() for part in parts])[None]
    return Network(cell, module.input_size, size, depth, None, theta_SP.clone())
