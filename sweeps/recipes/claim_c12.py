"""Claim C12: flossing the gradient before training raises success at long delays."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.recipes.budgets import Budget
from sweeps.spec import SweepSpec


def claim_c12(budget: Budget = "full") -> SweepSpec:
    """Delayed XOR on random tanh networks at gain 1, trained at once or after 100 updates of gradient flossing.

    Claim: the share of solved runs as a function of the delay moves to longer delays; the leading Lyapunov exponents go
    to 0 within about 100 flossing updates. Source: Engelken 2023, section 4 (N=80, g=1, T=300, B=16, k=75, Adam 1e-3).
    Expected: as many or more runs solved at each delay with flossing, which are spent of the same budget of updates.

    Budget: quick, T=20, d=2, 60 updates. full, N=40, T=120, d of 5, 10 and 20, 10 seeds, 3,000 updates: 12 trials.
    nightly, N=80, T=300, d of 10 to 40, 20,000 updates.
    """
    length, delays, updates, blocks, replicates, hidden = {
        "quick": (20, [2], 60, 1, 2, 16),
        "full": (120, [5, 10, 20], 3000, 2, 5, 40),
        "nightly": (300, [10, 20, 30, 40], 20_000, 2, 5, 80),
    }[budget]
    before, exponents = (20, 8) if budget == "quick" else (100, hidden * 15 // 16)
    return validated(
        SweepSpec,
        {
            "name": "claim-c12",
            "description": "Does gradient flossing before training raise success at long delays?",
            "task": {"kind": "delayed_xor", "length": length},
            "model": {"hidden": hidden, "init": {"normal": hidden**-0.5}},
            "optim": {"kind": "adam", "lr": 1e-3, "batch": 16, "clip": {"norm": 1.0}},
            "space": {
                "regulariser": ["none", {"flossing": {"before": before, "exponents": exponents}}],
                "task.delay": delays,
            },
            "search": {"design": "screen", "blocks": blocks},
            "replicates": replicates,
            "budget": {"updates": updates, "evaluations": 4 if budget == "quick" else 20},
            "probe": {"measure": ["loss", "total", "inputs", "anchor"]},
        },
    )
