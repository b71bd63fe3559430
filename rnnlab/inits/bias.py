"""Initialisations of the gate biases, applied after the weights have theirs.

torch has two biases a gate, b_ih and b_hh, which are summed: a value goes into b_ih and 0 into b_hh, else a
forget bias of 1 acts as 2.
"""

from __future__ import annotations

from torch import Tensor

from rnnlab.inits.draws import Draws, LayerWeights


def default(draws: Draws, layer: LayerWeights, length: int) -> None:
    """The biases stay as the weights' initialiser left them."""


def forget_bias(draws: Draws, layer: LayerWeights, length: int, value: float = 1.0) -> None:
    """The forget gate's bias is `value` in all; the other gates keep theirs. Source: Gers 2000."""
    _set(draws, layer, "f", value)


def chrono(draws: Draws, layer: LayerWeights, length: int, T_max: int | None = None) -> None:
    """LSTM: b_f ~ log U(1, T_max - 1), b_i = -b_f. GRU: b_z = +log U, for torch's z keeps. Others 0.

    The sign of each cell is its own: a gate that it names in `writes` gets the negative (f of an MGU, z of a minGRU).
    Papers that write h' = (1 - z) h + z n have the opposite sign at z.

    Args:
        length: the task's T, which `T_max` is where it is not given.
        T_max: the longest memory, in steps, at least 3.

    Source: Tallec & Ollivier 2018.
    """
    longest = max(3, T_max or length)
    uniform = (draws.uniform("chrono", draws.hidden) + 1) / 2
    log_time = (1 + uniform * (longest - 2)).log()
    layer.b_ih_G.zero_()
    layer.b_hh_G.zero_()
    _keep(draws, layer, log_time)


def uniform_gate(draws: Draws, layer: LayerWeights, length: int) -> None:
    """LSTM: b_f = logit(u), u ~ U(1/H, 1 - 1/H), b_i = -b_f. GRU: b_z = logit(u). The other gates keep theirs.

    So the keep gates of a layer begin uniform between 0 and 1, and their times 1 / (1 - u) spread over 1 to H, as no
    common bias does. Also called UGI. Source: Gu 2020, section 3.1.
    """
    least = min(1 / draws.hidden, 0.5)
    u = 0.5 + (0.5 - least) * draws.uniform("uniform_gate", draws.hidden)
    _keep(draws, layer, u.logit())


def _keep(draws: Draws, layer: LayerWeights, bias_H: Tensor) -> None:
    """The gate that keeps gets `bias_H` in all, the one that writes its negative; torch's z keeps."""
    keeping = [gate for gate in ("f", "z") if gate in draws.gates and gate not in draws.writes]
    writing = [gate for gate in draws.writes if gate in draws.gates]
    for gate, part_H in [(gate, bias_H) for gate in keeping] + [(gate, -bias_H) for gate in writing]:
        _set(draws, layer, gate, part_H)


def _set(draws: Draws, layer: LayerWeights, gate: str, bias: Tensor | float) -> None:
    """One gate's bias in all: `bias` in b_ih, 0 in b_hh where that has the gate."""
    _block(layer.b_ih_G, draws, draws.gates, gate)[:] = bias
    if gate in draws.back:
        _block(layer.b_hh_G, draws, draws.back, gate).zero_()


def _block(bias_G: Tensor, draws: Draws, names: tuple[str, ...], gate: str) -> Tensor:
    start = names.index(gate) * draws.hidden
    return bias_G[start : start + draws.hidden]
