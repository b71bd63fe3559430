"""Clips: what is done to the gradient of an update before the optimiser sees it, lane by lane."""

from pydantic import Field

from rnnlab.choices import Line, Table

CLIPS = Table(
    "clip",
    {
        "none": Line("rnnlab.clipping.none:NoClip", "the gradient as it is", "-"),
        "norm": Line(
            "rnnlab.clipping.norm:NormClip",
            "g min(1, c / (‖g‖ + 1e-6)) over all parameters of a lane",
            "Pascanu 2013",
            {"threshold": (float, Field(1.0, gt=0, description="largest norm c that passes unchanged"))},
        ),
        "value": Line(
            "rnnlab.clipping.value:ValueClip",
            "clamp(g, -c, c), entry by entry",
            "Mikolov 2012",
            {"threshold": (float, Field(1.0, gt=0, description="largest absolute entry c"))},
        ),
    },
)
