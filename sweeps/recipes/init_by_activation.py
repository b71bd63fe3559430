"""Which initialisation keeps the gradient alive for which activation and cell."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.spec import SweepSpec

SIGNALS = ["loss", "total", "inputs", "anchor", "jacobian", "saturation", "early_share"]
"""The usual probes and those of early signals, which docs/prediction.md compares."""


def init_by_activation() -> SweepSpec:
    """Ten arms on digits read pixel by pixel (T=64), 30 blocks, each with a learning rate and seeds of its own.

    Budget: 300 trials of 1,000 updates; about 25 minutes on 2 cores.
    """
    return validated(
        SweepSpec,
        {
            "name": "init-by-activation",
            "description": "Which initialisation keeps the gradient alive over 64 steps, for which activation and "
            "cell, and does it make digits learnable?",
            "task": {"kind": "digits"},
            "model": {"hidden": 64},
            "optim": {"kind": "adam", "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["rnn", "lstm", "gru"],
                "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
                "init": [
                    {"choices": ["default", "orthogonal", "identity"], "when": {"cell": "rnn"}},
                    {"choices": ["default", "orthogonal"], "when": {"cell": ["lstm", "gru"]}},
                ],
                "lr": {"low": 1e-3, "high": 1e-2, "log": True},
            },
            "search": {"design": "screen", "blocks": 30, "nuisance": ["lr"]},
            "replicates": 1,
            "budget": {"updates": 1000, "evaluations": 20},
            "probe": {"measure": SIGNALS, "schedule": [0, 20, 50, 100, 500]},
        },
    )
