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
            by_lane="threshold",
        ),
        "value": Line(
            "rnnlab.clipping.value:ValueClip",
            "clamp(g, -c, c), entry by entry",
            "Mikolov 2012",
            {"threshold": (float, Field(1.0, gt=0, description="largest absolute entry c"))},
            by_lane="threshold",
        ),
        "parameter": Line(
            "rnnlab.clipping.parameter:ParameterClip",
            "g_p min(1, c / (‖g_p‖ + 1e-6)) for each parameter tensor p alone",
            "folklore; TensorFlow",
            {"threshold": (float, Field(1.0, gt=0, description="largest norm c of a parameter that passes unchanged"))},
            by_lane="threshold",
        ),
        "adaptive": Line(
            "rnnlab.clipping.adaptive:AdaptiveClip",
            "AGC: a row's gradient at most l times its weights' norm, the readout left out",
            "Brock 2021",
            {
                "ratio": (float, Field(0.01, gt=0, le=100, description="largest ‖G_i‖ / ‖W_i‖ of a row, l")),
                "floor": (float, Field(1e-3, gt=0, description="least ‖W_i‖ that counts")),
            },
            by_lane="ratio",
        ),
        "percentile": Line(
            "rnnlab.clipping.percentile:PercentileClip",
            "AutoClip: by norm, c the p-th percentile of a lane's norms so far",
            "Seetharaman 2020",
            {"percentile": (float, Field(10.0, ge=0, le=100, description="p; 100 clips nothing"))},
            by_lane="percentile",
        ),
        "zscore": Line(
            "rnnlab.clipping.zscore:ZScoreClip",
            "ZClip: a norm more than z deviations above its running mean comes nearer to it than z of them",
            "Kumar 2025",
            {
                "z": (float, Field(2.5, gt=0, description="deviations above the mean that pass")),
                "alpha": (float, Field(0.97, gt=0, lt=1, description="what mean and variance keep at an update")),
                "warmup": (int, Field(25, ge=2, description="first updates, which pass and begin mean and variance")),
            },
            by_lane="z",
        ),
        "timestep": Line(
            "rnnlab.clipping.timestep:TimestepClip",
            "BIASED: clamp(delta_t, -c, c) at every t inside the backward pass",
            "Graves 2013",
            {"threshold": (float, Field(10.0, gt=0, description="largest absolute entry c of delta_t"))},
            cells=("rnn", "lstm", "gru"),
            by_lane="threshold",
        ),
        "skip_nonfinite": Line(
            "rnnlab.clipping.skip:SkipClip",
            "an update that is not finite is skipped and training goes on; others by norm where c is given",
            "torch.amp; Pascanu 2013's code",
            {"threshold": (float | None, Field(None, gt=0, description="largest norm c of the others; default: any"))},
            by_lane="threshold",
        ),
    },
)
