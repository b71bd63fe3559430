"""The quick budget of every claim's recipe, run whole with the command that a person types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import rnnlab

from sweeps.recipes import RECIPES, recipe
from sweeps.recipes.budgets import BUDGETS


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, line in RECIPES.items() if line.options == BUDGETS])
def test_a_quick_claim_runs_to_its_findings(name: str, tmp_path: Path) -> None:
    spec = recipe(name, budget="quick")
    ran = rnnlab("sweep", "run", name, "--quick", "--workers", "2", "--json", home=tmp_path)
    assert ran.code == 0, ran.err
    assert len(json.loads(ran.out)) == spec.trials
    assert (tmp_path / "sweeps" / spec.name / "report.html").exists()
    assert rnnlab("sweep", "check", spec.name, home=tmp_path).code == 0
