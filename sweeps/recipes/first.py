"""The first sweep: digits, pixel by pixel."""

from __future__ import annotations

from typing import Any

from rnnlab.spec import BudgetSpec, TaskSpec
from rnnlab.written import validated
from sweeps.spec import SweepSpec


def first() -> SweepSpec:
    """Twelve configurations of plain RNN, LSTM and GRU on digits read pixel by pixel (T=64).

    Ten train with Adam and clipping by norm. The last two plain ones, relu with an orthogonal matrix of gain 1.4,
    train with SGD and momentum, with and without clipping: Adam rescales, and so hides an explosion.
    """
    explosive: dict[str, Any] = {"init": {"orthogonal": 1.4}}
    return validated(
        SweepSpec,
        {
            "name": "first",
            "description": "Which mitigations keep the gradient alive over 64 steps of handwritten digits?",
            "task": TaskSpec(kind="digits").model_dump(),
            "model": {"hidden": 64},
            "optim": {"kind": "adam", "lr": 5e-3, "batch": 64, "clip": {"norm": 1.0}},
            "space": {
                "cell": ["rnn", "lstm", "gru"],
                "activation": {"choices": ["tanh", "relu"], "when": {"cell": "rnn"}},
                "init": [
                    {"choices": ["default", "orthogonal"], "when": {"activation": "tanh"}},
                    {"choices": ["identity", {"orthogonal": 1.4}], "when": {"activation": "relu"}},
                ],
                "bias_init": [
                    {"choices": ["default", {"forget_bias": 1.0}, "chrono"], "when": {"cell": "lstm"}},
                    {"choices": ["default", "chrono"], "when": {"cell": "gru"}},
                ],
                "depth": {"choices": [1, 2], "when": {"activation": "tanh"}},
                "optimiser": {"choices": ["sgd"], "when": explosive},
                "momentum": {"choices": [0.9], "when": {"optimiser": "sgd"}},
                "lr": {"choices": [0.05], "when": {"optimiser": "sgd"}},
                "clip": {"choices": ["none", {"norm": 1.0}], "when": {"optimiser": "sgd"}},
            },
            "search": {"sampler": "grid"},
            "replicates": 5,
            "budget": BudgetSpec(updates=300).model_dump(),
        },
    )
