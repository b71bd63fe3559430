"""What every cell promises, and the slow, plain way to run one.

Shapes: T timesteps, S lanes, B sequences, I inputs, H hidden units, G rows of the weights (gates times H).
States start at zero. A **probe** is a tensor of zeros added to a state after each step; its gradient is the
exact total dL/ds_t with the state split: at c_t of an LSTM the path through h_t is not counted, since the
probe on h_t counts it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rnnlab.activations.base import Activation
    from rnnlab.inits.draws import Draws, LayerWeights

States = dict[str, Tensor]
"""Every state by name, each (T, S, B, H); `h` is what the next layer and the readout see."""


Limit = Callable[[Tensor], None]
"""What is done in place to delta_t (S, B, G), the gradient at the pre-activations, in a backward pass (of a GRU's
candidate at W_hn h + b_hn)."""


class Weights(NamedTuple):
    """One layer's parameters with torch's names, gate order and two biases, a lane in front.

    G is `gates` times H in the first and third, `recurrent` times H in the second and fourth.
    """

    w_ih_SGI: Tensor
    w_hh_SGH: Tensor
    b_ih_SG: Tensor
    b_hh_SG: Tensor
    vectors_SVH: Tensor = torch.empty(1, 0, 0)
    """Parameters of H numbers each, in the order of `Cell.vectors`; torch's cells have none."""


