"""Tasks: sequences to learn from, with their splits, lag, trivial baseline, success criterion and loss."""

from typing import Literal

from pydantic import Field

from rnnlab.choices import Line, Table

TASKS = Table(
    "task",
    {
        "adding": Line(
            "rnnlab.tasks.adding:Adding",
            "sum of the two marked numbers among T; MSE at the end, 1/6 by guessing 1",
            "Arjovsky 2016; Le 2015",
            {"length": (int, Field(100, ge=2, le=100_000, description="T, timesteps"))},
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
        "temporal_order": Line(
            "rnnlab.tasks.temporal_order:TemporalOrder",
            "which of A, B came at two places, in which order; 4 classes at the end",
            "Pascanu 2013 (code)",
            {"length": (int, Field(100, ge=10, le=100_000, description="L, timesteps"))},
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
