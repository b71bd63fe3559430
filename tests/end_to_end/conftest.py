"""Real sweeps, run once with the command that a person types, and looked at by several tests."""

from __future__ import annotations

import pytest
from commands import Ran, once
from night import SPEC

from sweeps.recipes import recipe


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `first` with two replicates instead of five, which is most of its time; two workers."""
    spec = tmp_path_factory.mktemp("spec") / "first.yaml"
    spec.write_text(recipe("first").model_copy(update={"replicates": 2}).to_yaml())
    return once(tmp_path_factory, "first", "sweep", "run", str(spec), "--workers", "2")


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `weather`, whole, its result as JSON."""
    return once(tmp_path_factory, "weather", "sweep", "run", "weather", "--json")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The sweep that nothing happened to."""
    spec = tmp_path_factory.mktemp("spec") / "night.yaml"
    spec.write_text(SPEC)
    return once(tmp_path_factory, "undisturbed", "sweep", "run", str(spec), "--workers", "2", "--json")