class Cell(ABC):
    """One timestep of a recurrence, and the fastest way over all of them.

    A cell is made with its activation, None where it takes none, and the options of its table line. Its weights are
    what `gates`, `recurrent` and `vectors` name; only `gates` and `step` must be written.
    """

    gates: ClassVar[tuple[str, ...]]
    """Names of the H-row blocks of W_ih and b_ih, in torch's order."""
    recurrent: ClassVar[tuple[str, ...]]
    """Names of the H-row blocks of W_hh and b_hh; default: `gates`. Where it is empty there are no such parameters."""
    vectors: ClassVar[tuple[str, ...]] = ()
    """Names of parameters of H numbers each."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the states, h first."""
    anchor_state: ClassVar[str] = "h"
    """The state whose G2 curve a verdict reads."""
    judged: ClassVar[tuple[str, ...]] = ()
    """States whose verdicts are compared, and flagged `mixed` where they differ; none: h and `anchor_state`."""
    writes: ClassVar[tuple[str, ...]] = ("i",)
    """Gates that forget the more the wider they open: initialisers of biases turn the sign of theirs."""
    reads_h: ClassVar[bool] = True
    """Whether every step takes W_hh h_(t-1) + b_hh, in all blocks; only then is there a G4 curve."""

    makes_matrix: ClassVar[bool] = False
    """Whether what acts on h_(t-1) is a matrix made of W_hh: to leave columns of W_hh out then drops no unit."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "gates" in vars(cls) and "recurrent" not in vars(cls):
            cls.recurrent = cls.gates

    def __init__(self, activation: Activation | None = None) -> None:
        assert activation is None

    @abstractmethod
    def step(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The states after one timestep, each (S, B, H), differentiable by autograd: the definition."""

    def scan(self, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
        """All states at all timesteps, differentiable once, on the fastest path; equal to `loop`, which it is here.

        Args:
            probes: zeros (T, S, B, H) by state name, whose gradients are wanted. Their values are not read.
        """
        return loop(self, weights, x_TSBI, probes)

    def begin(self, draws: Draws, layer: LayerWeights, length: int, own: bool) -> Tensor:
        """The vectors (V, H) of one layer of one lane at update 0, float64; here zeros.

        Args:
            draws: what may be drawn. length: the task's T.
            layer: its other weights as the init left them, which a cell may change in place where `own`.
            own: whether the init is `default`, which then means the start that the cell's source gives it.
        """
        return torch.zeros(len(self.vectors), draws.hidden, dtype=torch.float64)

    def pre_activations(self, weights: Weights, x_SBI: Tensor, state: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """What the sigmoid of each gate acts on, phi of `h` and the tanh of `g`, `n` and `c`, each (S, B, H).

        The probe `saturation` reads it. Here the sum of what x and h give, gate by gate; nothing where W_hh has
        blocks of its own or reads something else.

        Args:
            state: that before the step.
        """
        if not self.reads_h or self.recurrent != self.gates:
            return {}
        return dict(zip(self.gates, summed(weights, x_SBI, state[0]), strict=True))

    def fast(self, weights: Weights, x_TSBI: Tensor, probe_TSBH: Tensor | None = None) -> Tensor:
        """h alone at all timesteps (T, S, B, H), on the path that training takes; equal to `scan`.

        Args:
            probe_TSBH: zeros whose gradient is the exact total dL/dh_t.
        """
        return self.scan(weights, x_TSBI, None if probe_TSBH is None else {"h": probe_TSBH})["h"]

    def onward(self, weights: Weights, x_TSBI: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """h at all timesteps (T, S, B, H) from the states before the first one on, and the states after the last.

        What gradient checkpointing runs a segment with. Here timestep by timestep through autograd.
        """
        seen = []
        for x_SBI in x_TSBI:
            state = self.step(weights, x_SBI, state)
            seen.append(state[0])
        return torch.stack(seen), state

    def folded(self, weights: Weights) -> tuple[Cell, Weights]:
        """A cell and weights that run as this cell with `weights`; here the same ones.

        For a cell that makes a matrix of its weights: made here, once a sequence and not in every segment.
        """
        return self, weights

    def limited(self, weights: Weights, x_TSBI: Tensor, limit: Limit) -> Tensor:
        """h alone as `fast`; `limit` acts on delta_t at every t, last first, before delta_(t-1) follows from it.

        Only the cells that the table of clips names beside its per-timestep clip have it.
        """
        raise NotImplementedError


def loop(cell: Cell, weights: Weights, x_TSBI: Tensor, probes: Mapping[str, Tensor] | None = None) -> States:
    """The same as `cell.scan`, timestep by timestep through autograd: slow, and what tests compare with."""
    hidden = weights.w_hh_SGH.shape[-1]
    zero = x_TSBI.new_zeros(*x_TSBI.shape[1:3], hidden)
    state = tuple(zero for _ in cell.states)
    seen: list[tuple[Tensor, ...]] = []
    for t, x_SBI in enumerate(x_TSBI):
        state = cell.step(weights, x_SBI, state)
        if probes is not None:
            state = tuple(
                value + probes[name][t] if name in probes else value
                for name, value in zip(cell.states, state, strict=True)
            )
        seen.append(state)
    return {name: torch.stack([s[i] for s in seen]) for i, name in enumerate(cell.states)}


def affine(weights_SGI: Tensor, bias_SG: Tensor, x_SBI: Tensor) -> Tensor:
    """x W^T + b in every lane: (S, B, I) -> (S, B, G)."""
    return torch.baddbmm(bias_SG[:, None], x_SBI, weights_SGI.transpose(1, 2))


def affine_over_time(weights_SGI: Tensor, bias_SG: Tensor, x_TSBI: Tensor) -> Tensor:
    """The same at all timesteps in one product a lane: (T, S, B, I) -> (T, S, B, G), differentiable by autograd."""
    flat_SNG = affine(weights_SGI, bias_SG, x_TSBI.transpose(0, 1).flatten(1, 2))
    return flat_SNG.view(len(flat_SNG), len(x_TSBI), -1, flat_SNG.shape[-1]).transpose(0, 1)


def summed(weights: Weights, x_SBI: Tensor, h_SBH: Tensor) -> tuple[Tensor, ...]:
    """W_ih x + b_ih + W_hh h + b_hh, block by block, each (S, B, H)."""
    w_ih, w_hh, b_ih, b_hh, _ = weights
    rows = affine(w_ih, b_ih, x_SBI) + affine(w_hh, b_hh, h_SBH)
    return rows.chunk(rows.shape[-1] // h_SBH.shape[-1], -1)


def vectors_of(weights: Weights) -> tuple[Tensor, ...]:
    """The vectors, each (S, 1, H), so that they act on every sequence."""
    return weights.vectors_SVH.unsqueeze(2).unbind(1)


def project(weights_SGI: Tensor, bias_SG: Tensor, x_TSBI: Tensor) -> Tensor:
    """x W^T + b at all timesteps in one product a lane: (T, S, B, I) -> (S, T, B, G), lanes first.

    Columns for which there is a bias but no row of W hold the bias alone.
    """
    steps, lanes, batch, inputs = x_TSBI.shape
    rows = weights_SGI.shape[1]
    x_SNI = x_TSBI.transpose(0, 1).reshape(lanes, steps * batch, inputs)
    a_SNG = x_TSBI.new_empty(lanes, steps * batch, bias_SG.shape[1])
    torch.baddbmm(bias_SG[:, None, :rows], x_SNI, weights_SGI.transpose(1, 2), out=a_SNG[..., :rows])
    a_SNG[..., rows:] = bias_SG[:, None, rows:]
    return a_SNG.view(lanes, steps, batch, -1)


def through_sigmoid(g: Tensor, s: Tensor, out: Tensor) -> Tensor:
    """g s(1 - s) written to `out`, in one pass: back through s = sigmoid(a)."""
    return torch.ops.aten.sigmoid_backward.grad_input(g, s, grad_input=out)  # type: ignore[no-any-return]


def through_tanh(g: Tensor, y: Tensor, out: Tensor) -> Tensor:
    """g (1 - y²) written to `out`, in one pass: back through y = tanh(a)."""
    return torch.ops.aten.tanh_backward.grad_input(g, y, grad_input=out)  # type: ignore[no-any-return]


def outer_sum(delta_TSBG: Tensor, x_TSBI: Tensor) -> Tensor:
    """Sum over T and B of delta x^T in every lane, (S, G, I): a weight's gradient, one product a lane; on a GPU one."""
    lanes = delta_TSBG.shape[1]
    if delta_TSBG.device.type != "cpu":
        delta_SNG, x_SNI = (part.transpose(0, 1).flatten(1, 2) for part in (delta_TSBG, x_TSBI))
        return torch.bmm(delta_SNG.transpose(1, 2), x_SNI)
    # x^T delta and not its transpose: with few inputs it takes a sixth of the time
    sums = [x_TSBI[:, lane].flatten(0, 1).T @ delta_TSBG[:, lane].flatten(0, 1) for lane in range(lanes)]
    return (sums[0][None] if lanes == 1 else torch.stack(sums)).transpose(1, 2)


def back_project(delta_TSBG: Tensor, weights_SGI: Tensor) -> Tensor:
    """delta W in every lane, the gradient at the inputs: (T, S, B, G) -> (T, S, B, I)."""
    steps, lanes, batch, _ = delta_TSBG.shape
    if delta_TSBG.device.type != "cpu":
        dx_SNI = torch.bmm(delta_TSBG.transpose(0, 1).flatten(1, 2), weights_SGI)
        return dx_SNI.view(lanes, steps, batch, -1).transpose(0, 1)
    dx_TSBI = delta_TSBG.new_empty(steps, lanes, batch, weights_SGI.shape[-1])
    for lane in range(lanes):
        torch.matmul(delta_TSBG[:, lane], weights_SGI[lane], out=dx_TSBI[:, lane])
    return dx_TSBI


CACHED = 65_536
"""Numbers of one state that a block of timesteps may hold: about a quarter of a megabyte in float32."""


def cached_blocks(h_TSBH: Tensor) -> list[tuple[int, int]]:
    """Blocks [start, stop) of timesteps, last first, whose states stay in a cache; on a GPU one: its operations are
    few and large."""
    steps = len(h_TSBH)
    size = max(1, CACHED // h_TSBH[0].numel()) if h_TSBH.device.type == "cpu" else steps
    return [(max(0, stop - size), stop) for stop in range(steps, 0, -size)]
