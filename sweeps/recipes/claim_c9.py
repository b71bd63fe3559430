"""Claim C9: on copying, an LSTM rests at the loss of no memory; chrono biases and orthogonal networks leave it."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.budgets import Budget
from sweeps.spec import SweepSpec


def claim_c9(budget: Budget = "full") -> SweepSpec:
    """Copying with LSTM as it is, LSTM with chrono biases, and an orthogonal RNN (expm), under RMSprop at 1e-3.

    Claim: a standard LSTM stays at 10 ln 8 / (T + 20) for thousands of updates; with chrono biases (T_max = 3T/2) it
    falls below; an orthogonal network falls with little of a plateau. Sources: Arjovsky 2016, section 5.1; Tallec and
    Ollivier 2018, section 4 (T of 500 and 2,000, 128 units).
    Expected: the score (log10 of loss over that of no memory) of the LSTM near 0, both others below it.

    Budget: quick, T=10, 60 updates. full, T=50, 6 seeds, 4,000 updates: 18 trials. nightly, T=100, 128 units, 10 seeds,
    20,000 updates.
    """
    length, updates, blocks, hidden = {
        "quick": (10, 60, 2, 16),
        "full": (50, 4000, 6, 64),
        "nightly": (100, 20_000, 10, 128),
    }[budget]
    return validated(
        SweepSpec,
        {
            "name": "claim-c9",
            "description": "Does an LSTM rest at the loss of no memory on copying, and what leaves it?",
            "task": {"kind": "copying", "length": length},
            "model": {"hidden": hidden},
            "optim": {"kind": "rmsprop", "lr": 1e-3, "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["lstm", "orthogonal"],
                "bias_init": {"choices": ["default", {"chrono": length * 3 // 2}], "when": {"cell": "lstm"}},
            },
            "search": {"design": "screen", "blocks": blocks},
            "replicates": 1,
            "budget": {"updates": updates, "evaluations": 4 if budget == "quick" else 20},
        },
    )
