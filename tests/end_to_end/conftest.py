"""Real sweeps, run once with the command that a person types, and looked at by several tests."""

from __future__ import annotations

import os
import pickle

import pytest
from commands import Ran, rnnlab
from filelock import FileLock


def once(factory: pytest.TempPathFactory, name: str, *words: str) -> Ran:
    """Run a command in a home of its own, once for all processes that share these tests."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    root = factory.getbasetemp() if alone else factory.getbasetemp().parent
    kept = root / f"{name}.pkl"
    with FileLock(root / f"{name}.lock"):
        if not kept.is_file():
            kept.write_bytes(pickle.dumps(rnnlab(*words, home=root / name / "home", timeout=400)))
        ran: Ran = pickle.loads(kept.read_bytes())
    return ran


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `first`, whole, with two workers."""
    return once(tmp_path_factory, "first", "sweep", "run", "first", "--workers", "2")


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `weather`, whole, its result as JSON."""
    return once(tmp_path_factory, "weather", "sweep", "run", "weather", "--json")
