"""What a forget bias does for an LSTM's memory."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.init_by_activation import SIGNALS
from sweeps.spec import SweepSpec


def forget_bias() -> SweepSpec:
    """Four biases of an LSTM's forget gate on temporal order over 40 and 120 steps; 12 blocks.

    Budget: 96 trials of 400 updates; about 5 minutes on 2 cores.
    """
    return validated(
        SweepSpec,
        {
            "name": "forget-bias",
            "description": "How much forget bias does an LSTM need to remember for 40 steps, and for 120?",
            "task": {"kind": "temporal_order"},
            "model": {"cell": "lstm", "hidden": 48},
            "optim": {"kind": "adam", "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "bias_init": ["default", {"forget_bias": 1.0}, {"forget_bias": 3.0}, "chrono"],
                "task.length": [40, 120],
                "lr": {"low": 1e-3, "high": 1e-2, "log": True},
            },
            "search": {"design": "screen", "blocks": 12, "nuisance": ["lr"]},
            "replicates": 1,
            "budget": {"updates": 400, "evaluations": 16},
            "probe": {"measure": SIGNALS, "schedule": [0, 8, 20, 40, 200]},
        },
    )
