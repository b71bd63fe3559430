"""Initialisations of the weights (`INITS`) and, a dimension of its own, of the gate biases (`BIAS_INITS`)."""

from pydantic import Field

from rnnlab.choices import Line, Table

INITS = Table(
    "init",
    {
        "default": Line("rnnlab.inits.default:default", "every weight and bias U(±1/√H); sigma_w = 0.577", "torch"),
        "glorot": Line(
            "rnnlab.inits.glorot:glorot",
            "U(±√(6/(in+out))) per gate block, biases 0; sigma_w = 1",
            "Glorot 2010",
        ),
        "orthogonal": Line(
            "rnnlab.inits.orthogonal:orthogonal",
            "W_hh per gate: QR of a Gaussian, sign-fixed, times gain; W_ih as glorot, biases 0",
            "Saxe 2014; Henaff 2016",
            {"gain": (float, Field(1.0, gt=0, le=10, description="singular value of every gate's W_hh"))},
        ),
        "identity": Line(
            "rnnlab.inits.identity:identity",
            "W_hh = scale I, W_ih ~ N(0, 0.001²), biases 0 (IRNN with relu)",
            "Le 2015",
            {"scale": (float, Field(1.0, gt=0, le=10, description="the value on the diagonal of W_hh"))},
            cells=("rnn",),
        ),
    },
)

BIAS_INITS = Table(
    "bias_init",
    {
        "default": Line("rnnlab.inits.bias:default", "the biases that `init` gave", "torch"),
        "forget_bias": Line(
            "rnnlab.inits.bias:forget_bias",
            "b_f = value, in one of torch's two biases, the other 0",
            "Gers 2000; Jozefowicz 2015",
            {"value": (float, Field(1.0, ge=-10, le=10, description="the sum of both forget biases"))},
            cells=("lstm",),
        ),
        "chrono": Line(
            "rnnlab.inits.bias:chrono",
            "b_f ~ log U(1, T_max - 1), b_i = -b_f (GRU: b_z = +log U, its z keeps); other biases 0",
            "Tallec & Ollivier 2018",
            {
                "T_max": (
                    int | None,
                    Field(None, ge=3, description="longest memory in steps; default: the task's T"),
                )
            },
            cells=("lstm", "gru"),
        ),
    },
)
