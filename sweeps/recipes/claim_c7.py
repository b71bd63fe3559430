"""Claim C7: the identity initialisation with relu is not robust."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.budgets import Budget
from sweeps.spec import SweepSpec


def claim_c7(budget: Budget = "full") -> SweepSpec:
    """IRNN, tanh and LSTM on adding under RMSprop and a clip of every entry at 1, at two learning rates.

    Claim: at the rate 1e-3 IRNN and tanh never beat the loss of guessing, where LSTM learns; Le 2015 saw IRNN learn at
    other rates. Source: Arjovsky 2016, section 5.2, with the clip of its code (LSTM, IRNN and tanh at +-1).
    Expected: IRNN's outcome depends on the rate and varies over seeds; LSTM's does less.

    Budget: quick, T=20, 60 updates. full, T=100, 10 seeds at 1e-4 and 1e-3, 3,000 updates: 60 trials. nightly, also
    1e-5 and 1e-2, 20 seeds, 20,000 updates.
    """
    length, updates, blocks, hidden = {
        "quick": (20, 60, 2, 16),
        "full": (100, 3000, 10, 64),
        "nightly": (100, 20_000, 20, 128),
    }[budget]
    return validated(
        SweepSpec,
        {
            "name": "claim-c7",
            "description": "Does IRNN learn adding under RMSprop, whatever the learning rate and the seed?",
            "task": {"kind": "adding", "length": length},
            "model": {"hidden": hidden},
            "optim": {"kind": "rmsprop", "batch": 32, "clip": {"value": 1.0}},
            "space": {
                "cell": ["rnn", "lstm"],
                "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
                "init": {"choices": ["identity"], "when": {"activation": "relu"}},
                "lr": [1e-5, 1e-4, 1e-3, 1e-2] if budget == "nightly" else [1e-4, 1e-3],
            },
            "search": {"design": "screen", "blocks": blocks, "baseline": {"lr": 1e-3}},
            "replicates": 1,
            "budget": {"updates": updates, "evaluations": 4 if budget == "quick" else 20},
        },
    )
