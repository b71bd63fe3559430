"""Rain tomorrow, judged every day."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.spec import SweepSpec


def weather() -> SweepSpec:
    """Will it rain in Seattle tomorrow, judged each day of 60 from the days before; TPE over cells and rates.

    With a loss at every step the total gradient G1 looks alive whatever the network; the verdict's anchored
    curve tells.
    """
    return validated(
        SweepSpec,
        {
            "name": "weather",
            "description": "Which recurrent network tells rain tomorrow from the days so far?",
            "task": {"kind": "weather"},
            "model": {"hidden": 32},
            "optim": {"kind": "adam", "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["rnn", "lstm", "gru"],
                "init": ["default", "orthogonal"],
                "bias_init": {"choices": ["default", "chrono"], "when": {"cell": ["lstm", "gru"]}},
                "lr": {"low": 1e-3, "high": 3e-2, "log": True},
            },
            "search": {"sampler": "tpe", "trials": 12},
            "replicates": 3,
            "budget": {"updates": 200},
        },
    )
