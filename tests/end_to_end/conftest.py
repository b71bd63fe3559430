"""Real sweeps, run once with the command that a person types, and looked at by several tests."""

from __future__ import annotations

import pytest
from commands import Ran, rnnlab


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `first`, whole, with two workers."""
    home = tmp_path_factory.mktemp("first") / "home"
    return rnnlab("sweep", "run", "first", "--workers", "2", home=home)


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `weather`, whole, its result as JSON."""
    home = tmp_path_factory.mktemp("weather") / "home"
    return rnnlab("sweep", "run", "weather", "--json", home=home)
