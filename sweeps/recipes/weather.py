"""Rain tomorrow, judged every day."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.spec import SweepSpec


def weather() -> SweepSpec:
    """Will it rain in Seattle tomorrow, judged each day of 60 from the days before; six arms, ten seeds each.

    With a loss at every step the total gradient G1 looks alive whatever the network; the verdict's anchored curve
    tells. Budget: 12 trials of 5 replicates and 200 updates; about a minute on 2 cores.
    """
    return validated(
        SweepSpec,
        {
            "name": "weather",
            "description": "Which recurrent network tells rain tomorrow from the days so far?",
            "task": {"kind": "weather"},
            "model": {"hidden": 32},
            "optim": {"kind": "adam", "lr": 5e-3, "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["rnn", "lstm", "gru"],
                "init": {"choices": ["default", "orthogonal"], "when": {"cell": "rnn"}},
                "bias_init": {"choices": ["default", "chrono"], "when": {"cell": ["lstm", "gru"]}},
            },
            "search": {"design": "screen", "blocks": 2},
            "replicates": 5,
            "budget": {"updates": 200},
        },
    )
