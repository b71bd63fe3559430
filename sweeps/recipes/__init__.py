"""Recipes: functions that return a full sweep, to run as they are or to start from. Their table loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnnlab.choices import Line, Table, choose, options_of
from sweeps.recipes.budgets import BUDGETS

if TYPE_CHECKING:
    from sweeps.spec import SweepSpec

RECIPES = Table(
    "recipe",
    {
        "first": Line(
            "sweeps.recipes.first:first",
            "digits pixel by pixel: which mitigations keep the gradient alive over 64 steps, and which explode",
            "project",
        ),
        "init_by_activation": Line(
            "sweeps.recipes.init_by_activation:init_by_activation",
            "which initialisation keeps the gradient alive for which activation and cell, and does it help",
            "project",
        ),
        "cell_by_length": Line(
            "sweeps.recipes.cell_by_length:cell_by_length",
            "at which length does which cell still learn the adding problem",
            "project",
        ),
        "forget_bias": Line(
            "sweeps.recipes.forget_bias:forget_bias",
            "how much forget bias an LSTM needs to remember for 40 and for 120 steps",
            "project",
        ),
        "clipping_by_depth": Line(
            "sweeps.recipes.clipping_by_depth:clipping_by_depth",
            "at which depth a plain relu network explodes without clipping, and which clip stops it",
            "project",
        ),
        "digits": Line(
            "sweeps.recipes.digits:digits",
            "which network reads digits best, each at a learning rate of its own: screened, tuned, confirmed",
            "project",
        ),
        "weather": Line(
            "sweeps.recipes.weather:weather",
            "will it rain tomorrow: plain RNN, LSTM and GRU on four years of Seattle's days, ten seeds each",
            "project",
        ),
        "claim_c3": Line(
            "sweeps.recipes.claim_c3:claim_c3",
            "clipping, and clipping with Omega, on temporal order as sequences grow",
            "Pascanu 2013",
            BUDGETS,
        ),
        "claim_c6": Line(
            "sweeps.recipes.claim_c6:claim_c6",
            "tanh, IRNN, LSTM and GRU on adding, each at a rate and a clip of its own, then on fresh seeds",
            "Le 2015",
            BUDGETS,
        ),
        "claim_c7": Line(
            "sweeps.recipes.claim_c7:claim_c7",
            "whether IRNN learns adding under RMSprop, by learning rate and seed",
            "Arjovsky 2016",
            BUDGETS,
        ),
        "claim_c9": Line(
            "sweeps.recipes.claim_c9:claim_c9",
            "whether an LSTM rests at the loss of no memory on copying, and what leaves it",
            "Arjovsky 2016; Tallec & Ollivier 2018",
            BUDGETS,
        ),
        "claim_c11": Line(
            "sweeps.recipes.claim_c11:claim_c11",
            "forget biases of an LSTM, and none of its gate, against a GRU on adding",
            "Jozefowicz 2015",
            BUDGETS,
        ),
        "claim_c12": Line(
            "sweeps.recipes.claim_c12:claim_c12",
            "gradient flossing before training on delayed XOR, by delay",
            "Engelken 2023",
            BUDGETS,
        ),
        "claim_c17": Line(
            "sweeps.recipes.claim_c17:claim_c17",
            "clipping of a character model under gradient descent, on training and test text",
            "Pascanu 2013",
            BUDGETS,
        ),
    },
)


def recipe(name: str, **options: Any) -> SweepSpec:
    """The sweep of a recipe.

    Args:
        options: of its line; `budget` (quick, full or nightly) of a claim's.

    Raises:
        SpecError: no such recipe, or no such option.
    """
    spec: SweepSpec = choose(RECIPES, name).load()(**options_of(RECIPES, name, options))
    return spec
