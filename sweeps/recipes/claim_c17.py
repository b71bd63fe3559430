"""Claim C17: clipping lowers the training loss and the test loss alike."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.budgets import Budget
from sweeps.spec import SweepSpec


def claim_c17(budget: Budget = "full") -> SweepSpec:
    """Next characters of Python's help texts with a plain tanh network under gradient descent, clipped or not.

    Claim: with clipping the cost falls on the training part and on the test part: clipping helps to optimise, it does
    not regularise. Source: Pascanu 2013, table 1 (Penn Treebank characters: test 1.50 bits without, 1.42 with).
    Expected: at the rate where gradients sometimes burst, a lower test loss with clipping, and the training loss too
    (metric `train_loss`); at a low rate no difference.

    Budget: quick, T=10, 60 updates. full, T=50, 8 seeds at each of 2 rates, 3,000 updates: 32 trials. nightly, T=100,
    256 units, 100,000 updates.
    """
    length, updates, blocks, hidden = {
        "quick": (10, 60, 2, 16),
        "full": (50, 3000, 8, 64),
        "nightly": (100, 100_000, 10, 256),
    }[budget]
    return validated(
        SweepSpec,
        {
            "name": "claim-c17",
            "description": "Does clipping lower the training loss and the test loss of a character model alike?",
            "task": {"kind": "characters", "length": length},
            "model": {"hidden": hidden, "init": "orthogonal"},
            "optim": {"kind": "sgd", "batch": 32},
            "space": {"clip": ["none", {"norm": 1.0}], "lr": [0.1, 1.0]},
            "search": {"design": "screen", "blocks": blocks},
            "replicates": 1,
            "budget": {"updates": updates, "evaluations": 4 if budget == "quick" else 20},
        },
    )
