"""The metrics at the end of a trial. Loads no MLflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from sweeps.recording import names


def finals_of(result: dict[str, Any]) -> dict[str, float]:
    """The metrics at the end of a trial, `FINALS`, from its result as plain values; absent ones left out."""
    replicates = result["replicates"]
    accuracies = [r["accuracy"] for r in replicates if r["accuracy"] is not None]
    known = {
        "final_score": result["score"],
        "final_score_sd": result["score_sd"],
        "test_score": result["test_score"],
        "test_accuracy": float(np.mean(accuracies)) if accuracies and result["test_score"] is not None else None,
        "solved": result["solved"],
        "healthy": result["healthy"],
        "exploded": result["exploded"],
        "diverged": sum(r["outcome"] == "diverged" for r in replicates),
        "spikes": sum(r["spikes"] for r in replicates),
        "decades_init": result["decades_init"],
        "decades_end": result["decades"],
        "seconds": result["seconds"],
    }
    assert set(known) == set(names.FINALS)
    return {name: float(value) for name, value in known.items() if value is not None}
