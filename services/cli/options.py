"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sweeps.home import Home

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of stores and files (or RNNLAB_HOME; default ./rnnlab-home)."),
]
SweepArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the sweep; `rnnlab sweep list` knows them.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Trials at a time, one CPU each (default: the CPUs there are).")
]
FailuresOption = Annotated[
    int, typer.Option("--max-failures", min=0, help="Times a trial is taken up again after its worker died.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")]


def home_at(path: Path | None) -> Home:
    """The home that an option, the environment or the default names."""
    from services.settings import Settings
    from sweeps.home import Home

    settings = Settings()
    return Home(path or settings.home, settings.lab, settings.mlflow)
