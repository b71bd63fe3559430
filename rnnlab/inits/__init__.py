"""Initialisations of the weights (`INITS`) and, a dimension of its own, of the gate biases (`BIAS_INITS`)."""

from typing import Literal

from pydantic import Field

from rnnlab.choices import Line, Table

PLAIN = ("rnn",)
"""Cells with one square W_hh that nothing else acts on."""
SQUARE = (
    "rnn", "lstm", "gru", "peephole", "cifg", "nfg", "janet", "ur_lstm", "slstm", "ln_lstm", "gru_v1", "ln_gru",
    "mgu", "ln_rnn", "leaky", "multiscale",
)  # fmt: skip
"""Cells each of whose gates has a square W_hh as it stands."""
FREE = (*SQUARE, "mingru", "minlstm", "indrnn", "cornn")
"""Cells whose source asks for no distribution of W_ih and W_hh."""

INITS = Table(
    "init",
    {
        "default": Line(
            "rnnlab.inits.default:default",
            "every weight and bias U(±1/√H), sigma_w = 0.577; or the start that the cell's source gives",
            "torch",
        ),
        "glorot": Line(
            "rnnlab.inits.glorot:glorot",
            "U(±√(6/(in+out))) per gate block, biases 0; sigma_w = 1",
            "Glorot 2010",
            cells=FREE,
        ),
        "orthogonal": Line(
            "rnnlab.inits.orthogonal:orthogonal",
            "W_hh per gate: QR of a Gaussian, sign-fixed, times gain; W_ih as glorot, biases 0",
            "Saxe 2014; Henaff 2016",
            {"gain": (float, Field(1.0, gt=0, le=10, description="singular value of every gate's W_hh"))},
            cells=SQUARE,
        ),
        "identity": Line(
            "rnnlab.inits.identity:identity",
            "W_hh = scale I, W_ih ~ N(0, 0.001²), biases 0 (IRNN with relu)",
            "Le 2015",
            {"scale": (float, Field(1.0, gt=0, le=10, description="the value on the diagonal of W_hh"))},
            cells=PLAIN,
        ),
        "he": Line(
            "rnnlab.inits.he:he",
            "W_hh ~ N(0, 2/H), W_ih ~ N(0, 2/I), biases 0; chi1 = 1 of a relu",
            "He 2015",
            cells=PLAIN,
        ),
        "normal": Line(
            "rnnlab.inits.normal:normal",
            "W_hh and W_ih ~ N(0, std²), biases 0; spectral radius near std √H",
            "Pascanu 2013",
            {"std": (float, Field(0.1, gt=0, le=10, description="standard deviation of every weight"))},
            cells=PLAIN,
        ),
        "np_rnn": Line(
            "rnnlab.inits.np_rnn:np_rnn",
            "W_hh = (A + I) / lambda_max, A = R^T R / H: positive definite, largest eigenvalue 1 (with relu)",
            "Talathi & Vartak 2016",
            cells=PLAIN,
        ),
        "sparse": Line(
            "rnnlab.inits.sparse:sparse",
            "15 incoming N(0, 1) a unit, rescaled to spectral radius 0.95, W_ih ~ N(0, 0.01²) (smart tanh)",
            "Sutskever 2012; Pascanu 2013",
            {
                "nonzeros": (int, Field(15, ge=1, description="incoming recurrent connections of a unit")),
                "radius": (float, Field(0.95, gt=0, le=10, description="spectral radius of W_hh")),
            },
            cells=PLAIN,
        ),
        "critical": Line(
            "rnnlab.inits.critical:critical",
            "W_hh ~ N(0, sigma_w²/H) with chi1 = 1 by mean field for inputs of a given variance",
            "Chen 2018; Poole 2016",
            {
                "input_variance": (
                    float,
                    Field(0.05, gt=0, le=1, description="s_in², what W_ih x adds to a pre-activation's variance"),
                ),
                "second_moment": (float, Field(1.0, gt=0, description="mean of x² over the task's inputs")),
            },
            cells=PLAIN,
            activations=("tanh", "softsign", "sin"),
        ),
        "delay_line": Line(
            "rnnlab.inits.delay_line:delay_line",
            "W_hh[i+1, i] = alpha, all else 0: a non-normal chain; W_ih as glorot, biases 0",
            "Orhan & Pitkow 2020",
            {"alpha": (float, Field(1.0, gt=0, le=10, description="what a unit hands on to the next"))},
            cells=PLAIN,
        ),
        "rotation": Line(
            "rnnlab.inits.rotation:rotation",
            "W_hh turns pairs of units by random angles; W_ih as glorot, biases 0",
            "Henaff 2016; Helfrich 2018",
            {
                "angles": (
                    Literal["henaff", "cayley"],
                    Field("henaff", description="henaff: U(-pi, pi); cayley: U(0, pi/2)"),
                )
            },
            cells=PLAIN,
        ),
    },
)

GATED = (
    "lstm", "gru", "peephole", "cifg", "janet", "ur_lstm", "slstm", "ln_lstm", "gru_v1", "ln_gru", "mgu", "mingru",
    "minlstm",
)  # fmt: skip
"""Cells with a gate that keeps (f, or torch's z) or one that writes; `Cell.writes` gives its sign."""

BIAS_INITS = Table(
    "bias_init",
    {
        "default": Line("rnnlab.inits.bias:default", "the biases that `init` gave", "torch"),
        "forget_bias": Line(
            "rnnlab.inits.bias:forget_bias",
            "b_f = value, in one of torch's two biases, the other 0",
            "Gers 2000; Jozefowicz 2015",
            {"value": (float, Field(1.0, ge=-10, le=10, description="the sum of both forget biases"))},
            cells=("lstm", "peephole", "cifg", "janet", "ur_lstm", "slstm", "ln_lstm"),
        ),
        "chrono": Line(
            "rnnlab.inits.bias:chrono",
            "b_f ~ log U(1, T_max - 1), b_i = -b_f (GRU: b_z = +log U, its z keeps; MGU, minGRU: -); other biases 0",
            "Tallec & Ollivier 2018",
            {
                "T_max": (
                    int | None,
                    Field(None, ge=3, description="longest memory in steps; default: the task's T"),
                )
            },
            cells=GATED,
        ),
        "uniform_gate": Line(
            "rnnlab.inits.bias:uniform_gate",
            "b_f = logit(u), u ~ U(1/H, 1 - 1/H), b_i = -b_f (GRU: b_z = logit(u)); the others as `init` gave",
            "Gu 2020",
            cells=GATED,
        ),
    },
)
