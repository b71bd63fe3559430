"""Recurrent cells: what is computed at one timestep, with torch's equations, names and gate order."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from rnnlab.choices import Line, Table


def _ring(r_max: float, given: ValidationInfo) -> float:
    r_min = given.data.get("r_min", 0.0)
    if r_min >= r_max:
        raise ValueError(f"r_min < r_max must hold, but got (r_min={r_min:g}, r_max={r_max:g})")
    return r_max


CELLS = Table(
    "cell",
    {
        "rnn": Line("rnnlab.cells.rnn:RNN", "h' = phi(W_ih x + b_ih + W_hh h + b_hh)", "Elman 1990", activation="tanh"),
        "lstm": Line("rnnlab.cells.lstm:LSTM", "gates i, f, g, o; c' = f c + i g, h' = o tanh(c')", "Gers 2000"),
        "gru": Line("rnnlab.cells.gru:GRU", "gates r, z, n; h' = (1 - z) n + z h, reset after product", "Cho 2014"),
        "peephole": Line(
            "rnnlab.cells.peephole:Peephole",
            "LSTM whose gates i, f see c and whose o sees c', unit by unit",
            "Gers & Schmidhuber 2000",
        ),
        "cifg": Line("rnnlab.cells.cifg:CIFG", "LSTM with i = 1 - f: c' = f c + (1 - f) g", "Greff 2017"),
        "nfg": Line("rnnlab.cells.nfg:NFG", "LSTM with f = 1: c' = c + i g, nothing is forgotten", "Greff 2017"),
        "janet": Line(
            "rnnlab.cells.janet:JANET",
            "forget gate alone: h' = sigmoid(a_f) h + (1 - sigmoid(a_f - beta)) tanh(a_g)",
            "van der Westhuizen & Lasenby 2018",
            {"beta": (float, Field(1.0, ge=-10, le=10, description="how much more is written than forgotten"))},
        ),
        "ur_lstm": Line(
            "rnnlab.cells.ur_lstm:URLSTM",
            "LSTM with e = f + f (1 - f) (2 r - 1), c' = e c + (1 - e) g; biases begin uniform",
            "Gu 2020",
        ),
        "slstm": Line(
            "rnnlab.cells.slstm:SLSTM",
            "LSTM with i = exp, a normaliser n' = f n + i and h' = o c' / n'; one head",
            "Beck 2024",
            {
                "forget": (
                    Literal["sigmoid", "exp"],
                    Field("sigmoid", description="what makes the forget gate of its pre-activation"),
                )
            },
        ),
        "ln_lstm": Line(
            "rnnlab.cells.layer_norm:LayerNormLSTM",
            "LSTM of LN(W_ih x) and LN(W_hh h), h' = o tanh(LN(c'))",
            "Ba 2016",
        ),
        "gru_v1": Line(
            "rnnlab.cells.gru_v1:GRUv1", "GRU with the reset before the product: n of W_hn (r h)", "Cho 2014"
        ),
        "ln_gru": Line(
            "rnnlab.cells.layer_norm:LayerNormGRU", "GRU of LN(W_ih x) and LN(W_hh h), gate by gate", "Ba 2016"
        ),
        "mgu": Line(
            "rnnlab.cells.mgu:MGU", "one gate: n = tanh(W_n x + W'_n (f h)), h' = (1 - f) h + f n", "Zhou 2016"
        ),
        "mingru": Line(
            "rnnlab.cells.mingru:MinGRU", "z, g of x alone; h' = (1 - z) h + z g, all steps at once", "Feng 2024"
        ),
        "minlstm": Line(
            "rnnlab.cells.minlstm:MinLSTM",
            "f, i, g of x alone; h' = (f h + i g) / (f + i), all steps at once",
            "Feng 2024",
        ),
        "ln_rnn": Line(
            "rnnlab.cells.layer_norm:LayerNormRNN",
            "h' = phi(g LN(W_ih x + W_hh h) + b_ih + b_hh)",
            "Ba 2016",
            activation="tanh",
        ),
        "leaky": Line(
            "rnnlab.cells.leaky:Leaky",
            "h' = (1 - alpha) h + alpha phi(W_ih x + b_ih + W_hh h + b_hh)",
            "Jaeger 2007",
            {
                "alpha": (
                    float,
                    Field(0.1, gt=0, le=1, description="leak; 1 / alpha is what a unit remembers, in steps"),
                )
            },
            activation="tanh",
        ),
        "multiscale": Line(
            "rnnlab.cells.multiscale:Multiscale",
            "leaky with 1/tau for alpha, a learned tau a unit, log-uniform on [1, tau_max] at the start",
            "Mozer 1992",
            {
                "tau_max": (
                    float | None,
                    Field(None, gt=1, description="longest time at the start, in steps; default: the task's T"),
                )
            },
            activation="tanh",
        ),
        "antisymmetric": Line(
            "rnnlab.cells.antisymmetric:Antisymmetric",
            "h' = h + eps phi((W_hh - W_hh^T - gamma I) h + W_ih x + b)",
            "Chang 2019",
            {
                "eps": (float, Field(0.1, gt=0, le=10, description="size of a step")),
                "gamma": (float, Field(0.01, ge=0, le=10, description="diffusion: what is taken off the diagonal")),
            },
            activation="tanh",
        ),
        "orthogonal": Line(
            "rnnlab.cells.orthogonal:Orthogonal",
            "plain RNN with an orthogonal matrix at every update, made of the skew part of W_hh",
            "Lezcano-Casado 2019; Helfrich 2018",
            {"by": (Literal["expm", "cayley"], Field("expm", description="the map from skew to orthogonal"))},
            activation="modrelu",
        ),
        "indrnn": Line(
            "rnnlab.cells.indrnn:IndRNN",
            "h' = phi(W_ih x + b_ih + u h), a number u a unit, no W_hh",
            "Li 2018",
            {"bound": (float | None, Field(None, gt=0, description="largest |u| that is used; default: any"))},
            activation="relu",
        ),
        "cornn": Line(
            "rnnlab.cells.cornn:CoRNN",
            "oscillators: z' = z + dt (tanh(W x + W_y y + W_z z + b) - gamma y - epsilon z), y' = y + dt z'",
            "Rusch & Mishra 2021",
            {
                "dt": (float, Field(0.042, gt=0, le=1, description="size of a step")),
                "gamma": (float, Field(2.7, ge=0, le=1000, description="spring, the square of the frequency")),
                "epsilon": (float, Field(4.7, ge=0, le=1000, description="damping")),
            },
        ),
        "lru": Line(
            "rnnlab.cells.lru:LRU",
            "s' = lambda s + gamma B x, complex and linear, |lambda| < 1; h = phi(Re(C s') + D x)",
            "Orvieto 2023",
            {
                "r_min": (float, Field(0.9, ge=0, lt=1, description="least |lambda| at the start")),
                "r_max": (
                    Annotated[float, AfterValidator(_ring)],
                    Field(0.999, gt=0, lt=1, validate_default=True, description="largest |lambda| at the start"),
                ),
                "phase": (float, Field(2 * math.pi, gt=0, le=2 * math.pi, description="largest angle at the start")),
            },
            activation="relu",
        ),
    },
)
