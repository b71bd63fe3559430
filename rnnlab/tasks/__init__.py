"""Tasks: sequences to learn from, with their splits, lag, trivial baseline, success criterion and loss."""

from typing import Literal

from pydantic import Field

from rnnlab.choices import Line, Table

_DELAYED = {
    "length": (int, Field(100, ge=3, le=100_000, description="T, timesteps; more than 2 d")),
    "delay": (int, Field(20, ge=1, le=50_000, description="d, steps")),
}

_Bundled = Literal[
    "GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf", "ACSF1", "Covid3Month_disc", "UnitTest", "BasicMotions",
    "JapaneseVowels", "JapaneseVowels_eq", "PickupGestureWiimoteZ", "PickupGestureWiimoteZ_eq",
]  # fmt: skip

TASKS = Table(
    "task",
    {
        "adding": Line(
            "rnnlab.tasks.adding:Adding",
            "sum of the two marked numbers among T; MSE at the end, 1/6 by guessing 1",
            "Arjovsky 2016; Le 2015",
            {"length": (int, Field(100, ge=2, le=100_000, description="T, timesteps"))},
        ),
        "adding_hs97": Line(
            "rnnlab.tasks.adding_hs97:AddingHS97",
            "the marked two of L to 1.1 L numbers in (-1, 1), both in the first half; 0.5 + sum / 4 at the end",
            "Hochreiter & Schmidhuber 1997",
            {"length": (int, Field(100, ge=20, le=100_000, description="L, timesteps at least; T = L + L // 10"))},
        ),
        "adding_pascanu": Line(
            "rnnlab.tasks.adding_pascanu:AddingPascanu",
            "the marked two of L to 1.1 L numbers in (0, 1), both in the first half; their mean at the end",
            "Pascanu 2013 (code)",
            {"length": (int, Field(100, ge=10, le=100_000, description="L, timesteps at least; T = L + L // 10 - 1"))},
        ),
        "copying": Line(
            "rnnlab.tasks.copying:Copying",
            "repeat 10 of 8 symbols after T blanks; cross-entropy at each of T + 20 steps",
            "Arjovsky 2016",
            {
                "length": (
                    int,
                    Field(100, ge=1, le=100_000, description="T, blanks between symbols and recall"),
                )
            },
        ),
        "memorisation": Line(
            "rnnlab.tasks.memorisation:Memorisation",
            "repeat 10 of 2 or 5 symbols after L blanks, no noise; cross-entropy at each of L + 20 steps",
            "Pascanu 2013 (code); Martens 2011",
            {
                "length": (int, Field(50, ge=1, le=100_000, description="L, blanks between symbols and recall")),
                "values": (Literal[2, 5], Field(5, description="different symbols")),
            },
        ),
        "temporal_order": Line(
            "rnnlab.tasks.temporal_order:TemporalOrder",
            "which of A, B came at two places, in which order; 4 classes at the end",
            "Pascanu 2013 (code)",
            {"length": (int, Field(100, ge=10, le=100_000, description="L, timesteps"))},
        ),
        "temporal_order_3bit": Line(
            "rnnlab.tasks.temporal_order_3bit:TemporalOrder3Bit",
            "which of A, B came at three places, in which order; 8 classes at the end",
            "Pascanu 2013 (code)",
            {"length": (int, Field(100, ge=10, le=100_000, description="L, timesteps"))},
        ),
        "delayed_copy": Line(
            "rnnlab.tasks.delayed_copy:DelayedCopy",
            "the random bit of d steps ago; binary loss at every step from 2 d on",
            "Engelken 2023",
            _DELAYED,
        ),
        "delayed_xor": Line(
            "rnnlab.tasks.delayed_xor:DelayedXor",
            "whether the random bits of d and of 2 d steps ago differ; binary loss at every step from 2 d on",
            "Engelken 2023",
            _DELAYED,
        ),
        "parity": Line(
            "rnnlab.tasks.parity:Parity",
            "whether the ones among T random bits are odd in number; binary loss at the end",
            "Bengio 1994",
            {"length": (int, Field(20, ge=5, le=100_000, description="T, bits"))},
        ),
        "latch": Line(
            "rnnlab.tasks.latch:Latch",
            "the class that the first L of T steps show, all others noise; binary loss at the end",
            "Bengio 1994",
            {
                "length": (int, Field(60, ge=4, le=100_000, description="T, timesteps")),
                "signal": (int, Field(3, ge=1, description="L, first steps that show the class")),
                "noise": (float, Field(0.2, gt=0, le=100, description="deviation of all other inputs")),
            },
        ),
        "sines": Line(
            "rnnlab.tasks.sines:Sines",
            "forecast a sum of sines of unknown periods, 5 to 50 steps; MSE at every step",
            "-",
            {
                "length": (int, Field(100, ge=3, le=100_000, description="T, timesteps")),
                "ahead": (int, Field(1, ge=1, le=100_000, description="steps ahead that are forecast")),
                "components": (int, Field(3, ge=1, le=100, description="k, sines")),
            },
        ),
        "mackey_glass": Line(
            "rnnlab.tasks.mackey_glass:MackeyGlass",
            "forecast a chaotic equation with delay; MSE at every step",
            "Mackey & Glass 1977",
            {
                "length": (int, Field(100, ge=3, le=2000, description="T, readings in a window")),
                "ahead": (int, Field(1, ge=1, le=1000, description="readings ahead that are forecast; 14: 84 units")),
                "sample": (int, Field(6, ge=1, le=100, description="units of time between readings")),
                "tau": (int, Field(17, ge=1, le=300, description="the equation's delay, in units of time")),
            },
        ),
        "lorenz": Line(
            "rnnlab.tasks.lorenz:Lorenz",
            "forecast the chaotic Lorenz system, read every 0.02 units of time; MSE at every step",
            "Lorenz 1963",
            {
                "length": (int, Field(100, ge=3, le=5000, description="T, readings in a window")),
                "ahead": (int, Field(1, ge=1, le=1000, description="readings ahead that are forecast")),
                "observe": (Literal["x", "xyz"], Field("x", description="what is read and forecast")),
            },
        ),
        "characters": Line(
            "rnnlab.tasks.characters:Characters",
            "the next character of Python's help texts, or of a text file; cross-entropy at every step",
            "Python's pydoc; Mikolov 2012",
            {
                "length": (int, Field(50, ge=2, le=100_000, description="T, characters in a window")),
                "path": (str | None, Field(None, description="a text file in UTF-8; default: Python's help texts")),
            },
        ),
        "digits": Line(
            "rnnlab.tasks.digits:Digits",
            "1,797 handwritten digits read pixel by pixel (T=64); 10 classes at the end",
            "scikit-learn; Le 2015",
            {
                "read": (
                    Literal["pixels", "rows", "permuted"],
                    Field(
                        "pixels",
                        description="a pixel a step, a row a step (T=8), or pixels in one random order",
                    ),
                )
            },
        ),
        "weather": Line(
            "rnnlab.tasks.weather:Weather",
            "Seattle 2012 to 2015: will it rain tomorrow, judged each day; binary loss at every step",
            "NOAA, by vega_datasets",
            {"length": (int, Field(60, ge=31, le=300, description="days in a window"))},
        ),
        "aeon": Line(
            "rnnlab.tasks.aeon_sets:Aeon",
            "a labelled set of series that the package aeon carries (extra `datasets`); the class at the end",
            "aeon; UCR and UEA archives",
            {
                "name": (
                    _Bundled,
                    Field("GunPoint", description="the set; its longest series gives T"),
                )
            },
        ),
        "table": Line(
            "rnnlab.tasks.table:TableTask",
            "your own CSV or Parquet file: next-step forecasting or classification",
            "-",
            {
                "path": (str, Field(description=".csv (commas, one header line, UTF-8) or .parquet")),
                "inputs": (list[str], Field(min_length=1, description="numeric columns read at each step")),
                "target": (
                    str,
                    Field(description="column to forecast (numbers) or to classify (text or whole numbers)"),
                ),
                "predict": (
                    Literal["next", "step_class", "sequence_class"],
                    Field("next", description="next row's number, each row's class, or each group's class"),
                ),
                "lag": (
                    int,
                    Field(ge=1, description="steps back to the needed information, at worst; at most length - 1"),
                ),
                "length": (int, Field(ge=2, description="T, rows in a window")),
                "group": (str | None, Field(None, description="column that tells sequences apart")),
                "split": (
                    Literal["time", "group"],
                    Field("time", description="hold out each group's last rows, or whole groups"),
                ),
                "validation": (
                    float,
                    Field(0.15, gt=0, lt=0.5, description="share of rows or groups held out to validate"),
                ),
                "test": (
                    float,
                    Field(0.15, gt=0, lt=0.5, description="share of rows or groups held out to test"),
                ),
            },
        ),
    },
)
