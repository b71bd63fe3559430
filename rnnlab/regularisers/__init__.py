"""Regularisers: terms beside the task's loss whose gradient is added before the clip."""

from typing import Literal

from pydantic import Field

from rnnlab.choices import Line, Table

REGULARISERS = Table(
    "regulariser",
    {
        "none": Line("rnnlab.regularisers.none:NoRegulariser", "nothing is added", "-"),
        "omega": Line(
            "rnnlab.regularisers.omega:Omega",
            "alpha sum_t (‖delta_(t+1) J‖ / ‖delta_(t+1)‖ - 1)², of which W_hh's immediate derivative counts",
            "Pascanu 2013",
            {
                "alpha": (float, Field(4.0, gt=0, le=1e6, allow_inf_nan=False, description="its weight")),
                "form": (
                    Literal["paper", "code"],
                    Field("paper", description="as the paper has it, or its authors' code"),
                ),
            },
            cells=("rnn",),
        ),
        "norm_stabiliser": Line(
            "rnnlab.regularisers.norm_stabiliser:NormStabiliser",
            "beta mean_t (‖h_t‖ - ‖h_(t-1)‖)² of every layer",
            "Krueger & Memisevic 2016",
            {"beta": (float, Field(50.0, gt=0, le=1e6, allow_inf_nan=False, description="its weight"))},
        ),
        "flossing": Line(
            "rnnlab.regularisers.flossing:GradientFlossing",
            "mean_i lambda_i² of the leading Lyapunov exponents, before training and every so many updates",
            "Engelken 2023",
            {
                "before": (int, Field(100, ge=0, description="updates at the start that follow it alone")),
                "every": (int, Field(0, ge=0, description="after them, updates from one to the next; 0: never")),
                "exponents": (int, Field(8, ge=1, le=4096, description="leading exponents; at most all are taken")),
                "weight": (float, Field(1.0, gt=0, le=1e6, allow_inf_nan=False, description="its weight")),
                "sequences": (int, Field(4, ge=1, le=4096, description="sequences of the batch that are followed")),
            },
            activations=(
                "tanh",
                "sigmoid",
                "softsign",
                "sin",
                "linear",
                "elu",
                "selu",
                "leaky_relu",
            ),
        ),
    },
)
