"""What theory says of a G2 curve at initialisation: mean field for a plain RNN, the forget gate for an LSTM.

No torch: everything follows from a `ModelSpec` and the second moment of the inputs (SCIENCE.md sections 4.5, 4.6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlab.cells import CELLS
from rnnlab.choices import Choice, parse_choice
from rnnlab.spec import ModelSpec

Array = NDArray[np.float64]
NODES = 201
"""Points of the Gauss-Hermite rule for means over z ~ N(0, 1)."""
FIELDS = {"cell", "activation", "hidden", "depth", "init", "bias_init"}
"""Fields of a `ModelSpec` that theory knows of; where another one is not at its default, theory is silent."""

BOUNDED: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "softsign": (lambda a: a / (1 + np.abs(a)), lambda a: (1 + np.abs(a)) ** -2.0),
    "sin": (np.sin, np.cos),
}
"""phi and phi' of activations within -1 and 1 whose means are taken by quadrature."""

SIGMAS: dict[str, Callable[[Choice, int, int], tuple[float, float, float]]] = {
    "default": lambda init, inputs, hidden: (1 / 3, 1 / (3 * hidden), 2 / (3 * hidden)),
    "glorot": lambda init, inputs, hidden: (1.0, 2 / (inputs + hidden), 0.0),
    "orthogonal": lambda init, inputs, hidden: (init.options["gain"] ** 2, 2 / (inputs + hidden), 0.0),
    "he": lambda init, inputs, hidden: (2.0, 2 / inputs, 0.0),
    "normal": lambda init, inputs, hidden: (hidden * init.options["std"] ** 2, init.options["std"] ** 2, 0.0),
}
"""Init -> sigma_w^2 = H Var W_hh, Var W_ih, and the variance of both biases summed. The identity is not random."""


@dataclass(frozen=True)
class MeanField:
    """The fixed point of a wide random network: q*, the variance of a pre-activation, and chi1."""

    q: float
    chi1: float

    @property
    def factor(self) -> float:
        """sqrt(chi1), the RMS factor of a gradient's norm a step."""
        return math.sqrt(self.chi1)


@dataclass(frozen=True)
class Theory:
    """What theory expects of a G2 curve: log10 of the norm at lag k = 0, 1, ... relative to lag 0, and its name."""

    label: str
    log10_K: Array


def mean_field(activation: Choice, sigma_w: float, s_in2: float) -> MeanField | None:
    """q* = sigma_w^2 E phi(sqrt(q*) z)^2 + s_in^2 and chi1 = sigma_w^2 E phi'(sqrt(q*) z)^2, z ~ N(0, 1).

    q* is the stable fixed point, infinite where an unbounded activation has none; the weights are taken as
    drawn anew each step, which is exact for infinite width. At H = 128 the vanishing side is under-predicted
    (.81 where .86 is measured).

    Args:
        activation: one of `BOUNDED`, relu, leaky_relu or linear; None is the answer for others.
        sigma_w: sqrt(H Var W_hh).
        s_in2: the variance that inputs and biases give a pre-activation.

    Source: Poole 2016; Chen 2018.
    """
    square = sigma_w**2
    slopes = {"linear": 1.0, "relu": 0.0, "leaky_relu": activation.options.get("slope", 0.0)}
    if activation.kind in slopes:
        chi1 = square * (1 + slopes[activation.kind] ** 2) / 2  # E phi^2 = q E phi'^2: phi is linear on each side
        return MeanField(s_in2 / (1 - chi1) if chi1 < 1 else (math.inf if s_in2 else 0.0), chi1)
    if activation.kind not in BOUNDED:
        return None
    phi, slope = BOUNDED[activation.kind]
    q = _fixed_point(lambda q: square * _mean(phi, q) + s_in2, s_in2, square + s_in2)
    return MeanField(q, square * _mean(slope, q))


def critical_sigma_w(activation: Choice, s_in2: float) -> float:
    """The sigma_w at which chi1 = 1 for a given input, from 1 to 10; inputs raise it."""
    from scipy.optimize import brentq

    def above(sigma_w: float) -> float:
        found = mean_field(activation, sigma_w, s_in2)
        assert found is not None
        return found.chi1 - 1

    # without an input a bounded activation is critical at exactly 1, where rounding decides the sign
    return 1.0 if above(1.0) > -1e-12 else float(brentq(above, 1.0, 10.0, xtol=1e-10))


