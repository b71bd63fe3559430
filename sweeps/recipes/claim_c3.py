"""Claim C3: with growing length, clipping becomes needed, and against vanishing it is not enough."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.budgets import Budget
from sweeps.spec import SweepSpec


def claim_c3(budget: Budget = "full") -> SweepSpec:
    """Temporal order with plain gradient descent (MSGD), with clipping (C), and with clipping and Omega (CR).

    Claim: the share of solved runs is at least as high with CR as with C, and with C as with MSGD, and the gap grows
    with the length; C alone cannot mend vanishing, CR can. Source: Pascanu 2013, section 4.1 and figure 7 (50 units,
    rate .01, clip 1, alpha 4, minibatches of 20; its sigmoid and its basic tanh start).
    Expected: an order CR >= C >= MSGD. From 10,000 updates, a tenth and less of the paper's, solved runs are rare.

    Budget: quick, L=20, 60 updates. full, L of 20 and 50, 10 seeds, 10,000 updates: 24 trials. nightly, L of 20, 30, 50
    and 80, 100,000 updates.
    """
    lengths, updates, blocks, replicates = {
        "quick": ([20], 60, 1, 2),
        "full": ([20, 50], 10_000, 2, 5),
        "nightly": ([20, 30, 50, 80], 100_000, 2, 5),
    }[budget]
    return validated(
        SweepSpec,
        {
            "name": "claim-c3",
            "description": "Is clipping needed as sequences grow, and does Omega mend what clipping cannot?",
            "task": {"kind": "temporal_order"},
            "model": {"hidden": 50},
            "optim": {"kind": "sgd", "lr": 0.01, "batch": 20},
            "space": {
                "activation": ["tanh", "sigmoid"],
                "init": [
                    {"choices": [{"normal": 0.1}], "when": {"activation": "tanh"}},
                    {"choices": [{"normal": 0.01}], "when": {"activation": "sigmoid"}},
                ],
                "clip": ["none", {"norm": 1.0}],
                "regulariser": {"choices": ["none", {"omega": 4.0}], "when": {"clip": {"norm": 1.0}}},
                "task.length": lengths,
            },
            "search": {"design": "screen", "blocks": blocks},
            "replicates": replicates,
            "budget": {"updates": updates, "evaluations": 4 if budget == "quick" else 20},
        },
    )
