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
        "weather": Line(
            "sweeps.recipes.weather:weather",
            "will it rain tomorrow: plain RNN, LSTM and GRU on four years of Seattle's days",
            "project",
        ),
    },
)
