"""Recipes: functions that return a full sweep, to run as they are or to start from. Their table loads nothing."""

from rnnlab.choices import Line, Table

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
    },
)
