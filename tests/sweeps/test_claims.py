"""Recipes of claims: every budget is a sweep, and the quick one begins to train; all of it runs in test_claims_run.py."""

from __future__ import annotations

from typing import get_args

import pytest

from rnnlab.errors import SpecError
from rnnlab.training.loop import Trainer
from sweeps.recipes import RECIPES, recipe
from sweeps.recipes.budgets import BUDGETS, Budget
from sweeps.space.dimensions import Picks
from sweeps.spec import SweepSpec

CLAIMS = [name for name, line in RECIPES.items() if line.options == BUDGETS]


def arms(spec: SweepSpec) -> list[Picks]:
    """Every arm at the first of its nuisance values."""
    first = {name: spec.parsed_space.dimension_of(name, {}).corners[0] for name in spec.search.nuisance}
    return [{**first, **arm} for arm in spec.stages.arms]


def test_there_are_claims_and_only_they_have_budgets() -> None:
    assert CLAIMS == [name for name in RECIPES if name.startswith("claim_")] != []
    with pytest.raises(SpecError, match="'first' has no option 'budget'"):
        recipe("first", budget="quick")
    with pytest.raises(SpecError, match="option 'budget' is 'long'"):
        recipe(CLAIMS[0], budget="long")


@pytest.mark.parametrize("name", CLAIMS)
def test_budgets_ask_the_same_of_more_seeds_and_updates(name: str) -> None:
    quick, full, nightly = (recipe(name, budget=budget) for budget in get_args(Budget))
    assert recipe(name) == full
    for less, more in ((quick, full), (full, nightly)):
        assert less.budget.updates < more.budget.updates
        assert less.trials * less.replicates <= more.trials * more.replicates
        assert {arm.get("cell") for arm in less.stages.arms} == {arm.get("cell") for arm in more.stages.arms}
    seeds = full.replicates * (full.search.confirm if full.search.design == "refine+confirm" else full.search.blocks)
    assert seeds >= 5  # fewer can never be significant (SCIENCE.md section 6)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_arm_of_a_quick_claim_trains(name: str) -> None:
    spec = recipe(name, budget="quick")
    for number, picks in enumerate(arms(spec)):
        trial = spec.trial(number, picks)
        less = trial.budget.model_copy(update={"updates": min(10, spec.budget.updates), "evaluations": 1})
        trainer = Trainer(trial.model_copy(update={"replicates": 1, "budget": less}))
        while not trainer.advance().done:
            pass
        assert trainer.result.updates == less.updates
        assert trainer.result.replicates[0].score is not None
