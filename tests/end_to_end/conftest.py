"""Real sweeps, run once with the command that a person types, and looked at by several tests."""

from __future__ import annotations

import pytest
from commands import Ran, once
from night import SPEC

from sweeps.recipes.first import first as first_recipe
from sweeps.recipes.weather import weather as weather_recipe


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `first` with two replicates instead of five, which is most of its time; two workers."""
    spec = tmp_path_factory.mktemp("spec") / "first.yaml"
    spec.write_text(first_recipe().model_copy(update={"replicates": 2}).to_yaml())
    return once(tmp_path_factory, "first", "sweep", "run", str(spec), "--workers", "2")


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The recipe `weather` with two replicates and 40 updates, its result as JSON."""
    whole = weather_recipe()
    less = whole.model_copy(update={"replicates": 2, "budget": whole.budget.model_copy(update={"updates": 40})})
    spec = tmp_path_factory.mktemp("spec") / "weather.yaml"
    spec.write_text(less.to_yaml())
    return once(tmp_path_factory, "weather", "sweep", "run", str(spec), "--workers", "1", "--json")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The sweep that nothing happened to."""
    spec = tmp_path_factory.mktemp("spec") / "night.yaml"
    spec.write_text(SPEC)
    return once(tmp_path_factory, "undisturbed", "sweep", "run", str(spec), "--workers", "2", "--json")
