"""How deep a plain network may be before its gradient must be clipped."""

from __future__ import annotations

from rnnlab.written import validated
from sweeps.spec import SweepSpec


def clipping_by_depth() -> SweepSpec:
    """Nine arms of a relu network on temporal order (T=40): no clip, by norm, by value, at depth 1 to 3; 20 blocks.

    SGD with momentum, since Adam rescales the gradient and so hides what clipping does. Budget: 180 trials of 400
    updates; about 5 minutes on 2 cores.
    """
    return validated(
        SweepSpec,
        {
            "name": "clipping-by-depth",
            "description": "At which depth does a relu network explode without clipping, and which clip stops it?",
            "task": {"kind": "temporal_order", "length": 40},
            "model": {"cell": "rnn", "activation": "relu", "init": {"orthogonal": 1.2}, "hidden": 48},
            "optim": {"kind": "sgd", "momentum": 0.9, "batch": 32},
            "space": {
                "depth": [1, 2, 3],
                "clip": ["none", {"norm": 1.0}, {"value": 1.0}],
                "lr": {"low": 3e-3, "high": 0.3, "log": True},
            },
            "search": {"design": "screen", "blocks": 20, "nuisance": ["lr"]},
            "replicates": 1,
            "budget": {"updates": 400},
        },
    )
