"""Which cell still learns as the lag grows."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.init_by_activation import SIGNALS
from sweeps.spec import SweepSpec


def cell_by_length() -> SweepSpec:
    """Plain RNN, LSTM and GRU with torch's own initialisation on the adding problem at T = 20, 40 and 80; 20 blocks.

    Budget: 180 trials of 800 updates; about 7 minutes on 2 cores.
    """
    return validated(
        SweepSpec,
        {
            "name": "cell-by-length",
            "description": "At which length does which cell, as torch initialises it, still learn the adding problem?",
            "task": {"kind": "adding"},
            "model": {"hidden": 48},
            "optim": {"kind": "adam", "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["rnn", "lstm", "gru"],
                "task.length": [20, 40, 80],
                "lr": {"low": 2e-3, "high": 1e-2, "log": True},
            },
            "search": {"design": "screen", "blocks": 20, "nuisance": ["lr"]},
            "replicates": 1,
            "budget": {"updates": 800, "evaluations": 16},
            "probe": {"measure": SIGNALS, "schedule": [0, 16, 40, 80, 400]},
        },
    )
