"""Claim C11: a forget bias closes the gap between LSTM and GRU, and without a forget gate the LSTM does worse."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.budgets import Budget
from sweeps.spec import SweepSpec


def claim_c11(budget: Budget = "full") -> SweepSpec:
    """Adding with GRU, LSTM at forget biases of -1 to 2 and chrono, and LSTM without its gate, at a rate a block.

    Claim: an LSTM with forget bias 1 does as well as a GRU, and at a long lag better with a larger bias; an LSTM whose
    forget gate is taken away does worse. Source: Jozefowicz 2015, table 1 (arithmetic: LSTM .892, with bias 1 .902, GRU
    .896, without a forget gate .293, tanh .295). There it is arithmetic, which needs a memory that can be emptied; in
    adding nothing need be forgotten, so that the last part may well not show here.
    Expected: the score falls from -1 to chrono, GRU does not differ from LSTM with a bias of 1 or more, and `nfg` has a
    higher score than LSTM with a bias of 1.

    Budget: quick, T=20, 60 updates. full, T=60, 8 blocks, 1,500 updates: 56 trials. nightly, T=100, 20 blocks, 6,000
    updates.
    """
    length, updates, blocks, hidden = {
        "quick": (20, 60, 2, 16),
        "full": (60, 1500, 8, 64),
        "nightly": (100, 6000, 20, 64),
    }[budget]
    return validated(
        SweepSpec,
        {
            "name": "claim-c11",
            "description": "Does a forget bias close the gap between LSTM and GRU? Does an LSTM need its forget gate?",
            "task": {"kind": "adding", "length": length},
            "model": {"hidden": hidden},
            "optim": {"kind": "adam", "batch": 32, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["gru", "lstm", "nfg"],
                "bias_init": {
                    "choices": [*({"forget_bias": bias} for bias in (-1.0, 0.0, 1.0, 2.0)), "chrono"],
                    "when": {"cell": "lstm"},
                },
                "lr": {"low": 1e-3, "high": 1e-2, "log": True},
            },
            "search": {"design": "screen", "blocks": blocks, "nuisance": ["lr"]},
            "replicates": 1,
            "budget": {"updates": updates, "evaluations": 4 if budget == "quick" else 20},
        },
    )
