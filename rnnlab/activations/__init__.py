"""Recurrent nonlinearities of the cells that take one (gated cells keep sigmoid and tanh)."""

from pydantic import Field

from rnnlab.choices import Line, Table

BIASED = ("rnn", "leaky", "multiscale", "antisymmetric", "orthogonal")
"""Cells with phi(W_ih x + b_ih + W_hh h + b_hh), whose b_hh an activation may take for its own."""
PLAIN = (*BIASED, "ln_rnn", "indrnn", "lru")
"""Cells that take a phi."""

ACTIVATIONS = Table(
    "activation",
    {
        "tanh": Line("rnnlab.activations.tanh:Tanh", "tanh a; slope at most 1", "standard", cells=PLAIN),
        "relu": Line(
            "rnnlab.activations.relu:ReLU", "max(0, a); slope 0 or 1, state unbounded", "Le 2015", cells=PLAIN
        ),
        "leaky_relu": Line(
            "rnnlab.activations.leaky_relu:LeakyReLU",
            "max(s a, a); slope s or 1, state unbounded",
            "Maas 2013",
            {"slope": (float, Field(0.01, gt=0, lt=1, description="slope s of the negative side"))},
            cells=PLAIN,
        ),
        "hardtanh": Line(
            "rnnlab.activations.hardtanh:HardTanh",
            "clip(a, -1, 1); slope exactly 0 outside",
            "Collobert 2004",
            cells=PLAIN,
        ),
        "softsign": Line(
            "rnnlab.activations.softsign:Softsign",
            "a / (1 + |a|); saturates polynomially",
            "Bergstra 2009",
            cells=PLAIN,
        ),
        "sin": Line("rnnlab.activations.sin:Sin", "sin a; no saturation", "Sopena 1999", cells=PLAIN),
        "sigmoid": Line(
            "rnnlab.activations.sigmoid:Sigmoid", "1 / (1 + e^-a); slope at most 1/4", "Pascanu 2013", cells=PLAIN
        ),
        "elu": Line(
            "rnnlab.activations.elu:ELU",
            "a above 0, alpha (e^a - 1) below",
            "Clevert 2016",
            {"alpha": (float, Field(1.0, gt=0, le=10, description="what the negative side tends to, sign turned"))},
            cells=PLAIN,
        ),
        "selu": Line(
            "rnnlab.activations.selu:SELU",
            "l a above 0, l alpha (e^a - 1) below; l = 1.0507, alpha = 1.6733, slope at most 1.758",
            "Klambauer 2017",
            cells=PLAIN,
        ),
        "modrelu": Line(
            "rnnlab.activations.modrelu:ModReLU",
            "sign(a) max(0, |a| + b), b = b_hh learned a unit, inside phi alone; keeps norms at b = 0",
            "Arjovsky 2016",
            cells=BIASED,
        ),
        "linear": Line("rnnlab.activations.linear:Linear", "a; the exact oracle", "Henaff 2016", cells=PLAIN),
    },
)
