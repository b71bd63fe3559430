"""Training: the loop, one update, optimisers, outcomes and seeds. Its tables need no torch."""

from pydantic import Field

from rnnlab.choices import Line, Table

_MOMENTUM = {"momentum": (float, Field(0.0, ge=0, lt=1, description="share of the last step that is kept"))}

OPTIMISERS = Table(
    "optimiser",
    {
        "sgd": Line("rnnlab.training.optimiser:SGD", "theta -= lr v, v = momentum v + g", "torch", _MOMENTUM),
        "rmsprop": Line(
            "rnnlab.training.optimiser:RMSprop",
            "g over the root of a running mean of g²",
            "Tieleman & Hinton 2012",
            {
                "decay": (
                    float,
                    Field(0.99, ge=0, lt=1, description="decay of the running mean (torch: alpha)"),
                )
            },
        ),
        "adam": Line(
            "rnnlab.training.optimiser:Adam",
            "bias-corrected running means of g and g²",
            "Kingma & Ba 2015",
            {
                "beta1": (float, Field(0.9, ge=0, lt=1, description="decay of the mean of g")),
                "beta2": (float, Field(0.999, ge=0, lt=1, description="decay of the mean of g²")),
            },
        ),
    },
)
