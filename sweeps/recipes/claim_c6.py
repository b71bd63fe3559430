"""Claim C6: gates, and the identity initialisation, learn the adding problem where a plain tanh network does not."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.budgets import Budget
from sweeps.spec import SweepSpec


def claim_c6(budget: Budget = "full") -> SweepSpec:
    """Four networks on adding, each at a learning rate and a clip of its own, then on fresh seeds.

    Claim: LSTM with forget bias 1 and GRU reach a loss below .01; IRNN does so only at a tuned learning rate and clip;
    tanh stays near 1/6, the loss of guessing. Source: Le 2015, section 4.1.
    Expected: confirmed, LSTM and GRU solve it and tanh does not; IRNN solves it in part of its seeds.

    Budget: quick, T=20, 60 updates, seconds. full, T=50, 2 seeds at each of 2 rates and 2 clips, then 6 fresh seeds,
    4,000 updates: 28 trials. nightly, T=100, 3 rates and 3 clips, 20 fresh seeds, 10,000 updates.
    """
    length, updates, confirm, hidden = {
        "quick": (20, 60, 2, 16),
        "full": (50, 4000, 3, 64),
        "nightly": (100, 10_000, 10, 100),
    }[budget]
    rates, clips = [1e-3, 1e-2], [1.0, 100.0]
    if budget == "nightly":
        rates, clips = [1e-4, *rates], [1.0, 10.0, 100.0]
    return validated(
        SweepSpec,
        {
            "name": "claim-c6",
            "description": "Do gates, or the identity initialisation, learn adding where a tanh network does not?",
            "task": {"kind": "adding", "length": length},
            "model": {"hidden": hidden},
            "optim": {"kind": "adam", "batch": 32},
            "space": {
                "cell": ["rnn", "lstm", "gru"],
                "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
                "init": {"choices": ["identity"], "when": {"activation": "relu"}},
                "bias_init": {"choices": [{"forget_bias": 1.0}], "when": {"cell": "lstm"}},
                "lr": rates,
                "clip": [{"norm": threshold} for threshold in clips],
            },
            "search": {
                "design": "refine+confirm",
                "trials": len(rates) * len(clips),
                "confirm": confirm,
                "nuisance": ["lr", "clip"],
            },
            "replicates": 2,
            "budget": {"updates": updates, "evaluations": 4 if budget == "quick" else 20},
        },
    )
