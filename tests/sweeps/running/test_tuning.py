"""What a driver loads to let Tune run trials."""

from __future__ import annotations

import subprocess
import sys

COUNTS = """
import importlib, sys
from ray.tune import Callback
from sweeps.running.tuning import _count_no_callbacks
_count_no_callbacks() if {ours} else None
importlib.import_module("ray.tune.tune").air_usage.tag_callbacks([Callback()])
print("mlflow" in sys.modules)
"""


def loaded(ours: bool) -> str:
    """Whether MLflow is loaded once Tune has counted callbacks as `tune.run` does."""
    words = [sys.executable, "-W", "ignore", "-c", COUNTS.format(ours=ours)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1]


def test_counting_callbacks_loads_no_mlflow() -> None:
    assert loaded(ours=False) == "True", "Ray loads it no more: _count_no_callbacks can go"
    assert loaded(ours=True) == "False"
