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
from rnnlab.cells import CELLS
from rnnlab.cells.base import Cell, Limit, States, Weights
from rnnlab.choices import Choice, choose
from rnnlab.errors import SpecError
from rnnlab.inits import BIAS_INITS, INITS
from rnnlab.inits.draws import Draws
from rnnlab.spec import ModelSpec

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "vectors")
"""torch's names of one layer's parameters, and of the vectors that a cell may have, followed by `_l0`, `_l1`, ..."""

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
    """

    def __init__(self, cell: Cell, inputs: int, hidden: int, depth: int, outputs: int | None, theta_SP: Tensor) -> None:
        super().__init__()
        self.cell, self.inputs, self.hidden, self.depth, self.outputs = cell, inputs, hidden, depth, outputs
        self.shapes = parameter_shapes(
            len(cell.gates), inputs, hidden, depth, outputs, len(cell.recurrent), len(cell.vectors)
        )
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
        x = self._over_lanes(x_TSBI)
        for layer, weights in enumerate(self.layers(theta_SP)):
            seen.append(self.cell.scan(weights, x, probes[layer] if probes else None))
            x = seen[-1]["h"]
        return seen

    def top(
        self,
        x_TSBI: Tensor,
        theta_SP: Tensor | None = None,
        probes: Sequence[Tensor] | None = None,
        limit: Limit | None = None,
    ) -> Tensor:
        """h of the top layer (T, S, B, H), on the fastest path that the cell has.

        Args:
            probes: for each layer, zeros (T, S, B, H) whose gradient is the exact total dL/dh_t.
            limit: acts on delta_t at every t of the backward pass; then there are no probes.
        """
        x = self._over_lanes(x_TSBI)
        for layer, weights in enumerate(self.layers(theta_SP)):
            if limit is None:
                x = self.cell.fast(weights, x, probes[layer] if probes else None)
            else:
                x = self.cell.limited(weights, x, limit)
        return x

    def read(self, h_TSBH: Tensor, theta_SP: Tensor | None = None) -> Tensor:
        """The readout of top-layer states: (T, S, B, H) -> (T, S, B, O)."""
        named = self.named(theta_SP)
        return h_TSBH @ named["readout.weight"].transpose(1, 2) + named["readout.bias"][:, None]

    def forward(self, x_TSBI: Tensor) -> Tensor:
        """Outputs (T, S, B, O), or the top layer's h where there is no readout."""
        h_TSBH = self.top(x_TSBI)
        return h_TSBH if self.outputs is None else self.read(h_TSBH)

    def to_torch(self, replicate: int = 0) -> nn.RNN | nn.LSTM | nn.GRU:
        """A torch module with one lane's recurrent weights (time first); its outputs are this network's.

        Raises:
            SpecError: a cell that torch.nn does not have, or an activation that torch.nn.RNN does not.
        """
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

    def _over_lanes(self, x_TSBI: Tensor) -> Tensor:
        return x_TSBI.expand(-1, self.lanes, -1, -1)


def parameter_shapes(
    gates: int,
    inputs: int,
    hidden: int,
    depth: int,
    outputs: int | None,
    recurrent: int | None = None,
    vectors: int = 0,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one lane's parameters, in the order in which `theta` holds them; empty ones are left out.

    Args:
        gates: H-row blocks of W_ih. recurrent: of W_hh; None: as many. vectors: V.
    """
    rows, back = gates * hidden, (gates if recurrent is None else recurrent) * hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(depth):
        wide = ((rows, hidden if layer else inputs), (back, hidden), (rows,), (back,), (vectors, hidden))
        shapes |= {f"{name}_l{layer}": shape for name, shape in zip(WEIGHTS, wide, strict=True) if shape[0]}
    if outputs is not None:
        shapes |= {"readout.weight": (outputs, hidden), "readout.bias": (outputs,)}
    return shapes


def build(spec: ModelSpec, inputs: int, outputs: int | None, length: int, seeds: Sequence[int]) -> Network:
    """A network initialised as `spec` says, a lane a seed, float32.

    Args:
        length: the task's T, which `chrono` needs.
        seeds: of the replicates; a lane's numbers depend on its own seed alone.
    """
    cell = load_cell(spec.cell, spec.activation)
    lanes = [_initial(spec, cell, inputs, outputs, length, seed) for seed in seeds]
    theta_SP = torch.stack(lanes).float()
    return Network(cell, inputs, spec.hidden, spec.depth, outputs, theta_SP)


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
