"""Small sweeps to test with."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from rnnlab.written import validated
from sweeps.spec import SweepSpec

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def sweep_of() -> Callable[..., SweepSpec]:
    """Makes a sweep over a space: adding of length 20, 5 updates, 2 replicates, searched at random 20 times."""

    def make(space: dict[str, Any], **changes: Any) -> SweepSpec:
        small = {
            "name": "small",
            "task": {"kind": "adding", "length": 20},
            "model": {"hidden": 4},
            "space": space,
            "search": {"sampler": "random", "trials": 20},
            "replicates": 2,
            "budget": {"updates": 5, "evaluations": 2},
            "probe": {"batch": 8},
        }
        return validated(SweepSpec, small | changes)

    return make