def input_variance(init: Choice, inputs: int, hidden: int, second_moment: float) -> float:
    """s_in^2: what W_ih x + b adds to the variance of a pre-activation.

    Args:
        second_moment: mean of x^2 over everything that is fed in.
    """
    _, var_w_ih, var_b = SIGMAS[init.kind](init, inputs, hidden)
    return inputs * var_w_ih * second_moment + var_b


def theory_of(model: ModelSpec, inputs: int, second_moment: float, length: int) -> Theory | None:
    """The line for a network's G2 curve at initialisation, lags 0 to `length` - 1; None where theory has none.

    Theory speaks of one layer: sqrt(chi1)^k for h of a plain RNN with random weights, and the forget gate
    alone for c of an LSTM, which is exact for W = 0 and leaves out the loop c -> h -> gates.

    Args:
        inputs: I. second_moment: mean of x^2. length: the task's T, which `chrono` needs too.
    """
    if model.depth > 1 or not _plain(model):
        return None
    lags: Array = np.arange(length, dtype=np.float64)
    if model.cell.kind == "lstm":
        return _forget_gate(model.bias_init, lags)
    if model.cell.kind != "rnn" or model.activation is None or model.init.kind not in SIGMAS:
        return None
    sigma_w = math.sqrt(SIGMAS[model.init.kind](model.init, inputs, model.hidden)[0])
    found = mean_field(model.activation, sigma_w, input_variance(model.init, inputs, model.hidden, second_moment))
    if found is None:
        return None
    return Theory(f"mean field √χ₁ = {found.factor:.3g} a step", lags * math.log10(found.factor))


def _forget_gate(bias_init: Choice, lags: Array) -> Theory | None:
    """RMS over units of sigma(b_f)^k: with one bias sigma(b_f)^k, with chrono's spread a curve that bends."""
    if bias_init.kind == "chrono":
        longest = max(3, bias_init.options["T_max"] or len(lags))
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        u = 1 + (nodes + 1) / 2 * (longest - 2)  # b_f = log u, so sigma(b_f) = u / (1 + u)
        powers = (u / (1 + u)) ** (2 * lags[:, None])
        log10_K = np.log10(np.maximum(powers @ weights / 2, 1e-300)) / 2
        middle = float(u / (1 + u) @ weights / 2)
        return Theory(f"forget gate, mean σ(b_f) = {middle:.3g} a step", log10_K)
    if bias_init.kind not in ("default", "forget_bias"):
        return None
    gate = 1 / (1 + math.exp(-bias_init.options.get("value", 0.0)))
    return Theory(f"forget gate σ(b_f) = {gate:.3g} a step", lags * math.log10(gate))


def _plain(model: ModelSpec) -> bool:
    """Whether nothing is set that theory does not know of."""
    if model.cell != parse_choice(CELLS, model.cell.kind):
        return False
    fields: dict[str, Any] = type(model).model_fields
    return all(getattr(model, name) == field.get_default() for name, field in fields.items() if name not in FIELDS)


@cache
def _rule() -> tuple[Array, Array]:
    from scipy.special import roots_hermitenorm

    nodes, weights = roots_hermitenorm(NODES)
    return np.asarray(nodes), np.asarray(weights) / math.sqrt(2 * math.pi)


def _mean(function: Callable[[Array], Array], q: float) -> float:
    """E f(sqrt(q) z)^2."""
    nodes, weights = _rule()
    return float(function(math.sqrt(q) * nodes) ** 2 @ weights)


def _fixed_point(step: Callable[[float], float], low: float, high: float) -> float:
    """The stable q = step(q) of a concave step, between `low` and `high`; 0 where nothing else is stable."""
    from scipy.optimize import brentq

    if low == 0 and step(1e-9) <= 1e-9:
        return 0.0
    low = max(low, 1e-9)
    return float(brentq(lambda q: step(q) - q, low * (1 - 1e-9), high + 1e-9, xtol=1e-14))
