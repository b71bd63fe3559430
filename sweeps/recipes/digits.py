"""Which network reads digits best, each at a learning rate of its own."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.spec import SweepSpec


def digits() -> SweepSpec:
    """Ten arms screened in 5 blocks, the best three and the baseline tuned (TPE over lr), then confirmed afresh.

    Budget: 122 trials of 400 updates; about 8 minutes on 2 cores.
    """
    return validated(
        SweepSpec,
        {
            "name": "digits",
            "description": "Which network reads digits pixel by pixel best, each at a learning rate of its own?",
            "task": {"kind": "digits"},
            "model": {"hidden": 64},
            "optim": {"kind": "adam", "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["rnn", "lstm", "gru"],
                "init": ["default", "orthogonal"],
                "bias_init": {"choices": ["default", "chrono"], "when": {"cell": ["lstm", "gru"]}},
                "lr": {"low": 1e-3, "high": 1e-2, "log": True},
            },
            "search": {
                "design": "screen+refine",
                "blocks": 5,
                "trials": 8,
                "winners": 3,
                "confirm": 10,
                "nuisance": ["lr"],
            },
            "replicates": 1,
            "budget": {"updates": 400},
        },
    )
